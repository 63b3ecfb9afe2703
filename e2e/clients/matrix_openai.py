"""The row of OpenAI's SDK, over the API of that form on the same port."""

import json
from importlib.metadata import version

import openai

from cases import case, equal, main, raises
from matrix import *

# The SDK takes any reply unless it is told to check each against its types.
client = openai.OpenAI(
    base_url=f"{ENDPOINT}/openai/v1", api_key=KEY, max_retries=0, _strict_response_validation=True
)
ASK = {
    "model": MODEL,
    "max_tokens": 40,
    "temperature": 0,
    "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}],
}
WITH_TOOL = {
    **ASK,
    "max_tokens": 100,
    "messages": [{"role": "user", "content": WEATHER}],
    "tools": [{"type": "function", "function": {"name": TOOL, "description": TOOL_TEXT, "parameters": SCHEMA}}],
}


def ask(**more):
    return client.chat.completions.create(**{**ASK, **more})


@case
def models():
    found = [m.id for m in client.models.list()]
    assert MODEL in found, found
    return f"{len(found)} models"


@case
def chat():
    choice = ask().choices[0]
    equal((choice.message.content, choice.finish_reason), (ANSWER, "stop"))


@case
def chat_stream():
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    counted(chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens)
    return streamed([c.choices[0].delta.content for c in chunks if c.choices])


@case
def system_prompt():
    reply = ask(messages=ASK["messages"][1:], max_tokens=8)
    assert reply.usage.prompt_tokens != INPUT_TOKENS, reply


@case
def stop_sequence():
    choice = ask(stop=[STOP]).choices[0]
    equal((choice.message.content, choice.finish_reason), (BEFORE_STOP, "stop"))


@case
def usage():
    got = ask().usage
    equal(got.total_tokens, INPUT_TOKENS + OUTPUT_TOKENS)
    return counted(got.prompt_tokens, got.completion_tokens)


@case
def tools():
    for choice in ("required", {"type": "function", "function": {"name": TOOL}}):
        (call,) = ask(**{**WITH_TOOL, "tool_choice": choice}).choices[0].message.tool_calls
        detail = called(call.function.name, json.loads(call.function.arguments))
    return detail


@case
def tools_stream():
    chunks = ask(**WITH_TOOL, tool_choice="required", stream=True)
    calls = [c.function for m in chunks if m.choices for c in m.choices[0].delta.tool_calls or []]
    return called(calls[0].name, joined([c.arguments for c in calls]))


@case
def tool_results():
    call = {"id": CALL_ID, "type": "function", "function": {"name": TOOL, "arguments": json.dumps(CALL)}}
    turns = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": CALL_ID, "content": RESULT}]
    return answered(ask(**{**WITH_TOOL, "messages": WITH_TOOL["messages"] + turns}).choices[0].message.content)


@case
def json_schema():
    form = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA, "strict": True}}
    asked = {k: v for k, v in WITH_TOOL.items() if k != "tools"}
    return fits(json.loads(ask(**asked, response_format=form).choices[0].message.content))


@case
def unknown_model():
    e = raises(openai.APIStatusError, ask, model=UNKNOWN)
    assert e.status_code in (400, 404), e
    return f"{type(e).__name__} {e.status_code}"


@case
def bad_key():
    stranger = client.with_options(api_key="bedrock-api-key-nobody")
    e = raises(openai.APIStatusError, stranger.chat.completions.create, **ASK)
    assert e.status_code in (401, 403), e
    return f"{type(e).__name__} {e.status_code}"


@case
def validation():
    return names(raises(openai.BadRequestError, ask, temperature=7), "temperature")


if __name__ == "__main__":
    main(version=version("openai"))
