"""The matrix row of boto3, this year's and that of two years ago."""

import json

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from cases import case, equal, main, raises
from matrix import *

runtime = boto3.client("bedrock-runtime")
ASK = {
    "modelId": MODEL,
    "system": [{"text": SYSTEM}],
    "messages": [{"role": "user", "content": [{"text": QUESTION}]}],
}
BODY = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 40,
    "temperature": 0,
    "system": SYSTEM,
    "messages": [{"role": "user", "content": QUESTION}],
}


def ask(**config):
    return {**ASK, "inferenceConfig": {"maxTokens": 40, "temperature": 0, **config}}


def text(reply):
    return reply["output"]["message"]["content"][0]["text"]


@case
def models():
    found = boto3.client("bedrock").list_foundation_models()["modelSummaries"]
    assert {MODEL, EMBEDDER} <= {m["modelId"] for m in found}
    return f"{len(found)} models"


@case
def converse():
    reply = runtime.converse(**ask())
    equal((text(reply), reply["stopReason"]), (ANSWER, "end_turn"))


@case
def converse_stream():
    events = list(runtime.converse_stream(**ask())["stream"])
    equal(events[-2]["messageStop"]["stopReason"], "end_turn")
    usage = events[-1]["metadata"]["usage"]
    counted(usage["inputTokens"], usage["outputTokens"])
    return streamed([e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e])


@case
def invoke():
    reply = json.loads(runtime.invoke_model(modelId=MODEL, body=json.dumps(BODY))["body"].read())
    equal((reply["content"][0]["text"], reply["stop_reason"]), (ANSWER, "end_turn"))
    counted(reply["usage"]["input_tokens"], reply["usage"]["output_tokens"])


@case
def invoke_stream():
    reply = runtime.invoke_model_with_response_stream(modelId=MODEL, body=json.dumps(BODY))
    chunks = [json.loads(e["chunk"]["bytes"]) for e in reply["body"]]
    return streamed([c["delta"]["text"] for c in chunks if c["type"] == "content_block_delta"])


@case
def embeddings():
    def embed(words):
        body = json.dumps({"inputText": words})
        return json.loads(runtime.invoke_model(modelId=EMBEDDER, body=body)["body"].read())["embedding"]

    return similar(embed(CAT), embed(KITTEN), embed(TAX))


@case
def system_prompt():
    without = {k: v for k, v in ask().items() if k != "system"}
    reply = runtime.converse(**without)
    assert text(reply) != ANSWER and reply["usage"]["inputTokens"] != INPUT_TOKENS, reply


@case
def stop_sequence():
    reply = runtime.converse(**ask(stopSequences=[STOP]))
    equal((text(reply), reply["stopReason"]), (BEFORE_STOP, "stop_sequence"))


@case
def usage():
    got = runtime.converse(**ask())["usage"]
    equal(got["totalTokens"], INPUT_TOKENS + OUTPUT_TOKENS)
    return counted(got["inputTokens"], got["outputTokens"])


@case
def unknown_model():
    e = raises(runtime.exceptions.ValidationException, runtime.converse, **{**ask(), "modelId": UNKNOWN})
    return names(e, "The provided model identifier is invalid.")


@case
def bad_key():
    client = boto3.client("bedrock-runtime", aws_access_key_id=BAD_KEY, aws_secret_access_key=BAD_SECRET)
    e = raises(ClientError, client.converse, **ask())
    equal(e.response["ResponseMetadata"]["HTTPStatusCode"], 403)
    return names(e, "UnrecognizedClientException")


@case
def validation():
    bare = boto3.client("bedrock-runtime", config=Config(parameter_validation=False))
    e = raises(bare.exceptions.ValidationException, bare.converse, **ask(temperature=1.5))
    return names(e, "temperature")


if __name__ == "__main__":
    main(version=boto3.__version__)
