"use strict";
// AWS SDK for JavaScript v3 and a bidirectional stream with Nova Sonic's events.

const runtime = require("@aws-sdk/client-bedrock-runtime");
const { assert, test, rejects, includes, main } = require("./cases.cjs");

const SONIC = "amazon.nova-sonic-v1:0";
const rt = new runtime.BedrockRuntimeClient({ maxAttempts: 1 });

// Outbox is the body of the stream: what is pushed is sent when the SDK asks.
class Outbox {
  constructor() {
    this.waiting = [];
    this.wake = () => {};
    this.closed = false;
  }
  push(name, body) {
    const bytes = new TextEncoder().encode(JSON.stringify({ event: { [name]: body } }));
    this.waiting.push({ chunk: { bytes } });
    this.wake();
  }
  close() {
    this.closed = true;
    this.wake();
  }
  say(contentName, role, content, interactive) {
    const names = { promptName: "p", contentName };
    this.push("contentStart", { ...names, type: "TEXT", role, interactive, textInputConfiguration: { mediaType: "text/plain" } });
    this.push("textInput", { ...names, content });
    this.push("contentEnd", names);
  }
  async *[Symbol.asyncIterator]() {
    for (;;) {
      while (this.waiting.length > 0) yield this.waiting.shift();
      if (this.closed) return;
      await new Promise((resolve) => (this.wake = resolve));
    }
  }
}

// open starts a session with its first contents, if any, and returns its outbox
// and its events. The SDK's send ends when the first event has come, which is
// when there is something to answer.
async function open(promptStart, ...contents) {
  const out = new Outbox();
  out.push("sessionStart", { inferenceConfiguration: { maxTokens: 40, topP: 0.9, temperature: 0 } });
  out.push("promptStart", { promptName: "p", ...promptStart });
  for (const content of contents) out.say(...content);
  const { body } = await rt.send(new runtime.InvokeModelWithBidirectionalStreamCommand({ modelId: SONIC, body: out }));
  return { out, events: body[Symbol.asyncIterator]() };
}

// answer reads one whole reply: its text and the names of its events.
async function answer(events) {
  let text = "";
  const names = [];
  for (;;) {
    const { value, done } = await events.next();
    assert.ok(!done, `the stream ended after ${names}`);
    const [[name, event]] = Object.entries(JSON.parse(new TextDecoder().decode(value.chunk.bytes)).event);
    if (names.at(-1) !== name) names.push(name);
    text += event.content ?? "";
    if (name === "completionEnd") return { text, names };
  }
}

test("two_turns_of_text", async () => {
  const { out, events } = await open(
    { textOutputConfiguration: { mediaType: "text/plain" } },
    ["system", "SYSTEM", "You are a helpful assistant.", false],
    ["first", "USER", "What is the capital of France?", true],
  );
  const first = await answer(events);
  includes(first.text, "Paris");
  assert.deepEqual(first.names, ["completionStart", "contentStart", "textOutput", "contentEnd", "usageEvent", "completionEnd"]);
  out.say("second", "USER", "And what is the capital of Italy?", true);
  const second = await answer(events);
  assert.ok(second.text.trim());
  out.push("promptEnd", { promptName: "p" });
  out.push("sessionEnd", {});
  out.close();
  assert.ok((await events.next()).done);
  return JSON.stringify([first.text, second.text]);
});

test("speech_is_refused", async () => {
  const speech = open({ audioOutputConfiguration: { voiceId: "matthew" } });
  const error = await rejects(speech, "ValidationException", runtime.ValidationException);
  includes(error.message, "speech");
  return error.message;
});

main();
