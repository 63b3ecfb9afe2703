"""The matrix row of langchain-aws: ChatBedrockConverse, ChatBedrock and
BedrockEmbeddings, each as its documentation shows it."""

from importlib.metadata import version
from typing import Literal

from botocore.exceptions import ClientError
from langchain_aws import BedrockEmbeddings, ChatBedrock, ChatBedrockConverse
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from cases import case, equal, lacks, main, raises
from matrix import *

ASK = [("system", SYSTEM), ("human", QUESTION)]
lacks("it speaks to one model at a time", "models")


def chat(**config):
    return ChatBedrockConverse(**{"model": MODEL, "temperature": 0, "max_tokens": 40, **config})


def native(max_tokens=40):
    return ChatBedrock(model=MODEL, temperature=0, max_tokens=max_tokens)


@tool
def get_weather(city: str, unit: Literal["celsius", "fahrenheit"]) -> str:
    """Tells the weather of a city."""
    return RESULT


def parts(stream):
    """Texts and token counts of a stream of message chunks."""
    texts, whole = [], None
    for chunk in stream:
        texts.append(chunk.text)
        whole = chunk if whole is None else whole + chunk
    counted(whole.usage_metadata["input_tokens"], whole.usage_metadata["output_tokens"])
    return texts


@case
def converse():
    reply = chat().invoke(ASK)
    equal((reply.text, reply.response_metadata["stopReason"]), (ANSWER, "end_turn"))


@case
def converse_stream():
    return streamed(parts(chat().stream(ASK)))


@case
def invoke():
    reply = native().invoke(ASK)
    equal((reply.text, reply.response_metadata["stop_reason"]), (ANSWER, "end_turn"))
    counted(reply.usage_metadata["input_tokens"], reply.usage_metadata["output_tokens"])


@case
def invoke_stream():
    return streamed(parts(native().stream(ASK)))


@case
def embeddings():
    embedder = BedrockEmbeddings(model_id=EMBEDDER)
    return similar(embedder.embed_query(CAT), *embedder.embed_documents([KITTEN, TAX]))


@case
def system_prompt():
    reply = chat(max_tokens=8).invoke(ASK[1:])
    assert reply.usage_metadata["input_tokens"] != INPUT_TOKENS, reply


@case
def stop_sequence():
    reply = chat().invoke(ASK, stop=[STOP])
    equal((reply.text, reply.response_metadata["stopReason"]), (BEFORE_STOP, "stop_sequence"))


@case
def usage():
    got = chat().invoke(ASK).usage_metadata
    equal(got["total_tokens"], INPUT_TOKENS + OUTPUT_TOKENS)
    return counted(got["input_tokens"], got["output_tokens"])


@case
def tools():
    for model in (chat(max_tokens=100), native(max_tokens=100)):
        for choice in ("any", TOOL):
            (call,) = model.bind_tools([get_weather], tool_choice=choice).invoke(WEATHER).tool_calls
            detail = called(call["name"], call["args"])
    return detail


@case
def tools_stream():
    for model in (chat(max_tokens=100), native(max_tokens=100)):
        calls = [c for m in model.bind_tools([get_weather], tool_choice="any").stream(WEATHER) for c in m.tool_call_chunks]
        detail = called(calls[0]["name"], joined([c["args"] for c in calls]))
    return detail


@case
def tool_results():
    history = [
        HumanMessage(WEATHER),
        AIMessage("", tool_calls=[{"id": CALL_ID, "name": TOOL, "args": CALL, "type": "tool_call"}]),
        ToolMessage(RESULT, tool_call_id=CALL_ID),
    ]
    answered(native(max_tokens=100).bind_tools([get_weather]).invoke(history).text)
    return answered(chat(max_tokens=100).bind_tools([get_weather]).invoke(history).text)


@case
def json_schema():
    model = chat(model=MODERN, max_tokens=100)
    schema = {**SCHEMA, "title": "weather", "description": "The weather that is asked for."}
    return fits(model.with_structured_output(schema, method="json_schema").invoke(WEATHER))


@case
def count_tokens():
    messages = [SystemMessage(SYSTEM), HumanMessage(QUESTION)]
    equal(chat(model=MODERN).get_num_tokens_from_messages(messages), INPUT_TOKENS)


@case
def unknown_model():
    e = raises(ClientError, chat(model=UNKNOWN, provider="anthropic").invoke, ASK)
    return names(e, "ValidationException", "The provided model identifier is invalid.")


@case
def bad_key():
    stranger = chat(aws_access_key_id=BAD_KEY, aws_secret_access_key=BAD_SECRET)
    return names(raises(ClientError, stranger.invoke, ASK), "UnrecognizedClientException")


@case
def validation():
    return names(raises(ClientError, chat(temperature=1.5).invoke, ASK), "ValidationException", "temperature")


if __name__ == "__main__":
    main(version=version("langchain-aws"))
