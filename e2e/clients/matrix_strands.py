"""The matrix row of Strands Agents: an agent over its Bedrock model."""

import asyncio
from importlib.metadata import version

import boto3
from botocore.exceptions import ClientError
from strands import Agent
from strands.models import BedrockModel

from cases import case, equal, lacks, main, raises
from matrix import *

lacks("an agent speaks to one model", "models")
lacks("Strands knows the Converse operations alone", "invoke", "invoke_stream")
lacks("Strands has no embeddings", "embeddings")


def agent(system=SYSTEM, session=None, **config):
    config = {"model_id": MODEL, "temperature": 0, "max_tokens": 40, **config}
    return Agent(model=BedrockModel(boto_session=session, **config), system_prompt=system, callback_handler=None)


def text(result):
    return result.message["content"][0]["text"]


@case
def converse():
    result = agent(streaming=False)(QUESTION)
    equal((text(result), result.stop_reason), (ANSWER, "end_turn"))


@case
def converse_stream():
    async def read():
        return [e["data"] async for e in agent().stream_async(QUESTION) if "data" in e]

    return streamed(asyncio.run(read()))


@case
def system_prompt():
    result = agent(system=None, max_tokens=60, stop_sequences=["\n", ","])(QUESTION)
    assert text(result) != ANSWER and result.metrics.accumulated_usage["inputTokens"] != INPUT_TOKENS, result


@case
def stop_sequence():
    result = agent(stop_sequences=[STOP])(QUESTION)
    equal((text(result), result.stop_reason), (BEFORE_STOP, "stop_sequence"))


@case
def usage():
    got = agent()(QUESTION).metrics.accumulated_usage
    equal(got["totalTokens"], INPUT_TOKENS + OUTPUT_TOKENS)
    return counted(got["inputTokens"], got["outputTokens"])


@case
def unknown_model():
    return names(raises(ClientError, agent(model_id=UNKNOWN), QUESTION), "The provided model identifier is invalid.")


@case
def bad_key():
    session = boto3.Session(aws_access_key_id=BAD_KEY, aws_secret_access_key=BAD_SECRET, region_name=REGION)
    return names(raises(ClientError, agent(session=session), QUESTION), "UnrecognizedClientException")


@case
def validation():
    return names(raises(ClientError, agent(temperature=1.5), QUESTION), "ValidationException", "temperature")


if __name__ == "__main__":
    main(version=version("strands-agents"))
