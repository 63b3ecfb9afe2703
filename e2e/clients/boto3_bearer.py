"""One call with AWS_BEARER_TOKEN_BEDROCK and no access key."""

import boto3

runtime = boto3.client("bedrock-runtime")
reply = runtime.converse(
    modelId="huggingface.smollm2-135m-instruct-v1:0",
    messages=[{"role": "user", "content": [{"text": "hi"}]}],
    inferenceConfig={"maxTokens": 2},
)
assert reply["usage"]["outputTokens"] == 2, reply
assert boto3.client("bedrock").list_foundation_models()["modelSummaries"]
