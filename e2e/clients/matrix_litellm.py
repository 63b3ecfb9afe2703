"""The matrix row of LiteLLM: its two routes to chat models, and embeddings."""

import json
import os
from importlib.metadata import version

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it asks a web site for prices
import litellm  # noqa: E402

from cases import case, equal, lacks, main, raises
from matrix import *

litellm.suppress_debug_info = True  # no advice on standard output
lacks("LiteLLM lists what its own price table knows", "models")
lacks("LiteLLM counts with a tokenizer of its own", "count_tokens")
ASK = {
    "model": f"bedrock/converse/{MODEL}",
    "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}],
    "temperature": 0,
    "max_tokens": 40,
    "aws_bedrock_runtime_endpoint": ENDPOINT,
    "num_retries": 0,
}
WITH_TOOL = {
    **ASK,
    "model": f"bedrock/converse/{MODERN}",  # LiteLLM's own table says which model may be told to use a tool
    "max_tokens": 100,
    "messages": [{"role": "user", "content": WEATHER}],
    "tools": [{"type": "function", "function": {"name": TOOL, "description": TOOL_TEXT, "parameters": SCHEMA}}],
}
ROUTES = (WITH_TOOL["model"], f"bedrock/invoke/{MODERN}")
NATIVE = {**ASK, "model": f"bedrock/invoke/{MODEL}"}


def parts(stream):
    return [chunk.choices[0].delta.content for chunk in stream if chunk.choices]


@case
def converse():
    reply = litellm.completion(**ASK)
    equal((reply.choices[0].message.content, reply.choices[0].finish_reason), (ANSWER, "stop"))


@case
def converse_stream():
    return streamed(parts(litellm.completion(**ASK, stream=True)))


@case
def invoke():
    reply = litellm.completion(**NATIVE)
    equal(reply.choices[0].message.content, ANSWER)
    counted(reply.usage.prompt_tokens, reply.usage.completion_tokens)


@case
def invoke_stream():
    return streamed(parts(litellm.completion(**NATIVE, stream=True)))


@case
def embeddings():
    reply = litellm.embedding(
        model=f"bedrock/{EMBEDDER}", input=[CAT, KITTEN, TAX], aws_bedrock_runtime_endpoint=ENDPOINT
    )
    assert reply.usage.prompt_tokens > 10, reply.usage
    return similar(*(d["embedding"] for d in reply.data))


@case
def system_prompt():
    reply = litellm.completion(**{**ASK, "messages": ASK["messages"][1:], "max_tokens": 8})
    assert reply.usage.prompt_tokens != INPUT_TOKENS, reply


@case
def stop_sequence():
    reply = litellm.completion(**ASK, stop=[STOP])
    equal((reply.choices[0].message.content, reply.choices[0].finish_reason), (BEFORE_STOP, "stop"))


@case
def usage():
    got = litellm.completion(**ASK).usage
    equal(got.total_tokens, INPUT_TOKENS + OUTPUT_TOKENS)
    return counted(got.prompt_tokens, got.completion_tokens)


@case
def tools():
    for model in ROUTES:
        for choice in ("required", {"type": "function", "function": {"name": TOOL}}):
            reply = litellm.completion(**{**WITH_TOOL, "model": model}, tool_choice=choice).choices[0]
            equal(reply.finish_reason, "tool_calls")
            (call,) = reply.message.tool_calls
            detail = called(call.function.name, json.loads(call.function.arguments))
    return detail


@case
def tools_stream():
    for model in ROUTES:
        stream = litellm.completion(**{**WITH_TOOL, "model": model}, tool_choice="required", stream=True)
        calls = [c.function for m in stream if m.choices for c in m.choices[0].delta.tool_calls or []]
        detail = called(calls[0].name, joined([c.arguments for c in calls]))
    return detail


@case
def tool_results():
    call = {"id": CALL_ID, "type": "function", "function": {"name": TOOL, "arguments": json.dumps(CALL)}}
    turns = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": CALL_ID, "content": RESULT},
    ]
    for model in ROUTES:
        reply = litellm.completion(**{**WITH_TOOL, "model": model, "messages": WITH_TOOL["messages"] + turns})
        detail = answered(reply.choices[0].message.content)
    return detail


@case
def json_schema():
    form = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA, "strict": True}}
    asked = {**WITH_TOOL, "response_format": form}
    del asked["tools"]
    return fits(json.loads(litellm.completion(**asked).choices[0].message.content))


@case
def unknown_model():
    e = raises(litellm.BadRequestError, litellm.completion, **{**ASK, "model": f"bedrock/converse/{UNKNOWN}"})
    return names(e, "The provided model identifier is invalid.")


@case
def bad_key():
    e = raises(
        litellm.AuthenticationError,
        litellm.completion,
        **ASK,
        aws_access_key_id=BAD_KEY,
        aws_secret_access_key=BAD_SECRET,
        aws_region_name=REGION,
    )
    return names(e, "security token")


@case
def validation():
    return names(raises(litellm.BadRequestError, litellm.completion, **{**ASK, "temperature": 1.5}), "temperature")


if __name__ == "__main__":
    main(version=version("litellm"))
