"""The matrix row of boto3, this year's and that of two years ago."""

import json

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from cases import case, equal, lacks, main, raises
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


KNOWN = runtime.meta.service_model.operation_model("Converse").input_shape.members
if "outputConfig" not in KNOWN:
    lacks("it came to the API after this version", "json_schema", "count_tokens")


def ask(**config):
    return {**ASK, "inferenceConfig": {"maxTokens": 40, "temperature": 0, **config}}


def ask_weather(*turns, choice={"any": {}}, **config):
    tool = {"name": TOOL, "description": TOOL_TEXT, "inputSchema": {"json": SCHEMA}}
    return {
        "modelId": MODEL,
        "messages": [{"role": "user", "content": [{"text": WEATHER}]}, *turns],
        "toolConfig": {"tools": [{"toolSpec": tool}], "toolChoice": choice},
        "inferenceConfig": {"maxTokens": 100, "temperature": 0, **config},
    }


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
    assert reply["usage"]["inputTokens"] != INPUT_TOKENS, reply


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
def tools():
    for choice in ({"any": {}}, {"tool": {"name": TOOL}}):
        reply = runtime.converse(**ask_weather(choice=choice))
        equal(reply["stopReason"], "tool_use")
        call = reply["output"]["message"]["content"][-1]["toolUse"]
        detail = called(call["name"], call["input"])
    return detail


@case
def tools_stream():
    events = list(runtime.converse_stream(**ask_weather())["stream"])
    equal(events[-2]["messageStop"]["stopReason"], "tool_use")
    (start,) = (e["contentBlockStart"]["start"]["toolUse"] for e in events if "contentBlockStart" in e)
    deltas = [e["contentBlockDelta"]["delta"] for e in events if "contentBlockDelta" in e]
    return called(start["name"], joined([d["toolUse"]["input"] for d in deltas if "toolUse" in d]))


@case
def tool_results():
    use = {"toolUse": {"toolUseId": CALL_ID, "name": TOOL, "input": CALL}}
    result = {"toolResult": {"toolUseId": CALL_ID, "content": [{"text": RESULT}]}}
    turns = [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    reply = runtime.converse(**ask_weather(*turns, choice={"auto": {}}))
    return answered(text(reply))


if "outputConfig" in KNOWN:

    @case
    def json_schema():
        form = {"type": "json_schema", "structure": {"jsonSchema": {"name": "weather", "schema": json.dumps(SCHEMA)}}}
        asked = {k: v for k, v in ask_weather().items() if k != "toolConfig"}
        reply = runtime.converse(**asked, outputConfig={"textFormat": form})
        return fits(json.loads(text(reply)))

    @case
    def count_tokens():
        asked = {k: ASK[k] for k in ("system", "messages")}
        equal(runtime.count_tokens(modelId=MODEL, input={"converse": asked})["inputTokens"], INPUT_TOKENS)
        body = {"invokeModel": {"body": json.dumps(BODY)}}
        equal(runtime.count_tokens(modelId=MODEL, input=body)["inputTokens"], INPUT_TOKENS)


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
