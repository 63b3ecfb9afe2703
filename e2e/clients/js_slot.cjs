"use strict";
// AWS SDK for JavaScript v3 against a server with one slot, where a queued call
// waits for 1 s at most.

const runtime = require("@aws-sdk/client-bedrock-runtime");
const { assert, test, rejects, main } = require("./cases.cjs");

const SMOLLM = "huggingface.smollm2-135m-instruct-v1:0";
const STORY = [{ role: "user", content: [{ text: "Write a very long story about a dragon." }] }];
const rt = new runtime.BedrockRuntimeClient({ maxAttempts: 1 });

async function short() {
  const reply = await rt.send(
    new runtime.ConverseCommand({ modelId: SMOLLM, messages: STORY, inferenceConfig: { maxTokens: 2 } }),
  );
  assert.equal(reply.usage.outputTokens, 2);
}

// longStream reads a few events of a stream that would go on for long.
async function longStream(abortSignal) {
  const { stream } = await rt.send(
    new runtime.ConverseStreamCommand({
      modelId: SMOLLM,
      messages: STORY,
      inferenceConfig: { maxTokens: 2000, temperature: 0 },
    }),
    { abortSignal },
  );
  const events = stream[Symbol.asyncIterator]();
  assert.deepEqual((await events.next()).value.messageStart, { role: "assistant" });
  for (let i = 0; i < 3; i++) assert.ok((await events.next()).value.contentBlockDelta);
  return events;
}

test("left_stream_frees_the_slot", async () => {
  const events = await longStream();
  await events.return();
  await short();
});

test("destroyed_client_frees_the_slot", async () => {
  const own = new runtime.BedrockRuntimeClient({ maxAttempts: 1 });
  const { stream } = await own.send(
    new runtime.ConverseStreamCommand({ modelId: SMOLLM, messages: STORY, inferenceConfig: { maxTokens: 2000 } }),
  );
  for await (const event of stream) if (event.contentBlockDelta) break;
  own.destroy();
  await short();
});

test("throttled_while_the_slot_is_held", async () => {
  const events = await longStream();
  const e = await rejects(short(), "ThrottlingException", runtime.ThrottlingException);
  assert.equal(e.$metadata.httpStatusCode, 429);
  await events.return();
  await short();
});

main();
