"use strict";
// AWS SDK for JavaScript v3 with its default HTTP handlers against a server with
// real models: the runtime client speaks HTTP/2, without TLS here.

const bedrock = require("@aws-sdk/client-bedrock");
const runtime = require("@aws-sdk/client-bedrock-runtime");
const sts = require("@aws-sdk/client-sts");
const { randomUUID } = require("node:crypto");
const { assert, test, rejects, includes, main } = require("./cases.cjs");

const CLAUDE_V2 = "anthropic.claude-v2";
const HAIKU = "anthropic.claude-3-haiku-20240307-v1:0";
const TITAN = "amazon.titan-text-express-v1";
const EMBED_1 = "amazon.titan-embed-text-v1";
const EMBED_2 = "amazon.titan-embed-text-v2:0";
const SMOLLM = "huggingface.smollm2-135m-instruct-v1:0";
const ARN = "arn:aws:bedrock:us-east-1";
const ASK = [{ role: "user", content: [{ text: "What is the capital of France?" }] }];
const BRIEF = [{ text: "You are a helpful assistant." }]; // with it the small model answers in one sentence

const control = new bedrock.BedrockClient({});
const rt = new runtime.BedrockRuntimeClient({});
const identity = new sts.STSClient({});

const account = async () => (await identity.send(new sts.GetCallerIdentityCommand({}))).Account;
const converse = (input, client = rt) => client.send(new runtime.ConverseCommand({ modelId: HAIKU, messages: ASK, ...input }));

// headersOf notes the response headers of one command.
function headersOf(command) {
  const seen = {};
  command.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      Object.assign(seen, result.response.headers);
      return result;
    },
    { step: "deserialize", priority: "low" },
  );
  return seen;
}

// Without contentType this SDK says application/octet-stream, which Bedrock refuses.
const contentType = "application/json";

async function invoke(modelId, body) {
  const command = new runtime.InvokeModelCommand({ modelId, body: JSON.stringify(body), contentType });
  const headers = headersOf(command);
  const reply = await rt.send(command);
  assert.equal(reply.contentType, "application/json");
  assert.match(reply.$metadata.requestId, /^[0-9a-f-]{36}$/);
  assert.ok(Number(headers["x-amzn-bedrock-invocation-latency"]) >= 0);
  const answer = JSON.parse(new TextDecoder().decode(reply.body));
  return { answer, headers, tokens: Number(headers["x-amzn-bedrock-input-token-count"]) };
}

async function stream(modelId, body) {
  const reply = await rt.send(
    new runtime.InvokeModelWithResponseStreamCommand({ modelId, body: JSON.stringify(body), contentType }),
  );
  assert.equal(reply.contentType, "application/json");
  const chunks = [];
  for await (const event of reply.body) chunks.push(JSON.parse(new TextDecoder().decode(event.chunk.bytes)));
  const metrics = chunks.at(-1)["amazon-bedrock-invocationMetrics"];
  assert.ok(metrics.inputTokenCount > 0 && metrics.outputTokenCount > 0);
  assert.ok(metrics.invocationLatency >= metrics.firstByteLatency);
  return { chunks, metrics };
}

test("default_handler_is_http2_without_tls", async () => {
  await converse({ inferenceConfig: { maxTokens: 1, temperature: 0 } });
  assert.equal(rt.config.requestHandler.metadata.handlerProtocol, "h2");
  assert.equal((await rt.config.endpoint?.())?.protocol ?? new URL(process.env.AWS_ENDPOINT_URL).protocol, "http:");
});

test("list_models", async () => {
  const { modelSummaries } = await control.send(new bedrock.ListFoundationModelsCommand({}));
  const byId = Object.fromEntries(modelSummaries.map((m) => [m.modelId, m]));
  for (const id of [CLAUDE_V2, HAIKU, TITAN, EMBED_1, EMBED_2, SMOLLM]) {
    assert.equal(byId[id].modelArn, `${ARN}::foundation-model/${id}`);
  }
  const { modelSummaries: some } = await control.send(
    new bedrock.ListFoundationModelsCommand({ byProvider: "Amazon", byOutputModality: "EMBEDDING" }),
  );
  assert.deepEqual(some.map((m) => m.modelId).sort(), ["amazon.titan-embed-image-v1", EMBED_1, EMBED_2]);
});

test("get_model", async () => {
  const { modelDetails } = await control.send(new bedrock.GetFoundationModelCommand({ modelIdentifier: HAIKU }));
  assert.equal(modelDetails.modelId, HAIKU);
  const again = await control.send(new bedrock.GetFoundationModelCommand({ modelIdentifier: modelDetails.modelArn }));
  assert.deepEqual(again.modelDetails, modelDetails);
  const available = await control.send(new bedrock.GetFoundationModelAvailabilityCommand({ modelId: HAIKU }));
  assert.equal(available.entitlementAvailability, "AVAILABLE");
});

test("model_ids_in_all_spellings", async () => {
  const profile = `${ARN}:${await account()}:inference-profile/us.${HAIKU}`;
  for (const modelId of [HAIKU, `us.${HAIKU}`, `${ARN}::foundation-model/${HAIKU}`, profile, `${HAIKU}:48k`, SMOLLM]) {
    const reply = await converse({ modelId, inferenceConfig: { maxTokens: 2, temperature: 0 } });
    assert.equal(reply.usage.outputTokens, 2, modelId);
  }
});

test("invoke_claude_text", async () => {
  const { answer, headers } = await invoke(CLAUDE_V2, {
    prompt: "\n\nHuman: Say hello.\n\nAssistant:",
    max_tokens_to_sample: 6,
    temperature: 0,
  });
  assert.ok(answer.completion.trim());
  assert.equal(answer.stop_reason, "max_tokens");
  assert.equal(headers["x-amzn-bedrock-output-token-count"], "6");
});

test("invoke_claude_messages", async () => {
  const { answer, headers, tokens } = await invoke(HAIKU, {
    anthropic_version: "bedrock-2023-05-31",
    max_tokens: 6,
    temperature: 0,
    messages: [{ role: "user", content: "Say hello." }],
  });
  assert.ok(answer.content[0].text.trim());
  assert.deepEqual(answer.usage, { input_tokens: tokens, output_tokens: 6 });
  includes(headers["x-outcrop-served-by"], "smollm2-135m-instruct", "stand-in");
});

test("invoke_titan_text", async () => {
  const { answer, tokens } = await invoke(TITAN, {
    inputText: "Say hello.",
    textGenerationConfig: { maxTokenCount: 6, temperature: 0 },
  });
  assert.equal(answer.inputTextTokenCount, tokens);
  assert.equal(answer.results[0].completionReason, "LENGTH");
  assert.equal(answer.results[0].tokenCount, 6);
});

test("stream_claude_text", async () => {
  const { chunks, metrics } = await stream(CLAUDE_V2, { prompt: "Count from one to ten.", max_tokens_to_sample: 20, temperature: 0 });
  assert.ok(chunks.length > 5 && chunks.every((c) => "completion" in c));
  assert.ok(metrics.outputTokenCount <= 20);
});

test("stream_claude_messages", async () => {
  const { chunks, metrics } = await stream(HAIKU, {
    anthropic_version: "bedrock-2023-05-31",
    max_tokens: 12,
    temperature: 0,
    messages: [{ role: "user", content: "Count from one to twenty." }],
  });
  const kinds = chunks.map((c) => c.type);
  assert.deepEqual(kinds.slice(0, 3), ["message_start", "content_block_start", "content_block_delta"]);
  assert.deepEqual(kinds.slice(-3), ["content_block_stop", "message_delta", "message_stop"]);
  assert.equal(chunks[0].message.usage.input_tokens, metrics.inputTokenCount);
});

test("stream_titan_text", async () => {
  const { chunks, metrics } = await stream(TITAN, {
    inputText: "Count from one to twenty.",
    textGenerationConfig: { maxTokenCount: 12, temperature: 0 },
  });
  assert.ok(chunks.length > 3);
  assert.equal(chunks.at(-1).totalOutputTextTokenCount, metrics.outputTokenCount);
});

test("converse", async () => {
  const reply = await converse({
    system: BRIEF,
    inferenceConfig: { maxTokens: 100, temperature: 0 },
  });
  includes(reply.output.message.content[0].text, "Paris");
  assert.equal(reply.stopReason, "end_turn");
  assert.equal(reply.usage.totalTokens, reply.usage.inputTokens + reply.usage.outputTokens);
  assert.ok(reply.usage.inputTokens > 5 && reply.metrics.latencyMs >= 0);
});

test("converse_stop_reasons", async () => {
  const cut = await converse({ inferenceConfig: { maxTokens: 5, temperature: 0 } });
  assert.deepEqual([cut.stopReason, cut.usage.outputTokens], ["max_tokens", 5]);
  const stopped = await converse({
    system: BRIEF,
    inferenceConfig: { maxTokens: 60, temperature: 0, stopSequences: [" of"] },
  });
  assert.equal(stopped.stopReason, "stop_sequence");
  assert.equal(stopped.output.message.content[0].text, "The capital");
});

test("converse_stream", async () => {
  const { stream: events } = await rt.send(
    new runtime.ConverseStreamCommand({
      modelId: HAIKU,
      messages: ASK,
      system: BRIEF,
      inferenceConfig: { maxTokens: 100, temperature: 0 },
    }),
  );
  const all = [];
  for await (const event of events) all.push(event);
  const deltas = all.filter((e) => e.contentBlockDelta);
  assert.ok(deltas.length > 3);
  assert.deepEqual(
    all.map((e) => Object.keys(e)[0]),
    ["messageStart", ...deltas.map(() => "contentBlockDelta"), "contentBlockStop", "messageStop", "metadata"],
  );
  includes(deltas.map((e) => e.contentBlockDelta.delta.text).join(""), "Paris");
  assert.equal(all.at(-2).messageStop.stopReason, "end_turn");
  const { usage, metrics } = all.at(-1).metadata;
  assert.equal(usage.totalTokens, usage.inputTokens + usage.outputTokens);
  assert.ok(metrics.latencyMs >= 0);
});

test("streams_side_by_side", async () => {
  // Several streams on one HTTP/2 connection.
  const count = async () => {
    const { stream: events } = await rt.send(
      new runtime.ConverseStreamCommand({ modelId: SMOLLM, messages: ASK, inferenceConfig: { maxTokens: 8, temperature: 0 } }),
    );
    let last;
    for await (const event of events) last = event;
    return last.metadata.usage.outputTokens;
  };
  for (const n of await Promise.all([count(), count(), count()])) assert.ok(n > 0 && n <= 8);
});

test("embed_titan_v1", async () => {
  const { answer, tokens } = await invoke(EMBED_1, { inputText: "A cat sits on the mat." });
  assert.equal(answer.embedding.length, 1536);
  assert.equal(answer.inputTextTokenCount, tokens);
  const again = await invoke(EMBED_1, { inputText: "A cat sits on the mat." });
  assert.deepEqual(again.answer.embedding, answer.embedding);
});

test("embed_titan_v2", async () => {
  for (const dimensions of [256, 512, 1024]) {
    const { answer } = await invoke(EMBED_2, { inputText: "hello", dimensions, normalize: true });
    assert.equal(answer.embedding.length, dimensions);
    const length = Math.hypot(...answer.embedding);
    assert.ok(Math.abs(length - 1) < 1e-3, String(length));
  }
});

test("sts_get_caller_identity", async () => {
  const who = await identity.send(new sts.GetCallerIdentityCommand({}));
  assert.match(who.Account, /^\d{12}$/);
  includes(who.Arn, `:${who.Account}:`);
});

test("inference_profiles_system", async () => {
  const ids = [];
  for await (const page of bedrock.paginateListInferenceProfiles(
    { client: control, pageSize: 5 },
    { typeEquals: "SYSTEM_DEFINED" },
  )) {
    ids.push(...page.inferenceProfileSummaries.map((p) => p.inferenceProfileId));
  }
  assert.equal(new Set(ids).size, ids.length);
  assert.ok(ids.includes(`us.${HAIKU}`));
  const got = await control.send(
    new bedrock.GetInferenceProfileCommand({ inferenceProfileIdentifier: `us.${HAIKU}` }),
  );
  assert.equal(got.type, "SYSTEM_DEFINED");
});

test("inference_profiles_own", async () => {
  const clientRequestToken = randomUUID();
  const request = {
    inferenceProfileName: `e2e-js-${clientRequestToken.slice(0, 8)}`,
    clientRequestToken,
    modelSource: { copyFrom: `${ARN}::foundation-model/${HAIKU}` },
  };
  const create = (more) => control.send(new bedrock.CreateInferenceProfileCommand({ ...request, ...more }));
  const { inferenceProfileArn: arn } = await create();
  assert.equal((await create()).inferenceProfileArn, arn);
  const conflict = await rejects(create({ description: "another" }), "ConflictException", bedrock.ConflictException);
  assert.equal(conflict.$metadata.httpStatusCode, 400);
  const got = await control.send(new bedrock.GetInferenceProfileCommand({ inferenceProfileIdentifier: arn }));
  assert.ok(got.createdAt instanceof Date && Math.abs(got.createdAt - Date.now()) < 300_000);
  assert.equal((await converse({ modelId: arn, inferenceConfig: { maxTokens: 2, temperature: 0 } })).usage.outputTokens, 2);
  await control.send(new bedrock.DeleteInferenceProfileCommand({ inferenceProfileIdentifier: arn }));
  await rejects(
    control.send(new bedrock.GetInferenceProfileCommand({ inferenceProfileIdentifier: arn })),
    "ResourceNotFoundException",
    bedrock.ResourceNotFoundException,
  );
});

test("error_unknown_model", async () => {
  const e = await rejects(converse({ modelId: "acme.gpt-0" }), "ValidationException", runtime.ValidationException);
  assert.equal(e.$metadata.httpStatusCode, 400);
  includes(e.message, "The provided model identifier is invalid.");
  await rejects(
    control.send(new bedrock.GetFoundationModelCommand({ modelIdentifier: "acme.gpt-0" })),
    "ResourceNotFoundException",
    bedrock.ResourceNotFoundException,
  );
  await rejects(
    converse({ modelId: `${ARN}:${await account()}:application-inference-profile/abcdefghijkl` }),
    "ResourceNotFoundException",
    runtime.ResourceNotFoundException,
  );
});

test("error_body_names_the_key", async () => {
  const good = { prompt: "hello", max_tokens_to_sample: 5 };
  for (const [key, value] of [["max_tokens_to_sample", "many"], ["temperature", 2], ["colour", "red"]]) {
    const e = await rejects(invoke(CLAUDE_V2, { ...good, [key]: value }), "ValidationException", runtime.ValidationException);
    includes(e.message, key);
  }
  const e = await rejects(stream(CLAUDE_V2, { prompt: "hello" }), "ValidationException", runtime.ValidationException);
  includes(e.message, "max_tokens_to_sample");
});

test("error_content_type", async () => {
  const command = new runtime.InvokeModelCommand({ modelId: CLAUDE_V2, body: "{}" });
  const e = await rejects(rt.send(command), "ValidationException", runtime.ValidationException);
  includes(e.message, "The provided Content Type is invalid or not supported for this model");
});

test("error_constraints", async () => {
  const kind = runtime.ValidationException;
  includes((await rejects(converse({ inferenceConfig: { maxTokens: 0 } }), "ValidationException", kind)).message, "maxTokens");
  includes((await rejects(converse({ inferenceConfig: { temperature: 1.5 } }), "ValidationException", kind)).message, "temperature");
  includes((await rejects(converse({ messages: [{ role: "robot", content: [{ text: "hi" }] }] }), "ValidationException", kind)).message, "role");
  includes((await rejects(converse({ messages: [{ role: "user" }] }), "ValidationException", kind)).message, "content");
});

test("error_input_too_long", async () => {
  const messages = [{ role: "user", content: [{ text: "stone ".repeat(9000) }] }];
  const e = await rejects(
    converse({ messages, inferenceConfig: { maxTokens: 77 } }),
    "ValidationException",
    runtime.ValidationException,
  );
  includes(e.message, "Input is too long for requested model", " 77 ", "8192");
});

const key = { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY };

// refused tells what the three services answer to these credentials.
async function refused(credentials, names) {
  const calls = [
    () => converse({}, new runtime.BedrockRuntimeClient({ credentials })),
    () => new bedrock.BedrockClient({ credentials }).send(new bedrock.ListFoundationModelsCommand({})),
    () => new sts.STSClient({ credentials }).send(new sts.GetCallerIdentityCommand({})),
  ];
  for (const [i, call] of calls.entries()) {
    const e = await rejects(call(), names[i], null);
    assert.equal(e.$metadata.httpStatusCode, 403);
  }
}

test("error_bad_signature", () =>
  refused({ ...key, secretAccessKey: "x".repeat(40) }, [
    "InvalidSignatureException",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
  ]));

test("error_unknown_key", () =>
  refused({ accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "x".repeat(40) }, [
    "UnrecognizedClientException",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
  ]));

test("error_unsigned", async () => {
  const unsigned = { signer: { sign: async (request) => request } };
  await rejects(converse({}, new runtime.BedrockRuntimeClient(unsigned)), "MissingAuthenticationTokenException", null);
});

// at runs f with this process's clock set off by some milliseconds.
async function at(shift, f) {
  const RealDate = Date;
  globalThis.Date = class extends RealDate {
    constructor(...args) {
      if (args.length) super(...args);
      else super(RealDate.now() + shift);
    }
    static now() {
      return RealDate.now() + shift;
    }
  };
  try {
    return await f();
  } finally {
    globalThis.Date = RealDate;
  }
}

test("clock_ten_minutes_off_is_corrected", async () => {
  // The SDK learns the time from the refusal's Date header and tries again.
  for (const shift of [600_000, -600_000]) {
    const client = new runtime.BedrockRuntimeClient({});
    const reply = await at(shift, () => converse({ inferenceConfig: { maxTokens: 2, temperature: 0 } }, client));
    assert.equal(reply.usage.outputTokens, 2);
    assert.equal(reply.$metadata.attempts, 2);
  }
});

test("error_clock_ten_minutes_off", async () => {
  for (const [shift, words] of [[600_000, "Signature not yet current"], [-600_000, "Signature expired"]]) {
    const client = new runtime.BedrockRuntimeClient({ disableClockSkewCorrection: true, maxAttempts: 1 });
    const e = await at(shift, () => rejects(converse({}, client), "InvalidSignatureException", null));
    assert.equal(e.$metadata.httpStatusCode, 403);
    includes(e.message, words);
  }
});

test("error_not_implemented", async () => {
  const e = await rejects(control.send(new bedrock.ListGuardrailsCommand({})), "NotImplementedException", null);
  assert.equal(e.$metadata.httpStatusCode, 501);
  includes(e.message, "ListGuardrails");
});

main();
