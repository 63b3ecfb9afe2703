"""The matrix row of LiteLLM: its two routes to chat models, and embeddings."""

import os
from importlib.metadata import version

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it asks a web site for prices
import litellm  # noqa: E402

from cases import case, equal, lacks, main, raises
from matrix import *

litellm.suppress_debug_info = True  # no advice on standard output
lacks("LiteLLM lists what its own price table knows", "models")
ASK = {
    "model": f"bedrock/converse/{MODEL}",
    "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}],
    "temperature": 0,
    "max_tokens": 40,
    "aws_bedrock_runtime_endpoint": ENDPOINT,
    "num_retries": 0,
}
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
    assert reply.choices[0].message.content != ANSWER and reply.usage.prompt_tokens != INPUT_TOKENS, reply


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
