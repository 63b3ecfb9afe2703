"""boto3 and weights that see images."""

import base64
import json
import os

import boto3
from botocore.config import Config

import files
from cases import case, contains, equal, main, raises

MODEL, BUCKET = os.environ["E2E_MODEL"], os.environ["E2E_BUCKET"]
runtime = boto3.client("bedrock-runtime", config=Config(read_timeout=300, parameter_validation=False))
CONFIG = {"maxTokens": 8, "temperature": 0}


def picture(data, form="png"):
    return {"image": {"format": form, "source": {"bytes": data}}}


def user(*blocks):
    return [{"role": "user", "content": [{"text": b} if isinstance(b, str) else b for b in blocks]}]


def ask(messages):
    """The reply's words, and its input tokens, which are those of CountTokens."""
    reply = runtime.converse(modelId=MODEL, messages=messages, inferenceConfig=CONFIG)
    counted = runtime.count_tokens(modelId=MODEL, input={"converse": {"messages": messages}})["inputTokens"]
    usage = reply["usage"]
    equal(counted, usage["inputTokens"])
    assert usage["outputTokens"] > 0 and usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"], usage
    return reply["output"]["message"]["content"], counted


@case
def listed():
    details = boto3.client("bedrock").get_foundation_model(modelIdentifier=MODEL)["modelDetails"]
    equal(details["inputModalities"], ["TEXT", "IMAGE"])


@case
def pictures_cost_tokens():
    """A picture is scaled to the eyes of the weights and costs by its shape, two cost
    more than one, and every count is exact."""
    text, words = ask(user("What is this?"))
    counts = {}
    for width, height in ((64, 64), (256, 128), (256, 256), (1000, 700)):
        content, counts[f"{width}x{height}"] = ask(user("What is this?", picture(files.png(width, height))))
        assert content, content
    assert words < counts["256x128"] < counts["1000x700"] < counts["256x256"] == counts["64x64"], counts
    _, two = ask(user("What is this?", picture(files.png(64, 64)), picture(files.png(256, 256))))
    assert two > counts["256x256"], two
    return f"text {words} tokens, with pictures {counts}, two pictures {two}; reply {content}"


@case
def stream():
    messages = user("What is this?", picture(files.png(64, 64)))
    whole, tokens = ask(messages)
    events = list(runtime.converse_stream(modelId=MODEL, messages=messages, inferenceConfig=CONFIG)["stream"])
    said = "".join(e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e)
    equal((said, events[-1]["metadata"]["usage"]["inputTokens"]), ("".join(b["text"] for b in whole), tokens))
    return repr(said)


@case
def earlier_turns():
    """A picture of an earlier turn is seen again."""
    first = user("What is this?", picture(files.png(64, 64)))
    turns = first + [{"role": "assistant", "content": [{"text": "A gradient."}]}] + user("And this?", picture(files.png(64, 64)))
    _, one = ask(first)
    _, both = ask(turns)
    assert both > one, (one, both)


@case
def in_a_bucket():
    """A picture by s3Location is the picture by its bytes."""
    there = {"image": {"format": "png", "source": {"s3Location": {"uri": f"s3://{BUCKET}/small.png"}}}}
    equal(ask(user("What is this?", there)), ask(user("What is this?", picture(files.png(64, 64)))))


@case
def native_body():
    """OpenAI's body, which is the native one of these weights."""
    url = "data:image/png;base64," + base64.b64encode(files.png(64, 64)).decode()
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    body = json.dumps({"messages": [{"role": "user", "content": content}], "max_tokens": 8, "temperature": 0})
    reply = runtime.invoke_model(modelId=MODEL, body=body)
    counted = runtime.count_tokens(modelId=MODEL, input={"invokeModel": {"body": body}})["inputTokens"]
    answer = json.loads(reply["body"].read())
    equal((answer["usage"]["prompt_tokens"], counted), (counted, ask(user("What is this?", picture(files.png(64, 64))))[1]))
    return answer["choices"][0]["message"]["content"]


@case
def broken_pictures_are_refused():
    for data, form, part in (
        (b"no picture", "png", "image"),
        (files.png(8, 8)[:40], "png", "image"),
        (files.png(8, 8), "bmp", "format"),
    ):
        e = raises(runtime.exceptions.ValidationException, runtime.converse, modelId=MODEL, messages=user("x", picture(data, form)))
        contains(str(e), part)
    return str(e)


if __name__ == "__main__":
    main()
