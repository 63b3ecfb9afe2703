"use strict";
// The matrix row of the AWS SDK for JavaScript v3, this year's and that of two
// years ago, each with its default HTTP handler.

const bedrock = require("@aws-sdk/client-bedrock");
const runtime = require("@aws-sdk/client-bedrock-runtime");
const { assert, test, lacks, rejects, main } = require("./cases.cjs");
const m = require("./matrix.cjs");

const rt = new runtime.BedrockRuntimeClient({});
const ask = (config = {}, more = {}) => ({
  modelId: m.MODEL,
  system: [{ text: m.SYSTEM }],
  messages: [{ role: "user", content: [{ text: m.QUESTION }] }],
  inferenceConfig: { maxTokens: 40, temperature: 0, ...config },
  ...more,
});
const native = () => ({
  modelId: m.MODEL,
  contentType: "application/json",
  body: JSON.stringify({
    anthropic_version: "bedrock-2023-05-31",
    max_tokens: 40,
    temperature: 0,
    system: m.SYSTEM,
    messages: [{ role: "user", content: m.QUESTION }],
  }),
});
const converse = (input, client = rt) => client.send(new runtime.ConverseCommand(input));
const text = (reply) => reply.output.message.content[0].text;
const json = (bytes) => JSON.parse(new TextDecoder().decode(bytes));

async function collect(events) {
  const all = [];
  for await (const event of events) all.push(event);
  return all;
}

test("models", async () => {
  const found = (await new bedrock.BedrockClient({}).send(new bedrock.ListFoundationModelsCommand({}))).modelSummaries;
  const ids = found.map((x) => x.modelId);
  assert.ok(ids.includes(m.MODEL) && ids.includes(m.EMBEDDER));
  return `${ids.length} models`;
});

test("converse", async () => {
  const reply = await converse(ask());
  assert.deepEqual([text(reply), reply.stopReason], [m.ANSWER, "end_turn"]);
});

test("converse_stream", async () => {
  const events = await collect((await rt.send(new runtime.ConverseStreamCommand(ask()))).stream);
  assert.equal(events.at(-2).messageStop.stopReason, "end_turn");
  const { usage } = events.at(-1).metadata;
  m.counted(usage.inputTokens, usage.outputTokens);
  return m.streamed(events.map((e) => e.contentBlockDelta?.delta.text));
});

test("invoke", async () => {
  const reply = json((await rt.send(new runtime.InvokeModelCommand(native()))).body);
  assert.deepEqual([reply.content[0].text, reply.stop_reason], [m.ANSWER, "end_turn"]);
  m.counted(reply.usage.input_tokens, reply.usage.output_tokens);
});

test("invoke_stream", async () => {
  const events = await collect((await rt.send(new runtime.InvokeModelWithResponseStreamCommand(native()))).body);
  const chunks = events.map((e) => json(e.chunk.bytes));
  return m.streamed(chunks.filter((c) => c.type === "content_block_delta").map((c) => c.delta.text));
});

test("embeddings", async () => {
  const embed = async (inputText) => {
    const body = JSON.stringify({ inputText });
    const input = { modelId: m.EMBEDDER, contentType: "application/json", body };
    return json((await rt.send(new runtime.InvokeModelCommand(input))).body).embedding;
  };
  return m.similar(await embed(m.CAT), await embed(m.KITTEN), await embed(m.TAX));
});

test("system_prompt", async () => {
  const reply = await converse(ask({ maxTokens: 8 }, { system: undefined }));
  assert.notEqual(reply.usage.inputTokens, m.INPUT_TOKENS);
});

test("stop_sequence", async () => {
  const reply = await converse(ask({ stopSequences: [m.STOP] }));
  assert.deepEqual([text(reply), reply.stopReason], [m.BEFORE_STOP, "stop_sequence"]);
});

test("usage", async () => {
  const { usage } = await converse(ask());
  assert.equal(usage.totalTokens, m.INPUT_TOKENS + m.OUTPUT_TOKENS);
  return m.counted(usage.inputTokens, usage.outputTokens);
});

const askWeather = (turns = [], toolChoice = { any: {} }) => ({
  modelId: m.MODEL,
  messages: [{ role: "user", content: [{ text: m.WEATHER }] }, ...turns],
  toolConfig: {
    tools: [{ toolSpec: { name: m.TOOL, description: m.TOOL_TEXT, inputSchema: { json: m.SCHEMA } } }],
    toolChoice,
  },
  inferenceConfig: { maxTokens: 100, temperature: 0 },
});

test("tools", async () => {
  let detail;
  for (const choice of [{ any: {} }, { tool: { name: m.TOOL } }]) {
    const reply = await converse(askWeather([], choice));
    assert.equal(reply.stopReason, "tool_use");
    const { name, input } = reply.output.message.content.at(-1).toolUse;
    detail = m.called(name, input);
  }
  return detail;
});

test("tools_stream", async () => {
  const events = await collect((await rt.send(new runtime.ConverseStreamCommand(askWeather()))).stream);
  assert.equal(events.at(-2).messageStop.stopReason, "tool_use");
  const { name } = events.find((e) => e.contentBlockStart).contentBlockStart.start.toolUse;
  return m.called(name, m.joined(events.map((e) => e.contentBlockDelta?.delta.toolUse?.input)));
});

test("tool_results", async () => {
  const use = { toolUse: { toolUseId: m.CALL_ID, name: m.TOOL, input: m.CALL } };
  const result = { toolResult: { toolUseId: m.CALL_ID, content: [{ text: m.RESULT }] } };
  const turns = [
    { role: "assistant", content: [use] },
    { role: "user", content: [result] },
  ];
  return m.answered(text(await converse(askWeather(turns, { auto: {} }))));
});

if (runtime.CountTokensCommand) {
  test("json_schema", async () => {
    const jsonSchema = { name: "weather", schema: JSON.stringify(m.SCHEMA) };
    const outputConfig = { textFormat: { type: "json_schema", structure: { jsonSchema } } };
    return m.fits(JSON.parse(text(await converse({ ...askWeather(), toolConfig: undefined, outputConfig }))));
  });

  test("count_tokens", async () => {
    const { modelId, body } = native();
    const { system, messages } = ask();
    for (const input of [{ converse: { system, messages } }, { invokeModel: { body: new TextEncoder().encode(body) } }]) {
      const counted = await rt.send(new runtime.CountTokensCommand({ modelId, input }));
      assert.equal(counted.inputTokens, m.INPUT_TOKENS);
    }
  });
} else {
  lacks("it came to the API after this version", "json_schema", "count_tokens");
}

test("unknown_model", async () => {
  const e = await rejects(converse(ask({}, { modelId: m.UNKNOWN })), "ValidationException", runtime.ValidationException);
  return m.names(e, "The provided model identifier is invalid.");
});

test("bad_key", async () => {
  const stranger = new runtime.BedrockRuntimeClient({ credentials: m.BAD_KEYS });
  const e = await rejects(converse(ask(), stranger), "UnrecognizedClientException");
  assert.equal(e.$metadata.httpStatusCode, 403);
  return m.names(e, "UnrecognizedClientException");
});

test("validation", async () => {
  const e = await rejects(converse(ask({ temperature: 1.5 })), "ValidationException", runtime.ValidationException);
  return m.names(e, "temperature");
});

main({ version: require("@aws-sdk/client-bedrock-runtime/package.json").version });
