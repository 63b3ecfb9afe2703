"""boto3 against a server with one slot, where a queued call waits for 1 s at
most: what holds the slot decides whether the next call is answered."""

import json

import boto3
from botocore.config import Config

from cases import case, contains, equal, main, raises

SMOLLM = "huggingface.smollm2-135m-instruct-v1:0"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
STORY = [{"role": "user", "content": [{"text": "Write a very long story about a dragon."}]}]

runtime = boto3.client("bedrock-runtime", config=Config(retries={"total_max_attempts": 1}))


def short():
    reply = runtime.converse(modelId=SMOLLM, messages=STORY, inferenceConfig={"maxTokens": 2, "temperature": 0})
    equal(reply["usage"]["outputTokens"], 2)


def long_stream():
    reply = runtime.converse_stream(modelId=SMOLLM, messages=STORY, inferenceConfig={"maxTokens": 2000, "temperature": 0})
    events = iter(reply["stream"])
    equal(next(events), {"messageStart": {"role": "assistant"}})
    for _ in range(3):
        assert "contentBlockDelta" in next(events)
    return reply["stream"]


@case
def cancelled_converse_stream_frees_the_slot():
    for _ in range(2):
        long_stream().close()
        short()


@case
def cancelled_invoke_stream_frees_the_slot():
    reply = runtime.invoke_model_with_response_stream(
        modelId=HAIKU,
        body=json.dumps(
            {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 2000,
                "messages": [{"role": "user", "content": "Write a very long story about a dragon."}],
            }
        ),
    )
    events = iter(reply["body"])
    for _ in range(4):
        next(events)
    reply["body"].close()
    short()


@case
def throttled_while_the_slot_is_held():
    stream = long_stream()
    try:
        e = raises(runtime.exceptions.ThrottlingException, short)
        equal(e.response["ResponseMetadata"]["HTTPStatusCode"], 429)
        e = raises(
            runtime.exceptions.ThrottlingException,
            runtime.converse_stream,
            modelId=SMOLLM,
            messages=STORY,
        )
        equal(e.response["ResponseMetadata"]["HTTPStatusCode"], 429)
        contains(str(e), "ThrottlingException")
    finally:
        stream.close()
    short()


if __name__ == "__main__":
    main()
