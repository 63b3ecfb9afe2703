"use strict";
// AWS SDK for JavaScript v3 over TLS; NODE_EXTRA_CA_CERTS names the server's own
// authority.

const bedrock = require("@aws-sdk/client-bedrock");
const runtime = require("@aws-sdk/client-bedrock-runtime");
const { assert, test, rejects, main } = require("./cases.cjs");

const SMOLLM = "huggingface.smollm2-135m-instruct-v1:0";
const request = {
  modelId: SMOLLM,
  messages: [{ role: "user", content: [{ text: "hi" }] }],
  inferenceConfig: { maxTokens: 2, temperature: 0 },
};

async function call(config) {
  const rt = new runtime.BedrockRuntimeClient(config);
  const reply = await rt.send(new runtime.ConverseCommand(request));
  assert.equal(reply.usage.outputTokens, 2);
  const { stream } = await rt.send(new runtime.ConverseStreamCommand(request));
  let last;
  for await (const event of stream) last = event;
  assert.equal(last.metadata.usage.outputTokens, 2);
  const { modelSummaries } = await new bedrock.BedrockClient(config).send(new bedrock.ListFoundationModelsCommand({}));
  assert.ok(modelSummaries.length > 10);
}

const bearer = (token) => ({ token: { token }, authSchemePreference: ["httpBearerAuth"] });

test("signed", () => call({}));
test("bearer", () => call(bearer(process.env.BEARER)));
test("wrong_bearer", () =>
  rejects(call(bearer(process.env.BEARER.slice(0, -2) + "xx")), "AccessDeniedException", runtime.AccessDeniedException));

main();
