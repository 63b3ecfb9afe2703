"""The row of Anthropic's SDK, over the API of that form on the same port."""

import json

import anthropic

from cases import case, equal, lacks, main, raises
from matrix import *

# The SDK takes any reply unless it is told to check each against its types.
client = anthropic.Anthropic(
    base_url=f"{ENDPOINT}/anthropic", api_key=KEY, max_retries=0, _strict_response_validation=True
)
ASK = {
    "model": MODEL,
    "max_tokens": 40,
    "extra_body": {"temperature": 0},  # the SDK's parameters have none
    "system": SYSTEM,
    "messages": [{"role": "user", "content": QUESTION}],
}
WITH_TOOL = {
    "model": MODEL,
    "max_tokens": 100,
    "extra_body": {"temperature": 0},
    "messages": [{"role": "user", "content": WEATHER}],
    "tools": [{"name": TOOL, "description": TOOL_TEXT, "input_schema": SCHEMA}],
}
lacks("Outcrop has no such route under /anthropic", "models")


@case
def chat():
    reply = client.messages.create(**ASK)
    equal((reply.content[0].text, reply.stop_reason), (ANSWER, "end_turn"))


@case
def chat_stream():
    with client.messages.stream(**ASK) as stream:
        parts = list(stream.text_stream)
        final = stream.get_final_message()
    counted(final.usage.input_tokens, final.usage.output_tokens)
    return streamed(parts)


@case
def system_prompt():
    reply = client.messages.create(**{**ASK, "system": anthropic.omit, "max_tokens": 8})
    assert reply.usage.input_tokens != INPUT_TOKENS, reply


@case
def stop_sequence():
    reply = client.messages.create(**ASK, stop_sequences=[STOP])
    equal((reply.content[0].text, reply.stop_reason, reply.stop_sequence), (BEFORE_STOP, "stop_sequence", STOP))


@case
def usage():
    got = client.messages.create(**ASK).usage
    return counted(got.input_tokens, got.output_tokens)


@case
def tools():
    for choice in ({"type": "any"}, {"type": "tool", "name": TOOL}):
        reply = client.messages.create(**WITH_TOOL, tool_choice=choice)
        equal(reply.stop_reason, "tool_use")
        detail = called(reply.content[-1].name, reply.content[-1].input)
    return detail


@case
def tools_stream():
    with client.messages.stream(**WITH_TOOL, tool_choice={"type": "any"}) as stream:
        parts = [e.partial_json for e in stream if e.type == "input_json"]
        final = stream.get_final_message()
    equal(final.content[-1].input, joined(parts))
    return called(final.content[-1].name, final.content[-1].input)


@case
def tool_results():
    use = {"type": "tool_use", "id": CALL_ID, "name": TOOL, "input": CALL}
    result = {"type": "tool_result", "tool_use_id": CALL_ID, "content": RESULT}
    turns = [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    reply = client.messages.create(**{**WITH_TOOL, "messages": [*WITH_TOOL["messages"], *turns]})
    return answered(reply.content[0].text)


@case
def json_schema():
    asked = {k: v for k, v in WITH_TOOL.items() if k != "tools"}
    form = {"format": {"type": "json_schema", "schema": SCHEMA}}
    return fits(json.loads(client.messages.create(**asked, output_config=form).content[0].text))


@case
def unknown_model():
    e = raises(anthropic.APIStatusError, client.messages.create, **{**ASK, "model": UNKNOWN})
    assert e.status_code in (400, 404), e
    return f"{type(e).__name__} {e.status_code}"


@case
def bad_key():
    stranger = client.with_options(api_key="bedrock-api-key-nobody")
    e = raises(anthropic.APIStatusError, stranger.messages.create, **ASK)
    assert e.status_code in (401, 403), e
    return f"{type(e).__name__} {e.status_code}"


@case
def validation():
    e = raises(anthropic.BadRequestError, client.messages.create, **{**ASK, "extra_body": {"temperature": 7}})
    return names(e, "temperature")


if __name__ == "__main__":
    main(version=anthropic.__version__)
