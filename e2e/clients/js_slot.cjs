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
    new runtime.ConverseCommand({ modelId: SMOLLM, messages: STORY, inferenceConfig: { maxTokens: 2, temperature: 0 } }),
  );
  assert.equal(reply.usage.outputTokens, 2);
}

// openStory reads a few events of a stream that would go on for long. Only its
// abort signal ends it: this SDK reads on when the loop over the events is left
// or the client destroyed.
async function openStory() {
  const abort = new AbortController();
  const { stream } = await rt.send(
    new runtime.ConverseStreamCommand({
      modelId: SMOLLM,
      messages: STORY,
      inferenceConfig: { maxTokens: 2000, temperature: 0 },
    }),
    { abortSignal: abort.signal },
  );
  const events = stream[Symbol.asyncIterator]();
  assert.deepEqual((await events.next()).value.messageStart, { role: "assistant" });
  for (let i = 0; i < 3; i++) assert.ok((await events.next()).value.contentBlockDelta);
  return abort;
}

test("aborted_stream_frees_the_slot", async () => {
  for (let i = 0; i < 2; i++) {
    (await openStory()).abort();
    await short();
  }
});

test("aborted_call_frees_the_slot", async () => {
  const abort = new AbortController();
  const call = rt.send(
    new runtime.ConverseCommand({ modelId: SMOLLM, messages: STORY, inferenceConfig: { maxTokens: 2000, temperature: 0 } }),
    { abortSignal: abort.signal },
  );
  setTimeout(() => abort.abort(), 300);
  await rejects(call, "AbortError", null);
  await short();
});

test("throttled_while_the_slot_is_held", async () => {
  const story = await openStory();
  const e = await rejects(short(), "ThrottlingException", runtime.ThrottlingException);
  assert.equal(e.$metadata.httpStatusCode, 429);
  story.abort();
  await short();
});

main();
