"""boto3 against a scripted engine: the errors that only a failing engine makes."""

import json
import time

import boto3
from botocore.config import Config
from botocore.exceptions import EventStreamError

from cases import case, contains, equal, main, raises

SMOLLM = "huggingface.smollm2-135m-instruct-v1:0"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
BEFORE = {
    "throttle": ("ThrottlingException", 429),
    "not ready": ("ModelNotReadyException", 429),
    "timeout": ("ModelTimeoutException", 408),
    "unavailable": ("ServiceUnavailableException", 503),
    "error": ("ModelErrorException", 424),
    "internal": ("InternalServerException", 500),
    "panic": ("InternalServerException", 500),
}

runtime = boto3.client("bedrock-runtime", config=Config(retries={"total_max_attempts": 1}))


def messages(script):
    return [{"role": "user", "content": [{"text": script}]}]


def native(script):
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50}
    return json.dumps({**body, "messages": [{"role": "user", "content": script}]})


def check(error, status):
    equal(error.response["ResponseMetadata"]["HTTPStatusCode"], status)
    assert error.response["Error"]["Message"] and "secret" not in str(error), error


@case
def error_before_the_first_token():
    for script, (name, status) in BEFORE.items():
        kind = getattr(runtime.exceptions, name)
        check(raises(kind, runtime.converse, modelId=SMOLLM, messages=messages(script)), status)
        check(raises(kind, runtime.converse_stream, modelId=SMOLLM, messages=messages(script)), status)
        check(raises(kind, runtime.invoke_model, modelId=HAIKU, body=native(script)), status)
        check(raises(kind, runtime.invoke_model_with_response_stream, modelId=HAIKU, body=native(script)), status)


@case
def error_in_mid_call():
    for script, name, status in (
        ("late throttle", "ThrottlingException", 429),
        ("late timeout", "ModelTimeoutException", 408),
        ("late break", "ModelErrorException", 424),
        ("late internal", "InternalServerException", 500),
    ):
        kind = getattr(runtime.exceptions, name)
        check(raises(kind, runtime.converse, modelId=SMOLLM, messages=messages(script)), status)
        check(raises(kind, runtime.invoke_model, modelId=HAIKU, body=native(script)), status)


def broken(events):
    """The events before the error, and its code."""
    seen = []

    def read():
        for event in events:
            seen.append(event)

    error = raises(EventStreamError, read)
    assert error.response["Error"]["Message"] and "secret" not in str(error), error
    return seen, error.response["Error"]["Code"]


@case
def error_in_mid_converse_stream():
    for script, code in (
        ("late throttle", "throttlingException"),
        ("late break", "modelStreamErrorException"),
        ("late unavailable", "serviceUnavailableException"),
        ("late internal", "internalServerException"),
        ("late timeout", "modelStreamErrorException"),  # ConverseStream models no timeout
    ):
        stream = runtime.converse_stream(modelId=SMOLLM, messages=messages(script))["stream"]
        seen, got = broken(stream)
        equal(got, code)
        equal([next(iter(e)) for e in seen], ["messageStart"] + ["contentBlockDelta"] * 3)


@case
def error_in_mid_invoke_stream():
    for script, code in (
        ("late throttle", "throttlingException"),
        ("late break", "modelStreamErrorException"),
        ("late timeout", "modelTimeoutException"),
        ("late internal", "internalServerException"),
    ):
        stream = runtime.invoke_model_with_response_stream(modelId=HAIKU, body=native(script))["body"]
        seen, got = broken(stream)
        equal(got, code)
        text = [json.loads(e["chunk"]["bytes"]) for e in seen]
        equal("".join(c["delta"]["text"] for c in text if c["type"] == "content_block_delta"), "one two three")


@case
def throttled_calls_are_retried():
    retrying = boto3.client("bedrock-runtime", config=Config(retries={"total_max_attempts": 3, "mode": "standard"}))
    begin = time.monotonic()
    e = raises(retrying.exceptions.ThrottlingException, retrying.converse, modelId=SMOLLM, messages=messages("throttle"))
    equal(e.response["ResponseMetadata"]["RetryAttempts"], 2)
    contains(str(e), "reached max retries: 2")
    return f"{time.monotonic() - begin:.1f} s"


@case
def no_retry_of_what_cannot_help():
    default = boto3.client("bedrock-runtime")
    for script in ("error", "timeout"):
        try:
            default.converse(modelId=SMOLLM, messages=messages(script))
        except default.exceptions.ClientError as e:
            equal(e.response["ResponseMetadata"]["RetryAttempts"], 0)
        else:
            raise AssertionError("no error")


if __name__ == "__main__":
    main()
