"""The matrix row of Strands Agents: an agent over its Bedrock model."""

import asyncio
import json
from importlib.metadata import version
from typing import Literal

import boto3
from botocore.exceptions import ClientError
from pydantic import BaseModel
from strands import Agent, tool
from strands.models import BedrockModel

from cases import case, equal, lacks, main, raises
from matrix import *

lacks("an agent speaks to one model", "models")
lacks("Strands knows the Converse operations alone", "invoke", "invoke_stream")
lacks("Strands has no embeddings", "embeddings")
lacks("Strands forces a tool call instead wherever that works", "json_schema")


class Weather(BaseModel):
    """The weather that is asked for."""

    city: str
    unit: Literal["celsius", "fahrenheit"]


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
    assert result.metrics.accumulated_usage["inputTokens"] != INPUT_TOKENS, result


@case
def stop_sequence():
    result = agent(stop_sequences=[STOP])(QUESTION)
    equal((text(result), result.stop_reason), (BEFORE_STOP, "stop_sequence"))


@case
def usage():
    got = agent()(QUESTION).metrics.accumulated_usage
    equal(got["totalTokens"], INPUT_TOKENS + OUTPUT_TOKENS)
    return counted(got["inputTokens"], got["outputTokens"])


def weather_tool(max_tokens=100, **config):
    """An agent that may call for the weather."""

    @tool(name=TOOL, description=TOOL_TEXT)
    def get_weather(city: str, unit: Literal["celsius", "fahrenheit"]) -> str:
        return RESULT

    model = BedrockModel(model_id=MODEL, temperature=0, max_tokens=max_tokens, **config)
    return Agent(model=model, tools=[get_weather], system_prompt=None, callback_handler=None)


def forced(streaming):
    """What the model makes of a forced tool choice, as the agent's loop asks for it."""
    caller = weather_tool(streaming=streaming)
    asked = [{"role": "user", "content": [{"text": WEATHER}]}]
    specs = caller.tool_registry.get_all_tool_specs()

    async def read():
        return [e async for e in caller.model.stream(asked, specs, tool_choice={"any": {}})]

    events = asyncio.run(read())
    (start,) = (e["contentBlockStart"]["start"]["toolUse"] for e in events if e.get("contentBlockStart", {}).get("start"))
    deltas = [e["contentBlockDelta"]["delta"] for e in events if "contentBlockDelta" in e]
    return start["name"], [d["toolUse"]["input"] for d in deltas if "toolUse" in d]


@case
def tools():
    name, parts = forced(streaming=False)
    called(name, json.loads("".join(parts)))
    result = agent(max_tokens=100)(WEATHER, structured_output_model=Weather)
    return fits(result.structured_output.model_dump())


@case
def tools_stream():
    name, parts = forced(streaming=True)
    return called(name, joined(parts))


@case
def tool_results():
    asker = weather_tool()
    result = {"toolUseId": CALL_ID, "status": "success", "content": [{"text": RESULT}]}
    asker.messages = [
        {"role": "user", "content": [{"text": WEATHER}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": CALL_ID, "name": TOOL, "input": CALL}}]},
        {"role": "user", "content": [{"toolResult": result}]},
    ]
    return answered(text(asker()))


@case
def count_tokens():
    model = BedrockModel(model_id=MODEL, use_native_token_count=True)
    asked = [{"role": "user", "content": [{"text": QUESTION}]}]
    equal(asyncio.run(model.count_tokens(asked, system_prompt=SYSTEM)), INPUT_TOKENS)


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
