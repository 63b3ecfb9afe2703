"""boto3 over TLS, with AWS_CA_BUNDLE naming the server's own authority."""

import os

import boto3

from cases import case, equal, main, raises

SMOLLM = "huggingface.smollm2-135m-instruct-v1:0"
ASK = [{"role": "user", "content": [{"text": "hi"}]}]


def call():
    runtime = boto3.client("bedrock-runtime")
    reply = runtime.converse(modelId=SMOLLM, messages=ASK, inferenceConfig={"maxTokens": 2, "temperature": 0})
    equal(reply["usage"]["outputTokens"], 2)
    stream = runtime.converse_stream(modelId=SMOLLM, messages=ASK, inferenceConfig={"maxTokens": 2, "temperature": 0})
    equal(list(stream["stream"])[-1]["metadata"]["usage"]["outputTokens"], 2)
    return boto3.client("bedrock").list_foundation_models()


@case
def signed():
    assert call()["modelSummaries"]


@case
def bearer():
    os.environ["AWS_BEARER_TOKEN_BEDROCK"] = os.environ["BEARER"]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del os.environ[name]
    assert call()["modelSummaries"]


@case
def wrong_bearer():
    os.environ["AWS_BEARER_TOKEN_BEDROCK"] = os.environ["BEARER"][:-2] + "xx"
    runtime = boto3.client("bedrock-runtime")
    e = raises(runtime.exceptions.AccessDeniedException, runtime.converse, modelId=SMOLLM, messages=ASK)
    equal(e.response["ResponseMetadata"]["HTTPStatusCode"], 403)


if __name__ == "__main__":
    main()
