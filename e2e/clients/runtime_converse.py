"""boto3 and all that Converse has beside text, with real models."""

import base64
import json
import os

import boto3
from botocore.config import Config

import files
from cases import case, contains, equal, main, raises

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
SMOLLM = "huggingface.smollm2-135m-instruct-v1:0"
BUCKET = os.environ["E2E_BUCKET"]  # holds a file of each format under docs/
patient = Config(read_timeout=300, retries={"total_max_attempts": 1}, parameter_validation=False)
runtime = boto3.client("bedrock-runtime", config=patient)
invalid = runtime.exceptions.ValidationException

BRIEF = [{"text": "You are a helpful assistant."}]
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
CLOCK = {"type": "object", "properties": {"zone": {"type": "string", "maxLength": 20}}, "required": ["zone"]}


def user(*blocks):
    return {"role": "user", "content": [{"text": b} if isinstance(b, str) else b for b in blocks]}


def assistant(*blocks):
    return {**user(*blocks), "role": "assistant"}


def ask(*turns, model=HAIKU, tokens=60, system=BRIEF, **more):
    config = {"maxTokens": tokens, "temperature": 0, **more.pop("config", {})}
    request = {"modelId": model, "messages": list(turns), "inferenceConfig": config, **more}
    return {**request, "system": system} if system else request


def text(reply):
    return reply["output"]["message"]["content"][0]["text"]


def tools(choice=None, **more):
    specs = [
        {"toolSpec": {"name": "get_weather", "description": "Tells the weather.", "inputSchema": {"json": WEATHER}, **more}},
        {"toolSpec": {"name": "get_time", "description": "Tells the time.", "inputSchema": {"json": CLOCK}, **more}},
    ]
    return {"tools": specs, **({"toolChoice": choice} if choice else {})}


def fits(name, value):
    if name == "get_time":
        assert set(value) == {"zone"} and len(value["zone"]) <= 20, value
    else:
        equal((name, set(value)), ("get_weather", {"city", "unit"}))
        assert value["unit"] in ("celsius", "fahrenheit"), value
    return f"{name}({json.dumps(value)})"


def events(**request):
    """The stream's text, its tool calls as (name, input) and its last two events."""
    said, calls, order, last = "", [], [], {}
    for event in runtime.converse_stream(**request)["stream"]:
        ((kind, value),) = event.items()
        order.append(kind)
        last[kind] = value
        if kind == "contentBlockStart":
            calls.append([value["start"]["toolUse"]["name"], ""])
        elif kind == "contentBlockDelta":
            said += value["delta"].get("text", "")
            if "toolUse" in value["delta"]:
                calls[-1][1] += value["delta"]["toolUse"]["input"]
    equal((order[0], order[-2:]), ("messageStart", ["messageStop", "metadata"]))
    return said, [(n, json.loads(i)) for n, i in calls], last["messageStop"]["stopReason"], last["metadata"], order


# Tools.


@case
def tool_loop():
    """A call that must use a tool, its result, and the answer to it."""
    question = user("What is the weather in Paris?")
    first = runtime.converse(**ask(question, toolConfig=tools({"any": {}}), tokens=200))
    equal(first["stopReason"], "tool_use")
    calls = [b["toolUse"] for b in first["output"]["message"]["content"] if "toolUse" in b]
    detail = ", ".join(fits(c["name"], c["input"]) for c in calls)
    results = [
        {"toolResult": {"toolUseId": c["toolUseId"], "content": [{"json": {"weather": "21 degrees and sunny in Paris"}}], "status": "success"}}
        for c in calls
    ]
    turns = [question, first["output"]["message"], user(*results)]
    answer = runtime.converse(**ask(*turns, toolConfig=tools(), tokens=60))
    assert answer["output"]["message"]["content"], answer
    contains(text(answer), "21")
    e = raises(invalid, runtime.converse, **ask(*turns))
    contains(str(e), "The toolConfig field must be defined when using toolUse and toolResult content blocks.")
    return f"{detail}; then {text(answer)!r}"


@case
def tool_by_name():
    details = []
    for name in ("get_weather", "get_time"):
        reply = runtime.converse(**ask(user("It is raining in Oslo."), toolConfig=tools({"tool": {"name": name}}), tokens=200))
        call = reply["output"]["message"]["content"][-1]["toolUse"]
        equal((reply["stopReason"], call["name"]), ("tool_use", name))
        details.append(fits(name, call["input"]))
    return ", ".join(details)


@case
def tool_stream():
    """The same call whole and streamed: the deltas join to the same JSON."""
    for choice in ({"any": {}}, {"tool": {"name": "get_weather"}}):
        request = ask(user("What is the weather in Paris?"), toolConfig=tools(choice), tokens=200)
        whole = runtime.converse(**request)
        called = [(b["toolUse"]["name"], b["toolUse"]["input"]) for b in whole["output"]["message"]["content"] if "toolUse" in b]
        _, streamed, reason, metadata, order = events(**request)
        equal((streamed, reason), (called, "tool_use"))
        equal(metadata["usage"]["outputTokens"], whole["usage"]["outputTokens"])
        assert order.count("contentBlockDelta") > 5, order
    return f"{len(streamed)} calls in {order.count('contentBlockDelta')} deltas: {fits(*streamed[0])}"


@case
def tool_auto():
    """With free choice, tools in the request are no reason to fail, and turns with
    several calls and results are read."""
    calls = [{"toolUse": {"toolUseId": f"t{i}", "name": "get_time", "input": {"zone": z}}} for i, z in enumerate(("Oslo", "Rome"))]
    results = [{"toolResult": {"toolUseId": f"t{i}", "content": [{"text": f"It is {n}:00."}]}} for i, n in enumerate((8, 9))]
    reply = runtime.converse(**ask(user("What time is it?"), assistant(*calls), user(*results, "Which is later?"), toolConfig=tools({"auto": {}})))
    assert reply["stopReason"] in ("end_turn", "max_tokens", "tool_use"), reply
    return reply["stopReason"]


@case
def tool_cut_off():
    """The output limit in the middle of a call is told as such."""
    reply = runtime.converse(**ask(user("What is the weather in Paris?"), toolConfig=tools({"any": {}}), tokens=5))
    equal((reply["stopReason"], reply["usage"]["outputTokens"]), ("max_tokens", 5))


@case
def strict_tools():
    reply = runtime.converse(**ask(user("What is the weather in Paris?"), toolConfig=tools({"any": {}}, strict=True), tokens=200))
    call = reply["output"]["message"]["content"][-1]["toolUse"]
    return fits(call["name"], call["input"])


@case
def unsupported_keyword_is_named():
    schema = {"type": "object", "if": {"required": ["a"]}, "then": {"required": ["b"]}}
    spec = {"toolSpec": {"name": "x", "inputSchema": {"json": schema}}}
    e = raises(invalid, runtime.converse, **ask(user("x"), toolConfig={"tools": [spec], "toolChoice": {"any": {}}}))
    contains(str(e), "keyword if at /")
    return str(e)


@case
def json_schema():
    form = {"type": "json_schema", "structure": {"jsonSchema": {"name": "weather", "schema": json.dumps(WEATHER)}}}
    request = ask(user("What is the weather in Paris?"), tokens=200, outputConfig={"textFormat": form})
    value = json.loads(text(runtime.converse(**request)))
    fits("get_weather", value)
    said, _, reason, _, _ = events(**request)
    equal((json.loads(said), reason), (value, "end_turn"))
    return said


# Documents and images.

FACT = files.FACT


@case
def documents():
    """Each format, as bytes: its text reaches the model, which answers from it."""
    details = []
    for form, data in files.documents().items():
        block = {"document": {"format": form, "name": "notes", "source": {"bytes": data}}}
        request = ask(user("What is the password?", block), tokens=40)
        reply = runtime.converse(**request)
        contains(text(reply), files.WORD)
        counted = runtime.count_tokens(modelId=HAIKU, input={"converse": {k: request[k] for k in ("messages", "system")}})
        equal(counted["inputTokens"], reply["usage"]["inputTokens"])
        details.append(f"{form} {text(reply)!r}")
    return "; ".join(details)


@case
def documents_in_buckets():
    """The same files by s3Location give the same replies."""
    account = boto3.client("sts").get_caller_identity()["Account"]
    for form, data in files.documents().items():
        replies = []
        for source in ({"bytes": data}, {"s3Location": {"uri": f"s3://{BUCKET}/docs/notes.{form}", "bucketOwner": account}}):
            block = {"document": {"format": form, "name": "notes", "source": source}}
            reply = runtime.converse(**ask(user("What is the password?", block), tokens=12))
            replies.append((text(reply), reply["usage"]))
        equal(replies[0], replies[1])
    none = {"document": {"format": "txt", "name": "n", "source": {"s3Location": {"uri": f"s3://{BUCKET}/docs/none.txt"}}}}
    e = raises(invalid, runtime.converse, **ask(user("x", none)))
    contains(str(e), "names an object that does not exist")
    return f"{len(files.documents())} formats"


@case
def documents_refused():
    for form, name, data, part in (
        ("pdf", "notes", b"no PDF at all", "pdf"),
        ("docx", "notes", b"PK\x03\x04broken", "docx"),
        ("txt", "a.b/c", b"x", "file name"),
    ):
        block = {"document": {"format": form, "name": name, "source": {"bytes": data}}}
        e = raises(invalid, runtime.converse, **ask(user("What?", block)))
        contains(str(e).lower(), part)
    block = {"document": {"format": "txt", "name": "n", "source": {"bytes": b"x"}}}
    e = raises(invalid, runtime.converse, **ask(user(block)))
    contains(str(e), "A text block must be included when using documents.")


@case
def images_need_eyes():
    block = {"image": {"format": "png", "source": {"bytes": files.png(8, 8)}}}
    e = raises(invalid, runtime.converse, **ask(user("What is this?", block)))
    contains(str(e), "This model doesn't support the image content block")
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 9,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(files.png(8, 8)).decode()},
                    },
                ],
            }
        ],
    }
    raises(invalid, runtime.invoke_model, modelId=HAIKU, body=json.dumps(body))
    return str(e)


# Thoughts, prefixes, and what stands beside the conversation.


@case
def reasoning():
    """A budget for thinking is accepted, and thoughts of earlier turns are read."""
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    request = ask(user("What is the capital of France?"), tokens=1100, additionalModelRequestFields=thinking)
    del request["inferenceConfig"]["temperature"]
    reply = runtime.converse(**request)
    content = reply["output"]["message"]["content"]
    assert any("text" in b for b in content), content
    thought = {"reasoningContent": {"reasoningText": {"text": "The user wants a city.", "signature": "c2ln"}}}
    turns = [user("What is the capital of France?"), assistant(thought, "Paris."), user("And what is the capital of Italy?")]
    again = runtime.converse(**ask(*turns))
    few = {"thinking": {"type": "enabled", "budget_tokens": 10}}
    e = raises(invalid, runtime.converse, **ask(user("x"), tokens=1100, additionalModelRequestFields=few))
    contains(str(e), "budget_tokens")
    return repr(text(again))


@case
def cache_point():
    """The second call reads what the first has left, and the three counts add up
    to CountTokens both times."""
    prefix = " ".join(f"Rule {i}: stone number {i} is grey." for i in range(85))
    seen = []
    for question in ("What colour is stone 3?", "What colour is stone 4?"):
        messages = [user(prefix, {"cachePoint": {"type": "default"}}, question)]
        usage = runtime.converse(**ask(*messages, tokens=8))["usage"]
        counted = runtime.count_tokens(modelId=HAIKU, input={"converse": {"messages": messages, "system": BRIEF}})["inputTokens"]
        equal(usage["inputTokens"] + usage["cacheReadInputTokens"] + usage["cacheWriteInputTokens"], counted)
        equal(usage["totalTokens"], counted + usage["outputTokens"])
        seen.append({k: usage[k] for k in ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")})
    assert seen[1]["cacheReadInputTokens"] > 1000, seen
    plain = runtime.converse(**ask(user(prefix, "What colour is stone 5?"), tokens=2))["usage"]
    assert "cacheReadInputTokens" not in plain, plain
    return f"{seen}"


@case
def fields_and_wishes():
    """Fields of the native body, fields of the response, and what comes back as it
    was asked for."""
    reply = runtime.converse(
        **ask(
            user("What is the capital of France?"),
            config={"stopSequences": [" of"]},
            additionalModelRequestFields={"top_k": 5},
            additionalModelResponseFieldPaths=["/stop_sequence", "/nothing"],
            requestMetadata={"team": "e2e", "purpose": "proof"},
            performanceConfig={"latency": "optimized"},
            serviceTier={"type": "flex"},
            promptVariables={"unused": {"text": "x"}},
        )
    )
    equal((text(reply), reply["stopReason"]), ("The capital", "stop_sequence"))
    equal(reply["additionalModelResponseFields"], {"stop_sequence": " of"})
    equal((reply["performanceConfig"], reply["serviceTier"]), ({"latency": "optimized"}, {"type": "flex"}))
    e = raises(invalid, runtime.converse, **ask(user("x"), additionalModelRequestFields={"colour": "red"}))
    contains(str(e), "colour")
    e = raises(invalid, runtime.converse, **ask(user("x"), requestMetadata={"a~b": "x"}))
    contains(str(e), "requestMetadata")
    native = runtime.invoke_model(
        modelId="amazon.titan-text-express-v1",
        body='{"inputText":"hi","textGenerationConfig":{"maxTokenCount":2}}',
        performanceConfigLatency="standard",
        serviceTier="priority",
    )
    equal((native["performanceConfigLatency"], native["serviceTier"]), ("standard", "priority"))
    return json.dumps(reply["additionalModelResponseFields"])


@case
def prefill():
    reply = runtime.converse(**ask(user("What is the capital of France?"), assistant("The capital of France")))
    equal((text(reply), reply["stopReason"]), (" is Paris.", "end_turn"))
    e = raises(invalid, runtime.converse, **ask(user("x"), assistant("The capital ")))
    contains(str(e), "trailing whitespace")


@case
def guard_content():
    """Guarded text is text to the model."""
    guarded = {"guardContent": {"text": {"text": "What is the capital of France?", "qualifiers": ["query"]}}}
    plain = runtime.converse(**ask(user("What is the capital of France?")))
    reply = runtime.converse(**ask(user(guarded)))
    equal((text(reply), reply["usage"]), (text(plain), plain["usage"]))


@case
def stop_reasons():
    question = user("What is the capital of France?")
    seen = [
        runtime.converse(**ask(question))["stopReason"],
        runtime.converse(**ask(question, tokens=2))["stopReason"],
        runtime.converse(**ask(question, config={"stopSequences": ["Paris"]}))["stopReason"],
        runtime.converse(**ask(question, toolConfig=tools({"any": {}}), tokens=200))["stopReason"],
    ]
    equal(seen, ["end_turn", "max_tokens", "stop_sequence", "tool_use"])
    return ", ".join(seen)


@case
def turn_rules():
    call = {"toolUse": {"toolUseId": "t1", "name": "get_time", "input": {"zone": "Oslo"}}}
    result = {"toolResult": {"toolUseId": "t1", "content": [{"text": "8"}]}}
    said = []
    for turns, part in (
        ([assistant("Hello.")], "A conversation must start with a user message."),
        ([user("a"), user("b")], "A conversation must alternate between user and assistant roles."),
        ([{"role": "system", "content": [{"text": "a"}]}], "role"),
        ([user("a"), assistant(call)], "Expected toolResult blocks at messages.2.content for the following Ids: t1"),
        ([user("a"), assistant(call), user("b")], "Expected toolResult blocks at messages.2.content for the following Ids: t1"),
        ([user("a"), assistant("b"), user(result)], "exceeds the number of toolUse blocks of previous turn."),
        ([user("a"), assistant(call), user(result, result)], "toolResult"),
        ([user(call)], "User messages can't contain toolUse content blocks."),
        ([user("a"), assistant(result)], "Assistant messages can't contain toolResult content blocks."),
        ([user("  ")], "blank"),
    ):
        e = raises(invalid, runtime.converse, **ask(*turns, toolConfig=tools()))
        contains(str(e), part)
        said.append(part)
    return f"{len(said)} rules"


@case
def tools_of_other_families():
    """One conversation with tools for models of every family that converses."""
    details = []
    for model in (
        "amazon.nova-lite-v1:0",
        "meta.llama3-1-8b-instruct-v1:0",
        "mistral.mistral-large-2407-v1:0",
        "cohere.command-r-v1:0",
        "ai21.jamba-1-5-mini-v1:0",
        "openai.gpt-oss-20b-1:0",
        "qwen.qwen3-32b-v1:0",
        SMOLLM,
    ):
        reply = runtime.converse(**ask(user("What is the weather in Paris?"), model=model, toolConfig=tools({"any": {}}), tokens=200))
        call = reply["output"]["message"]["content"][-1]["toolUse"]
        details.append(fits(call["name"], call["input"]))
    equal(len(set(details)), 1)  # the same weights stand behind all of them
    return f"8 models: {details[0]}"


# Counting.


@case
def count_tokens():
    """What a count says is what the call itself tells: Converse, and the native body
    of each family."""
    messages = [user("How many words are in this text?"), assistant("Seven."), user("Sure?")]
    cases = [
        {"messages": messages},
        {"messages": messages, "system": BRIEF},
        {"messages": messages, "system": BRIEF, "toolConfig": tools()},
        {"messages": messages, "toolConfig": tools({"any": {}})},
        {"messages": [user("What word?", {"document": {"format": "txt", "name": "n", "source": {"bytes": FACT.encode()}}})]},
    ]
    for c in cases:
        counted = runtime.count_tokens(modelId=HAIKU, input={"converse": c})["inputTokens"]
        used = runtime.converse(modelId=HAIKU, inferenceConfig={"maxTokens": 1}, **c)["usage"]["inputTokens"]
        equal(counted, used)
    chat = [{"role": "user", "content": "How many words?"}]
    native = {
        "anthropic.claude-v2": {"prompt": "\n\nHuman: How many words?\n\nAssistant:", "max_tokens_to_sample": 1},
        HAIKU: {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1, "messages": chat},
        "amazon.titan-text-express-v1": {"inputText": "How many words?", "textGenerationConfig": {"maxTokenCount": 1}},
        "amazon.nova-lite-v1:0": {"messages": [user("How many words?")], "inferenceConfig": {"maxTokens": 1}},
        "meta.llama3-8b-instruct-v1:0": {"prompt": "How many words?", "max_gen_len": 1},
        "mistral.mistral-7b-instruct-v0:2": {"prompt": "<s>[INST] How many words? [/INST]", "max_tokens": 1},
        "mistral.mistral-large-2407-v1:0": {"messages": chat, "max_tokens": 1},
        "cohere.command-text-v14": {"prompt": "How many words?", "max_tokens": 1},
        "cohere.command-r-v1:0": {"message": "How many words?", "max_tokens": 1},
        "ai21.j2-mid-v1": {"prompt": "How many words?", "maxTokens": 1},
        "ai21.jamba-1-5-mini-v1:0": {"messages": chat, "max_tokens": 1},
        "deepseek.r1-v1:0": {"prompt": "How many words?", "max_tokens": 1},
        "qwen.qwen3-32b-v1:0": {"messages": chat, "max_tokens": 1},
        "openai.gpt-oss-20b-1:0": {"messages": chat, "max_completion_tokens": 1},
    }
    for model, body in native.items():
        body = json.dumps(body)
        counted = runtime.count_tokens(modelId=model, input={"invokeModel": {"body": body}})["inputTokens"]
        headers = runtime.invoke_model(modelId=model, body=body)["ResponseMetadata"]["HTTPHeaders"]
        equal((model, counted), (model, int(headers["x-amzn-bedrock-input-token-count"])))
    raises(invalid, runtime.count_tokens, modelId="amazon.titan-embed-text-v1", input={"invokeModel": {"body": '{"inputText":"x"}'}})
    return f"{len(cases)} conversations, {len(native)} native bodies"


# A broken stream goes on.


@case
def resume():
    """A stream left in the middle and continued from the text that came: together
    they are the reply that nothing broke. The question leaves the model no two
    words that are as good as each other."""
    request = ask(user("Count from 1 to 30."), tokens=80)
    whole, _, _, _, _ = events(**request)
    kept = ""
    reply = runtime.converse_stream(**request)
    for event in reply["stream"]:
        kept += event.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
        if len(kept) >= 40:
            break
    reply["stream"].close()
    assert whole.startswith(kept) and kept != whole, (kept, whole)
    rest, _, _, _, _ = events(**request, additionalModelRequestFields={"outcrop_resume": {"text": kept}})
    assert (kept + rest).startswith(whole), (kept, rest, whole)
    return f"{kept!r} + {rest[: len(whole) - len(kept)]!r}"


if __name__ == "__main__":
    main()
