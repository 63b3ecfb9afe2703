"""boto3 against fault rules: what its own retries and time-outs do about them."""

import json
import os
import subprocess
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError, EventStreamError, ReadTimeoutError

from cases import case, contains, equal, main, raises

COMMAND = json.loads(os.environ["OUTCROP"])
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
EMBED = "amazon.titan-embed-text-v2:0"
HEADER = "x-outcrop-fault"

default = boto3.client("bedrock-runtime")
once = boto3.client("bedrock-runtime", config=Config(retries={"total_max_attempts": 1}))


def outcrop(*args):
    return subprocess.run([*COMMAND[:1], *args, *COMMAND[1:]], check=True, capture_output=True, text=True).stdout


class rule:
    """A rule for the time of a block. Cases run one after the other."""

    def __init__(self, name, *args):
        self.name, self.args = name, args

    def __enter__(self):
        outcrop("faults", "put", self.name, *self.args)
        return self

    def __exit__(self, *_):
        outcrop("faults", "rm", self.name)

    def counts(self):
        mine = [r for r in json.loads(outcrop("faults", "list", "--json")) if r["ruleName"] == self.name]
        return mine[0]["callCount"], mine[0]["faultCount"]


def ask(client=once, **more):
    words = [{"role": "user", "content": [{"text": "hi"}]}]
    return client.converse(modelId=HAIKU, messages=words, **more)


def headers(answer):
    return answer["ResponseMetadata"]["HTTPHeaders"]


@case
def retries_come_home_through_throttling():
    retries = 0
    with rule("busy", "--type", "throttling", "--rate", "0.3", "--seed", "7") as busy:
        for _ in range(40):
            retries += ask(default)["ResponseMetadata"]["RetryAttempts"]
        calls, faults = busy.counts()
    equal((calls, faults), (40 + retries, retries))
    assert 0.15 < faults / calls < 0.45, (calls, faults)
    return f"40 calls, {retries} retries"


@case
def without_retries_the_error_is_seen():
    with rule("busy", "--type", "throttling"):
        e = raises(once.exceptions.ThrottlingException, ask)
        equal(e.response["ResponseMetadata"]["HTTPStatusCode"], 429)
        equal(headers(e.response)[HEADER], "busy=THROTTLING")
        contains(str(e), "This is a fault for testing")
    assert HEADER not in headers(ask())


@case
def the_first_calls_fail():
    with rule("first", "--type", "unavailable", "--max", "2"):
        equal(ask(default)["ResponseMetadata"]["RetryAttempts"], 2)
        equal(ask(default)["ResponseMetadata"]["RetryAttempts"], 0)


@case
def errors_by_their_classes():
    for word, name, status in (
        ("timeout", "ModelTimeoutException", 408),
        ("model-error", "ModelErrorException", 424),
        ("not-ready", "ModelNotReadyException", 429),
        ("unavailable", "ServiceUnavailableException", 503),
        ("internal-error", "InternalServerException", 500),
        ("stream-break", "ModelErrorException", 424),
    ):
        with rule("r", "--type", word):
            e = raises(getattr(once.exceptions, name), ask)
            equal(e.response["ResponseMetadata"]["HTTPStatusCode"], status)
            body = json.dumps({"inputText": "a"})
            raises(getattr(once.exceptions, name), once.invoke_model, modelId=EMBED, body=body)


@case
def a_stream_breaks_off():
    with rule("cut", "--type", "stream-break", "--after", "2"):
        words = [{"role": "user", "content": [{"text": "hi"}]}]
        answer = once.converse_stream(modelId=HAIKU, messages=words)
        equal(headers(answer)[HEADER], "cut=STREAM_BREAK")
        seen = []

        def read():
            for event in answer["stream"]:
                seen.append(next(iter(event)))

        e = raises(EventStreamError, read)
        equal(e.response["Error"]["Code"], "modelStreamErrorException")
        equal(seen, ["messageStart"] + ["contentBlockDelta"] * 2)

        native = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
        answer = once.invoke_model_with_response_stream(modelId=HAIKU, body=json.dumps(native))
        e = raises(EventStreamError, lambda: list(answer["body"]))
        equal(e.response["Error"]["Code"], "modelStreamErrorException")


@case
def a_connection_is_cut():
    with rule("cut", "--type", "connection-cut"):
        raises(ConnectionClosedError, ask)


@case
def latency_is_felt():
    with rule("slow", "--type", "latency", "--latency", "1500ms"):
        begin = time.monotonic()
        answer = ask()
        took = time.monotonic() - begin
        equal(headers(answer)[HEADER], "slow=LATENCY")
        assert took >= 1.5, took
        hasty = boto3.client("bedrock-runtime", config=Config(read_timeout=0.5, retries={"total_max_attempts": 1}))
        raises(ReadTimeoutError, ask, hasty)


@case
def only_on_request():
    with rule("asked", "--type", "throttling", "--on-request"):
        assert HEADER not in headers(ask())
        assert HEADER not in headers(ask(requestMetadata={"outcrop-fault": "other"}))
        raises(once.exceptions.ThrottlingException, ask, requestMetadata={"outcrop-fault": "asked"})
    # Nobody makes a model fail by words alone.
    assert HEADER not in headers(ask(requestMetadata={"outcrop-fault": "asked"}))


@case
def another_model_is_spared():
    with rule("one", "--type", "throttling", "--model", "amazon.*"):
        ask()
        raises(once.exceptions.ThrottlingException, once.invoke_model, modelId=EMBED, body=json.dumps({"inputText": "a"}))


if __name__ == "__main__":
    main()
