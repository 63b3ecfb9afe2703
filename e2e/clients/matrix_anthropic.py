"""The matrix row of Anthropic's SDK with its Bedrock client."""

import anthropic
from anthropic import AnthropicBedrock

from cases import case, equal, lacks, main, raises
from matrix import *

client = AnthropicBedrock(base_url=ENDPOINT)  # keys and region as the environment says
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
    assert reply.content[0].text != ANSWER and reply.usage.input_tokens != INPUT_TOKENS, reply


@case
def stop_sequence():
    reply = client.messages.create(**ASK, stop_sequences=[STOP])
    equal((reply.content[0].text, reply.stop_reason, reply.stop_sequence), (BEFORE_STOP, "stop_sequence", STOP))


@case
def usage():
    got = client.messages.create(**ASK).usage
    return counted(got.input_tokens, got.output_tokens)


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
