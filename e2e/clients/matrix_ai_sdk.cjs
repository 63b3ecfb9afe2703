"use strict";
// The matrix row of the AI SDK's Bedrock provider: bedrock() speaks Converse,
// bedrockAnthropic() InvokeModel.

const { createAmazonBedrock } = require("@ai-sdk/amazon-bedrock");
const { createBedrockAnthropic } = require("@ai-sdk/amazon-bedrock/anthropic");
const { APICallError, embedMany, generateText, jsonSchema, Output, streamText, tool } = require("ai");
const { assert, test, lacks, rejects, main } = require("./cases.cjs");
const m = require("./matrix.cjs");

const bedrock = createAmazonBedrock({ baseURL: m.ENDPOINT }); // keys and region as the environment says
const anthropic = createBedrockAnthropic({ baseURL: m.ENDPOINT });
lacks("the SDK speaks to one model at a time", "models");
lacks("the SDK has no call for it", "count_tokens");

const ask = (more = {}) => ({
  model: bedrock(m.MODEL),
  system: m.SYSTEM,
  prompt: m.QUESTION,
  temperature: 0,
  maxOutputTokens: 40,
  maxRetries: 0,
  ...more,
});

async function parts(settings) {
  const result = streamText(settings);
  const texts = [];
  for await (const part of result.textStream) texts.push(part);
  const usage = await result.usage;
  m.counted(usage.inputTokens, usage.outputTokens);
  return texts;
}

test("converse", async () => {
  const { text, finishReason } = await generateText(ask());
  assert.deepEqual([text, finishReason], [m.ANSWER, "stop"]);
});

test("converse_stream", async () => m.streamed(await parts(ask())));

test("invoke", async () => {
  const { text, finishReason, usage } = await generateText(ask({ model: anthropic(m.MODEL) }));
  assert.deepEqual([text, finishReason], [m.ANSWER, "stop"]);
  m.counted(usage.inputTokens, usage.outputTokens);
});

test("invoke_stream", async () => m.streamed(await parts(ask({ model: anthropic(m.MODEL) }))));

test("embeddings", async () => {
  const model = bedrock.embeddingModel(m.EMBEDDER);
  const { embeddings, usage } = await embedMany({ model, values: [m.CAT, m.KITTEN, m.TAX], maxRetries: 0 });
  assert.ok(usage.tokens > 10);
  return m.similar(...embeddings);
});

test("system_prompt", async () => {
  const { usage } = await generateText(ask({ system: undefined, maxOutputTokens: 8 }));
  assert.notEqual(usage.inputTokens, m.INPUT_TOKENS);
});

test("stop_sequence", async () => {
  const { text, finishReason, rawFinishReason } = await generateText(ask({ stopSequences: [m.STOP] }));
  assert.deepEqual([text, finishReason, rawFinishReason], [m.BEFORE_STOP, "stop", "stop_sequence"]);
});

test("usage", async () => {
  const { usage } = await generateText(ask());
  assert.equal(usage.totalTokens, m.INPUT_TOKENS + m.OUTPUT_TOKENS);
  return m.counted(usage.inputTokens, usage.outputTokens);
});

const askWeather = (more = {}) =>
  ask({
    system: undefined,
    prompt: m.WEATHER,
    maxOutputTokens: 100,
    tools: { [m.TOOL]: tool({ description: m.TOOL_TEXT, inputSchema: jsonSchema(m.SCHEMA) }) },
    ...more,
  });

test("tools", async () => {
  let detail;
  for (const model of [bedrock(m.MODEL), anthropic(m.MODEL)]) {
    for (const toolChoice of ["required", { type: "tool", toolName: m.TOOL }]) {
      const { toolCalls, finishReason } = await generateText(askWeather({ model, toolChoice }));
      assert.equal(finishReason, "tool-calls");
      assert.equal(toolCalls.length, 1);
      detail = m.called(toolCalls[0].toolName, toolCalls[0].input);
    }
  }
  return detail;
});

test("tools_stream", async () => {
  let detail;
  for (const model of [bedrock(m.MODEL), anthropic(m.MODEL)]) {
    const deltas = [];
    for await (const part of streamText(askWeather({ model, toolChoice: "required" })).fullStream) {
      if (part.type === "tool-input-delta") deltas.push(part.delta);
    }
    detail = m.fits(m.joined(deltas));
  }
  return detail;
});

test("tool_results", async () => {
  const call = { toolCallId: m.CALL_ID, toolName: m.TOOL };
  const messages = [
    { role: "user", content: m.WEATHER },
    { role: "assistant", content: [{ type: "tool-call", ...call, input: m.CALL }] },
    { role: "tool", content: [{ type: "tool-result", ...call, output: { type: "text", value: m.RESULT } }] },
  ];
  m.answered((await generateText(askWeather({ model: anthropic(m.MODEL), prompt: undefined, messages }))).text);
  return m.answered((await generateText(askWeather({ prompt: undefined, messages }))).text);
});

test("json_schema", async () => {
  let detail;
  for (const model of [m.MODEL, m.MODERN].flatMap((id) => [bedrock(id), anthropic(id)])) {
    const output = Output.object({ schema: jsonSchema(m.SCHEMA) });
    detail = m.fits((await generateText(askWeather({ model, tools: undefined, output }))).output);
  }
  return detail;
});

async function refused(settings, status, ...words) {
  const e = await rejects(generateText(ask(settings)), "AI_APICallError");
  assert.ok(APICallError.isInstance(e));
  assert.equal(e.statusCode, status);
  return `${m.names(e, ...words)} ${status}`;
}

test("unknown_model", () => refused({ model: bedrock(m.UNKNOWN) }, 400, "The provided model identifier is invalid."));

test("bad_key", () => {
  const stranger = createAmazonBedrock({ baseURL: m.ENDPOINT, ...m.BAD_KEYS });
  return refused({ model: stranger(m.MODEL) }, 403, "security token");
});

test("validation", () => refused({ topP: 1.5 }, 400, "topP"));

main({ version: require("@ai-sdk/amazon-bedrock/package.json").version });
