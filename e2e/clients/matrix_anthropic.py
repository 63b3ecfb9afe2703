"""The matrix row of Anthropic's SDK with its Bedrock client."""

import json

import anthropic
from anthropic import AnthropicBedrock

from cases import case, equal, lacks, main, raises
from matrix import *

# Keys and region as the environment says. The SDK takes any reply unless it is told
# to check each against its types.
client = AnthropicBedrock(base_url=ENDPOINT, _strict_response_validation=True)
ASK = {
    "model": MODEL,
    "max_tokens": 40,
    "extra_body": {"temperature": 0},  # the SDK's parameters have none since its version 2
    "system": SYSTEM,
    "messages": [{"role": "user", "content": QUESTION}],
}
lacks("the SDK speaks to one model at a time", "models")
lacks("the SDK knows InvokeModel alone", "converse", "converse_stream")
lacks("Anthropic has no embeddings", "embeddings")
lacks("the SDK says that its Bedrock client cannot", "count_tokens")
WITH_TOOL = {
    "model": MODEL,
    "max_tokens": 100,
    "extra_body": {"temperature": 0},
    "messages": [{"role": "user", "content": WEATHER}],
    "tools": [{"name": TOOL, "description": TOOL_TEXT, "input_schema": SCHEMA}],
}


@case
def invoke():
    reply = client.messages.create(**ASK)
    equal((reply.content[0].text, reply.stop_reason), (ANSWER, "end_turn"))


@case
def invoke_stream():
    with client.messages.stream(**ASK) as stream:
        parts = list(stream.text_stream)
        final = stream.get_final_message()
    equal(final.stop_reason, "end_turn")
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
    asked = {**WITH_TOOL, "model": MODERN, "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
    del asked["tools"]
    return fits(json.loads(client.messages.create(**asked).content[0].text))


@case
def unknown_model():
    e = raises(anthropic.BadRequestError, client.messages.create, **{**ASK, "model": UNKNOWN})
    return names(e, "The provided model identifier is invalid.")


@case
def bad_key():
    stranger = AnthropicBedrock(base_url=ENDPOINT, aws_access_key=BAD_KEY, aws_secret_key=BAD_SECRET)
    e = raises(anthropic.PermissionDeniedError, stranger.messages.create, **ASK)
    return names(e, "security token")


@case
def validation():
    e = raises(anthropic.BadRequestError, client.messages.create, **{**ASK, "extra_body": {"temperature": 2}})
    return names(e, "temperature")


if __name__ == "__main__":
    main(version=anthropic.__version__)
