"""The matrix row of the AWS CLI, version 1."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from importlib.metadata import version

from cases import case, contains, equal, lacks, main
from matrix import *

lacks("version 1 of the AWS CLI knows no streams", "converse_stream", "invoke_stream", "tools_stream")
AWS = pathlib.Path(sys.executable).with_name("aws")
ASK = json.dumps([{"role": "user", "content": [{"text": QUESTION}]}])
UNDER_SYSTEM = ["--system", json.dumps([{"text": SYSTEM}])]


def run(*args, **env):
    return subprocess.run([AWS, *args, "--output", "json"], env={**os.environ, **env}, capture_output=True, text=True)


def aws(*args):
    done = run(*args)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fails(code, *args, **env):
    done = run(*args, **env)
    assert done.returncode >= 250, done
    contains(done.stderr, f"({code})")
    return done.stderr


def asking(*more, model=MODEL, config="maxTokens=40,temperature=0"):
    return ["bedrock-runtime", "converse", "--model-id", model, "--messages", ASK, "--inference-config", config, *more]


def text(reply):
    return reply["output"]["message"]["content"][0]["text"]


def native(model, body):
    with tempfile.NamedTemporaryFile() as file:
        args = ["--model-id", model, "--content-type", "application/json", "--body", json.dumps(body), file.name]
        aws("bedrock-runtime", "invoke-model", *args)
        return json.loads(pathlib.Path(file.name).read_text())


@case
def models():
    found = aws("bedrock", "list-foundation-models")["modelSummaries"]
    assert {MODEL, EMBEDDER} <= {m["modelId"] for m in found}
    return f"{len(found)} models"


@case
def converse():
    reply = aws(*asking(*UNDER_SYSTEM))
    equal((text(reply), reply["stopReason"]), (ANSWER, "end_turn"))


@case
def invoke():
    messages = [{"role": "user", "content": QUESTION}]
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 40, "temperature": 0, "messages": messages}
    reply = native(MODEL, {**body, "system": SYSTEM})
    equal((reply["content"][0]["text"], reply["stop_reason"]), (ANSWER, "end_turn"))
    counted(reply["usage"]["input_tokens"], reply["usage"]["output_tokens"])


@case
def embeddings():
    return similar(*(native(EMBEDDER, {"inputText": words})["embedding"] for words in (CAT, KITTEN, TAX)))


@case
def system_prompt():
    reply = aws(*asking(config="maxTokens=8,temperature=0"))
    assert reply["usage"]["inputTokens"] != INPUT_TOKENS, reply


@case
def stop_sequence():
    config = json.dumps({"maxTokens": 40, "temperature": 0, "stopSequences": [STOP]})
    reply = aws(*asking(*UNDER_SYSTEM, config=config))
    equal((text(reply), reply["stopReason"]), (BEFORE_STOP, "stop_sequence"))


@case
def usage():
    got = aws(*asking(*UNDER_SYSTEM))["usage"]
    equal(got["totalTokens"], INPUT_TOKENS + OUTPUT_TOKENS)
    return counted(got["inputTokens"], got["outputTokens"])


def ask_weather(*turns, choice):
    tool = {"name": TOOL, "description": TOOL_TEXT, "inputSchema": {"json": SCHEMA}}
    tools = {"tools": [{"toolSpec": tool}], "toolChoice": choice}
    asked = [{"role": "user", "content": [{"text": WEATHER}]}, *turns]
    return [
        "bedrock-runtime", "converse", "--model-id", MODEL, "--messages", json.dumps(asked),
        "--inference-config", "maxTokens=100,temperature=0", "--tool-config", json.dumps(tools),
    ]  # fmt: skip


@case
def tools():
    for choice in ({"any": {}}, {"tool": {"name": TOOL}}):
        reply = aws(*ask_weather(choice=choice))
        equal(reply["stopReason"], "tool_use")
        call = reply["output"]["message"]["content"][-1]["toolUse"]
        detail = called(call["name"], call["input"])
    return detail


@case
def tool_results():
    use = {"toolUse": {"toolUseId": CALL_ID, "name": TOOL, "input": CALL}}
    result = {"toolResult": {"toolUseId": CALL_ID, "content": [{"text": RESULT}]}}
    turns = [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    return answered(text(aws(*ask_weather(*turns, choice={"auto": {}}))))


@case
def json_schema():
    form = {"type": "json_schema", "structure": {"jsonSchema": {"name": "weather", "schema": json.dumps(SCHEMA)}}}
    asked = ask_weather(choice={"auto": {}})[:-2]
    return fits(json.loads(text(aws(*asked, "--output-config", json.dumps({"textFormat": form})))))


@case
def count_tokens():
    asked = {"converse": {"system": [{"text": SYSTEM}], "messages": json.loads(ASK)}}
    got = aws("bedrock-runtime", "count-tokens", "--model-id", MODEL, "--input", json.dumps(asked))
    equal(got["inputTokens"], INPUT_TOKENS)


@case
def unknown_model():
    contains(fails("ValidationException", *asking(model=UNKNOWN)), "The provided model identifier is invalid.")


@case
def bad_key():
    keys = {"AWS_ACCESS_KEY_ID": BAD_KEY, "AWS_SECRET_ACCESS_KEY": BAD_SECRET}
    fails("UnrecognizedClientException", *asking(), **keys)


@case
def validation():
    contains(fails("ValidationException", *asking(config="temperature=1.5")), "temperature")


if __name__ == "__main__":
    main(version=version("awscli"))
