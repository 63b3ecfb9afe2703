"use strict";
// AWS SDK for JavaScript v3 with AWS_BEARER_TOKEN_BEDROCK and no access key, over
// plain HTTP.

const bedrock = require("@aws-sdk/client-bedrock");
const runtime = require("@aws-sdk/client-bedrock-runtime");
const { assert, test, main } = require("./cases.cjs");

test("bearer_from_the_environment", async () => {
  const request = {
    modelId: "huggingface.smollm2-135m-instruct-v1:0",
    messages: [{ role: "user", content: [{ text: "hi" }] }],
    inferenceConfig: { maxTokens: 2, temperature: 0 },
  };
  const rt = new runtime.BedrockRuntimeClient({});
  assert.equal((await rt.send(new runtime.ConverseCommand(request))).usage.outputTokens, 2);
  const { stream } = await rt.send(new runtime.ConverseStreamCommand(request));
  let last;
  for await (const event of stream) last = event;
  assert.equal(last.metadata.usage.outputTokens, 2);
  const { modelSummaries } = await new bedrock.BedrockClient({}).send(new bedrock.ListFoundationModelsCommand({}));
  assert.ok(modelSummaries.length > 10);
});

main();
