"""The matrix row of Pydantic AI: an agent over its Bedrock model, and its
Bedrock embeddings."""

import asyncio
from importlib.metadata import version
from typing import Literal

from pydantic import BaseModel
from pydantic_ai import Agent, Embedder, NativeOutput, ToolOutput, UsageLimits
from pydantic_ai.exceptions import ModelHTTPError, UsageLimitExceeded
from pydantic_ai.messages import (
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    ToolCallPart,
    ToolCallPartDelta,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.bedrock import BedrockConverseModel
from pydantic_ai.providers.bedrock import BedrockProvider

from cases import case, equal, lacks, main, raises
from matrix import *

lacks("an agent speaks to one model", "models")
lacks("Pydantic AI chats through the Converse operations alone", "invoke", "invoke_stream")


def agent(model=MODEL, system=SYSTEM, provider=None, **settings):
    return Agent(
        BedrockConverseModel(model, provider=provider or BedrockProvider()),
        system_prompt=system,
        model_settings={"temperature": 0, "max_tokens": 40, **settings},
        retries=0,
    )


class Weather(BaseModel):
    """The weather that is asked for."""

    city: str
    unit: Literal["celsius", "fahrenheit"]


def weather_agent(model=MODEL, **config):
    settings = {"temperature": 0, "max_tokens": 100}
    return Agent(BedrockConverseModel(model, provider=BedrockProvider()), model_settings=settings, retries=0, **config)


@case
def converse():
    result = agent().run_sync(QUESTION)
    equal((result.output, result.response.finish_reason), (ANSWER, "stop"))


@case
def converse_stream():
    async def read():
        async with agent().run_stream(QUESTION) as result:
            parts = [part async for part in result.stream_text(delta=True, debounce_by=None)]
            usage = result.usage
        counted(usage.input_tokens, usage.output_tokens)
        return parts

    return streamed(asyncio.run(read()))


@case
def embeddings():
    result = Embedder(f"bedrock:{EMBEDDER}").embed_documents_sync([CAT, KITTEN, TAX])
    assert result.usage.input_tokens > 10, result.usage
    return similar(*result.embeddings)


@case
def system_prompt():
    result = agent(system=(), max_tokens=8).run_sync(QUESTION)
    assert result.usage.input_tokens != INPUT_TOKENS, result


@case
def stop_sequence():
    equal(agent(stop_sequences=[STOP]).run_sync(QUESTION).output, BEFORE_STOP)


@case
def usage():
    got = agent().run_sync(QUESTION).usage
    equal(got.total_tokens, INPUT_TOKENS + OUTPUT_TOKENS)
    return counted(got.input_tokens, got.output_tokens)


@case
def tools():
    result = weather_agent(output_type=ToolOutput(Weather, name=TOOL)).run_sync(WEATHER)
    return fits(result.output.model_dump())


@case
def tools_stream():
    async def read():
        events = []
        model = weather_agent(output_type=ToolOutput(Weather, name=TOOL))
        async with model.run_stream_events(WEATHER) as stream:
            async for event in stream:
                if isinstance(event, PartDeltaEvent) and isinstance(event.delta, ToolCallPartDelta):
                    events.append(event.delta.args_delta)
        return events

    return fits(joined(asyncio.run(read())))


@case
def tool_results():
    teller = weather_agent()

    @teller.tool_plain
    def get_weather(city: str, unit: Literal["celsius", "fahrenheit"]) -> str:
        """Tells the weather of a city."""
        return RESULT

    history = [
        ModelRequest(parts=[UserPromptPart(WEATHER)]),
        ModelResponse(parts=[ToolCallPart(TOOL, CALL, CALL_ID)]),
        ModelRequest(parts=[ToolReturnPart(TOOL, RESULT, CALL_ID)]),
    ]
    return answered(teller.run_sync(message_history=history).output)


@case
def json_schema():
    result = weather_agent(model=MODERN, output_type=NativeOutput(Weather)).run_sync(WEATHER)
    return fits(result.output.model_dump())


@case
def count_tokens():
    limits = UsageLimits(count_tokens_before_request=True, input_tokens_limit=INPUT_TOKENS)
    equal(agent().run_sync(QUESTION, usage_limits=limits).output, ANSWER)
    limits = UsageLimits(count_tokens_before_request=True, input_tokens_limit=INPUT_TOKENS - 1)
    return names(raises(UsageLimitExceeded, agent().run_sync, QUESTION, usage_limits=limits), str(INPUT_TOKENS))


@case
def unknown_model():
    e = raises(ModelHTTPError, agent(model=UNKNOWN).run_sync, QUESTION)
    equal(e.status_code, 400)
    return names(e, "The provided model identifier is invalid.")


@case
def bad_key():
    stranger = BedrockProvider(aws_access_key_id=BAD_KEY, aws_secret_access_key=BAD_SECRET, region_name=REGION)
    e = raises(ModelHTTPError, agent(provider=stranger).run_sync, QUESTION)
    equal(e.status_code, 403)
    return names(e, "UnrecognizedClientException")


@case
def validation():
    e = raises(ModelHTTPError, agent(temperature=1.5).run_sync, QUESTION)
    equal(e.status_code, 400)
    return names(e, "temperature")


if __name__ == "__main__":
    main(version=version("pydantic-ai-slim"))
