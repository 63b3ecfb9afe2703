"use strict";
// AWS SDK for JavaScript v3 against a scripted engine: the errors that only a
// failing engine makes.

const runtime = require("@aws-sdk/client-bedrock-runtime");
const { assert, test, rejects, main } = require("./cases.cjs");

const SMOLLM = "huggingface.smollm2-135m-instruct-v1:0";
const rt = new runtime.BedrockRuntimeClient({ maxAttempts: 1 });

const request = (script) => ({ modelId: SMOLLM, messages: [{ role: "user", content: [{ text: script }] }] });
const converse = (script) => rt.send(new runtime.ConverseCommand(request(script)));
const converseStream = (script) => rt.send(new runtime.ConverseStreamCommand(request(script)));

function check(e, status) {
  assert.equal(e.$metadata.httpStatusCode, status);
  assert.ok(e.message && !e.message.includes("secret"), e.message);
}

for (const [script, name, status] of [
  ["throttle", "ThrottlingException", 429],
  ["not ready", "ModelNotReadyException", 429],
  ["timeout", "ModelTimeoutException", 408],
  ["unavailable", "ServiceUnavailableException", 503],
  ["error", "ModelErrorException", 424],
  ["internal", "InternalServerException", 500],
  ["panic", "InternalServerException", 500],
]) {
  test(`error_before_the_first_token_${script.replace(" ", "_")}`, async () => {
    check(await rejects(converse(script), name, runtime[name]), status);
    check(await rejects(converseStream(script), name, runtime[name]), status);
  });
}

for (const [script, name, status] of [
  ["late throttle", "ThrottlingException", 429],
  ["late timeout", "ModelTimeoutException", 408],
  ["late break", "ModelErrorException", 424],
  ["late internal", "InternalServerException", 500],
]) {
  test(`error_in_mid_call_${script.replace(" ", "_")}`, async () => {
    check(await rejects(converse(script), name, runtime[name]), status);
  });
}

for (const [script, name] of [
  ["late throttle", "ThrottlingException"],
  ["late break", "ModelStreamErrorException"],
  ["late unavailable", "ServiceUnavailableException"],
  ["late internal", "InternalServerException"],
  ["late timeout", "ModelStreamErrorException"], // ConverseStream models no timeout
]) {
  test(`error_in_mid_stream_${script.replace(" ", "_")}`, async () => {
    const { stream } = await converseStream(script);
    let words = "";
    const read = async () => {
      for await (const event of stream) words += event.contentBlockDelta?.delta.text ?? "";
    };
    const e = await rejects(read(), name, runtime[name]);
    assert.ok(e.message && !e.message.includes("secret"), e.message);
    assert.equal(words, "one two three");
  });
}

main();
