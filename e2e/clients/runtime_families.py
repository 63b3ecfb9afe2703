"""boto3 and the native bodies of every family, with real models."""

import json
import math
import re

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from cases import case, contains, equal, main, raises

runtime = boto3.client("bedrock-runtime", config=Config(read_timeout=300, retries={"total_max_attempts": 1}))
# What the small model answers in one sentence: alone, and under a system prompt.
QUESTION = "Paris is the capital of France. What is the capital of France?"
SYSTEM, ASK = "You are a helpful assistant.", "What is the capital of France?"
CHAT = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": ASK}]
CAT, KITTEN, TAX = "A cat sits on the mat.", "A kitten is lying on a rug.", "Quarterly tax returns are due in April."


def invoke(model, body):
    """The answer, and the input and output tokens that the headers tell."""
    reply = runtime.invoke_model(modelId=model, body=json.dumps(body))
    headers = reply["ResponseMetadata"]["HTTPHeaders"]
    counts = [int(headers.get(f"x-amzn-bedrock-{side}-token-count", 0)) for side in ("input", "output")]
    return json.loads(reply["body"].read()), *counts


def stream(model, body):
    """The chunks of a streamed answer, and its metrics, which stand in the last one alone."""
    reply = runtime.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
    chunks = [json.loads(event["chunk"]["bytes"]) for event in reply["body"]]
    assert all("amazon-bedrock-invocationMetrics" not in c for c in chunks[:-1]), chunks
    return chunks, chunks[-1].pop("amazon-bedrock-invocationMetrics")


def same(model, body, whole, piece, reason, more=None):
    """Asks once whole and once in a stream, at temperature 0: both have the same
    text and the same counts. whole and piece get the text of an answer and of a
    chunk, reason the stop reason of an answer. more is in the streamed body only.
    Returns the answer and the chunks."""
    answer, tokens_in, tokens_out = invoke(model, body)
    text = whole(answer)
    chunks, metrics = stream(model, {**body, **(more or {})})
    parts = [p for p in map(piece, chunks) if p]
    equal("".join(parts), text)
    assert len(parts) > 3, parts
    equal((metrics["inputTokenCount"], metrics["outputTokenCount"]), (tokens_in, tokens_out))
    assert tokens_in > 3 and 0 < tokens_out <= 40, (tokens_in, tokens_out)
    contains(text, "Paris")
    assert reason(answer), answer
    return answer, chunks, f"{text!r}, {reason(answer)}, {tokens_in} + {tokens_out} tokens, {len(parts)} parts"


# Texts.


@case
def claude_text():
    body = {"prompt": f"\n\nHuman: {QUESTION}\n\nAssistant:", "max_tokens_to_sample": 40, "temperature": 0}
    answer, chunks, detail = same(
        "anthropic.claude-v2", body, lambda a: a["completion"], lambda c: c["completion"], lambda a: a["stop_reason"]
    )
    equal((answer["stop_reason"], answer["stop"]), ("stop_sequence", "\n\nHuman:"))
    return detail


@case
def claude_messages():
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 40,
        "temperature": 0,
        "system": SYSTEM,
        "messages": [{"role": "user", "content": [{"type": "text", "text": ASK}]}],
    }
    answer, chunks, detail = same(
        "anthropic.claude-3-sonnet-20240229-v1:0",
        body,
        lambda a: a["content"][0]["text"],
        lambda c: c.get("delta", {}).get("text"),
        lambda a: a["stop_reason"],
    )
    equal((answer["stop_reason"], answer["role"]), ("end_turn", "assistant"))
    equal([chunks[0]["type"], chunks[-1]["type"]], ["message_start", "message_stop"])
    return detail


@case
def claude_messages_whole():
    """Tools, documents, thinking, cache points and beta fields of the native body."""
    model = "anthropic.claude-3-haiku-20240307-v1:0"
    body = {"anthropic_version": "bedrock-2023-05-31", "anthropic_beta": ["x-2025-01-01"], "max_tokens": 100, "temperature": 0}
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
    tool = {"name": "get_weather", "description": "Tells the weather of a city.", "input_schema": schema}
    turns = [{"role": "user", "content": "What is the weather in Paris?"}]
    called, _, _ = invoke(model, {**body, "messages": turns, "tools": [tool], "tool_choice": {"type": "any"}})
    use = called["content"][-1]
    equal((called["stop_reason"], use["type"], use["name"], list(use["input"])), ("tool_use", "tool_use", "get_weather", ["city"]))
    chunks, _ = stream(model, {**body, "messages": turns, "tools": [tool], "tool_choice": {"type": "tool", "name": "get_weather"}})
    deltas = [c["delta"]["partial_json"] for c in chunks if c.get("delta", {}).get("type") == "input_json_delta"]
    equal(json.loads("".join(deltas)), use["input"])
    result = {"type": "tool_result", "tool_use_id": use["id"], "content": "21 degrees"}
    turns += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    answer, _, _ = invoke(model, {**body, "messages": turns, "tools": [tool]})
    assert answer["content"], answer
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "The password is Berlin."}}
    question = [document, {"type": "text", "text": "What is the password?"}]
    read, _, _ = invoke(model, {**body, "messages": [{"role": "user", "content": question}]})
    contains(read["content"][0]["text"], "Berlin")
    thinking = {k: v for k, v in body.items() if k != "temperature"}
    thinking |= {"max_tokens": 1040, "thinking": {"type": "enabled", "budget_tokens": 1024}, "stop_sequences": ["."]}
    thought, _, _ = invoke(model, {**thinking, "messages": [{"role": "user", "content": QUESTION}]})
    assert thought["content"], thought
    cached = [{"type": "text", "text": "Rule: stones are grey. " * 250, "cache_control": {"type": "ephemeral"}}]
    usage = [invoke(model, {**body, "max_tokens": 2, "system": cached, "messages": turns[:1]})[0]["usage"] for _ in range(2)]
    assert usage[1]["cache_read_input_tokens"] > 1000 and usage[1]["cache_creation_input_tokens"] == 0, usage
    return f"{use['name']}({use['input']}); {read['content'][0]['text']!r}; second call {usage[1]}"


@case
def titan_text():
    body = {"inputText": f"User: {QUESTION}\nBot:", "textGenerationConfig": {"maxTokenCount": 40, "temperature": 0}}
    details = []
    for model in ("amazon.titan-text-lite-v1", "amazon.titan-text-express-v1", "amazon.titan-text-premier-v1:0"):
        answer, chunks, detail = same(
            model,
            body,
            lambda a: a["results"][0]["outputText"],
            lambda c: c["outputText"],
            lambda a: a["results"][0]["completionReason"],
        )
        equal(answer["results"][0]["completionReason"], "FINISH")
        equal(chunks[-1]["totalOutputTextTokenCount"], answer["results"][0]["tokenCount"])
        details.append(detail)
    return details[0]


@case
def nova():
    body = {
        "schemaVersion": "messages-v1",
        "system": [{"text": SYSTEM}],
        "messages": [{"role": "user", "content": [{"text": ASK}]}],
        "inferenceConfig": {"maxTokens": 40, "temperature": 0},
    }
    answer, chunks, detail = same(
        "us.amazon.nova-lite-v1:0",
        body,
        lambda a: a["output"]["message"]["content"][0]["text"],
        lambda c: c.get("contentBlockDelta", {}).get("delta", {}).get("text"),
        lambda a: a["stopReason"],
    )
    equal((answer["stopReason"], answer["usage"]["totalTokens"]), ("end_turn", sum(invoke("amazon.nova-lite-v1:0", body)[1:])))
    equal([next(iter(c)) for c in (chunks[0], chunks[-1])], ["messageStart", "metadata"])
    return detail


LLAMAS = {
    "meta.llama2-70b-chat-v1": f"<s>[INST] <<SYS>>\n{SYSTEM}\n<</SYS>>\n\n{ASK} [/INST]",
    "meta.llama3-8b-instruct-v1:0": f"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{SYSTEM}"
    f"<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n{ASK}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "us.meta.llama4-scout-17b-instruct-v1:0": f"<|begin_of_text|><|header_start|>system<|header_end|>\n\n{SYSTEM}"
    f"<|eot|><|header_start|>user<|header_end|>\n\n{ASK}<|eot|><|header_start|>assistant<|header_end|>\n\n",
}


@case
def llama_2_3_and_4():
    counts = set()
    for model, prompt in LLAMAS.items():
        answer, chunks, detail = same(
            model,
            {"prompt": prompt, "max_gen_len": 40, "temperature": 0},
            lambda a: a["generation"],
            lambda c: c["generation"],
            lambda a: a["stop_reason"],
        )
        equal(answer["stop_reason"], "stop")
        equal(chunks[-1]["stop_reason"], "stop")
        counts.add((answer["generation"].strip(), answer["prompt_token_count"], answer["generation_token_count"]))
    equal(len(counts), 1)  # the three forms of prompt say the same, so they are read as the same
    return f"{detail}; the same for all three"


@case
def mistral_text():
    body = {"prompt": f"<s>[INST] {QUESTION} [/INST]", "max_tokens": 40, "temperature": 0}
    for model in ("mistral.mistral-7b-instruct-v0:2", "mistral.mixtral-8x7b-instruct-v0:1"):
        answer, chunks, detail = same(
            model,
            body,
            lambda a: a["outputs"][0]["text"],
            lambda c: c["outputs"][0]["text"],
            lambda a: a["outputs"][0]["stop_reason"],
        )
        equal(chunks[-1]["outputs"][0]["stop_reason"], answer["outputs"][0]["stop_reason"])
    return detail


@case
def mistral_chat():
    answer, _, detail = same(
        "mistral.mistral-large-2407-v1:0",
        {"messages": CHAT, "max_tokens": 40, "temperature": 0},
        lambda a: a["choices"][0]["message"]["content"],
        lambda c: c["choices"][0]["message"].get("content"),
        lambda a: a["choices"][0]["stop_reason"],
    )
    equal(answer["choices"][0]["stop_reason"], "stop")
    return detail


@case
def cohere_command():
    body = {"prompt": QUESTION, "max_tokens": 40, "temperature": 0}
    answer, chunks, detail = same(
        "cohere.command-text-v14",
        body,
        lambda a: a["generations"][0]["text"],
        lambda c: c.get("text"),
        lambda a: a["generations"][0]["finish_reason"],
        {"stream": True},
    )
    equal((answer["prompt"], chunks[-1]["is_finished"]), (QUESTION, True))
    several, _, out = invoke("cohere.command-light-text-v14", {**body, "prompt": "Write a story about the sea.", "num_generations": 3, "temperature": 1, "max_tokens": 24})
    texts = [g["text"] for g in several["generations"]]
    assert len(texts) == 3 and len(set(texts)) > 1 and out > 12, several
    return f"{detail}; {len(texts)} generations in one call"


@case
def cohere_command_r():
    body = {
        "message": ASK,
        "documents": [
            {"title": "France", "snippet": "The capital of France is Paris."},
            {"title": "Ice", "snippet": "Penguins live in Antarctica."},
        ],
        "max_tokens": 40,
        "temperature": 0,
    }
    answer, _, _ = invoke("cohere.command-r-v1:0", body)
    chunks, _ = stream("cohere.command-r-v1:0", body)
    equal("".join(c["text"] for c in chunks if c["event_type"] == "text-generation"), answer["text"])
    equal((chunks[-1]["event_type"], chunks[-1]["response"]["text"]), ("stream-end", answer["text"]))
    equal([h["role"] for h in answer["chat_history"]], ["USER", "CHATBOT"])
    cited = [(c["text"], c["document_ids"]) for c in answer["citations"]]
    for c in answer["citations"]:
        equal(answer["text"][c["start"] : c["end"]], c["text"])
    assert any("doc_0" in ids for _, ids in cited), answer
    equal([c["citations"] for c in chunks if c["event_type"] == "citation-generation"], [answer["citations"]])
    turns = {
        "message": ASK,
        "preamble": SYSTEM,
        "chat_history": [{"role": "USER", "message": "Hello."}, {"role": "CHATBOT", "message": "Hello, how can I help?"}],
        "max_tokens": 40,
        "temperature": 0,
    }
    reply, _, _ = invoke("cohere.command-r-plus-v1:0", turns)
    contains(reply["text"], "Paris")
    return f"{answer['text']!r}, cited {cited}"


@case
def jurassic():
    body = {"prompt": QUESTION, "maxTokens": 40, "temperature": 0}
    answer, tokens_in, tokens_out = invoke("ai21.j2-mid-v1", body)
    (completion,) = answer["completions"]
    text, tokens = completion["data"]["text"], completion["data"]["tokens"]
    contains(text, "Paris")
    assert completion["finishReason"]["reason"] in ("endoftext", "length"), completion
    equal(answer["prompt"]["text"], QUESTION)
    end = 0
    for token in tokens:
        equal(token["textRange"]["start"], end)
        end = token["textRange"]["end"]
        assert token["generatedToken"]["logprob"] <= 0, token
    equal(end, len(text))
    # A question with one answer may well get it three times.
    several, _, _ = invoke("ai21.j2-ultra-v1", {**body, "prompt": "Write a story about the sea.", "numResults": 3, "temperature": 1, "maxTokens": 24})
    texts = [c["data"]["text"] for c in several["completions"]]
    assert len(texts) == 3 and len(set(texts)) > 1, texts
    e = raises(
        runtime.exceptions.ValidationException,
        runtime.invoke_model_with_response_stream,
        modelId="ai21.j2-mid-v1",
        body=json.dumps(body),
    )
    contains(str(e), "streaming")
    return f"{text!r} of {len(tokens)} tokens; {len(texts)} results in one call"


@case
def jamba():
    body = {"messages": CHAT, "max_tokens": 40, "temperature": 0}
    answer, _, detail = same(
        "ai21.jamba-1-5-mini-v1:0",
        body,
        lambda a: a["choices"][0]["message"]["content"],
        lambda c: c["choices"][0]["delta"].get("content") if c["choices"] else None,
        lambda a: a["choices"][0]["finish_reason"],
    )
    equal(answer["choices"][0]["finish_reason"], "stop")
    equal(answer["usage"]["total_tokens"], answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"])
    return detail


@case
def deepseek():
    body = {"prompt": f"<｜begin▁of▁sentence｜><｜User｜>{QUESTION}<｜Assistant｜>", "max_tokens": 40, "temperature": 0}
    answer, _, detail = same(
        "us.deepseek.r1-v1:0",
        body,
        lambda a: a["choices"][0]["text"],
        lambda c: c["choices"][0]["text"],
        lambda a: a["choices"][0]["stop_reason"],
    )
    return detail


def completions(model, limit):
    body = {"messages": CHAT, limit: 40, "temperature": 0}
    answer, chunks, detail = same(
        model,
        body,
        lambda a: a["choices"][0]["message"]["content"],
        lambda c: c["choices"][0]["delta"].get("content") if c["choices"] else None,
        lambda a: a["choices"][0]["finish_reason"],
    )
    equal((answer["object"], answer["choices"][0]["finish_reason"]), ("chat.completion", "stop"))
    equal({c["object"] for c in chunks}, {"chat.completion.chunk"})
    return detail


@case
def deepseek_v3():
    return completions("deepseek.v3-v1:0", "max_tokens")


@case
def qwen():
    return completions("qwen.qwen3-32b-v1:0", "max_tokens")


@case
def gpt_oss():
    return completions("openai.gpt-oss-20b-1:0", "max_completion_tokens")


# Vectors.


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def similar(cat, kitten, tax, length):
    equal((len(cat), len(kitten), len(tax)), (length,) * 3)
    near, far = cosine(cat, kitten), cosine(cat, tax)
    assert near > far + 0.2, (near, far)
    return f"{length}: near {near:.2f}, far {far:.2f}"


@case
def titan_embeddings():
    def vector(model, text, **more):
        return invoke(model, {"inputText": text, **more})[0]["embedding"]

    details = [similar(*(vector("amazon.titan-embed-text-v1", t) for t in (CAT, KITTEN, TAX)), 1536)]
    for length in (1024, 512, 256):
        more = {"dimensions": length, "normalize": True}
        details.append(similar(*(vector("amazon.titan-embed-text-v2:0", t, **more) for t in (CAT, KITTEN, TAX)), length))
    both, _, _ = invoke("amazon.titan-embed-text-v2:0", {"inputText": CAT, "dimensions": 256, "embeddingTypes": ["binary", "float"]})
    equal(both["embeddingsByType"]["binary"], [int(x > 0) for x in both["embeddingsByType"]["float"]])
    return "; ".join(details)


@case
def cohere_embed_3():
    body = {"texts": [CAT, KITTEN, TAX], "input_type": "search_document"}
    answer, _, _ = invoke("cohere.embed-english-v3", body)
    equal((answer["response_type"], answer["texts"]), ("embeddings_floats", body["texts"]))
    detail = similar(*answer["embeddings"], 1024)
    kinds = ["float", "int8", "uint8", "binary", "ubinary"]
    types, _, _ = invoke("cohere.embed-multilingual-v3", {**body, "embedding_types": kinds})
    equal((types["response_type"], sorted(types["embeddings"])), ("embeddings_by_type", sorted(kinds)))
    equal([len(types["embeddings"][k][0]) for k in kinds], [1024, 1024, 1024, 128, 128])
    many, _, _ = invoke("cohere.embed-english-v3", {"texts": [f"Text number {i}." for i in range(96)], "input_type": "clustering"})
    equal(len(many["embeddings"]), 96)
    return f"{detail}; 96 texts in one call"


@case
def cohere_embed_4():
    details = []
    for length in (1536, 1024, 512, 256):
        body = {"texts": [CAT, KITTEN, TAX], "input_type": "search_document", "output_dimension": length, "embedding_types": ["float"]}
        details.append(similar(*invoke("cohere.embed-v4:0", body)[0]["embeddings"]["float"], length))
    inputs = [{"content": [{"type": "text", "text": CAT}]}]
    answer, _, _ = invoke("cohere.embed-v4:0", {"inputs": inputs, "input_type": "search_query"})
    assert answer["embeddings"], answer
    return "; ".join(details)


@case
def rerank():
    documents = [TAX, KITTEN, "The weather is fine today."]
    for model, more in (("cohere.rerank-v3-5:0", {"api_version": 2}), ("amazon.rerank-v1:0", {})):
        body = {"query": CAT, "documents": documents, "top_n": 2, **more}
        answer, _, _ = invoke(model, body)
        headers = runtime.invoke_model(modelId=model, body=json.dumps(body))["ResponseMetadata"]["HTTPHeaders"]
        equal(headers["x-outcrop-served-by"], "all-minilm-l6-v2; stand-in")
        equal([r["index"] for r in answer["results"]][0], 1)
        scores = [r["relevance_score"] for r in answer["results"]]
        assert len(scores) == 2 and scores == sorted(scores, reverse=True), answer
    return f"{answer['results']}"


# What has no weights yet says which pull supplies them.


def needs_pull(model, body, weights):
    e = raises(ClientError, runtime.invoke_model, modelId=model, body=json.dumps(body))
    contains(str(e), f"outcrop models pull {weights}")
    return f"{e.response['Error']['Code']}: {e.response['Error']['Message']}"


@case
def pictures_need_weights():
    task = {"taskType": "TEXT_IMAGE", "textToImageParams": {"text": "a lighthouse"}}
    for model, body in (
        ("amazon.titan-image-generator-v1", task),
        ("amazon.titan-image-generator-v2:0", task),
        ("amazon.nova-canvas-v1:0", task),
        ("stability.stable-diffusion-xl-v1", {"text_prompts": [{"text": "a lighthouse"}], "style_preset": "photographic"}),
        ("stability.sd3-5-large-v1:0", {"prompt": "a lighthouse", "mode": "text-to-image"}),
        ("stability.stable-image-core-v1:1", {"prompt": "a lighthouse"}),
        ("stability.stable-image-ultra-v1:1", {"prompt": "a lighthouse"}),
    ):
        said = needs_pull(model, body, "stable-diffusion-v1-5")
    return said


@case
def image_vectors_need_weights():
    return needs_pull("amazon.titan-embed-image-v1", {"inputText": CAT}, "clip-vit-base-patch32")


@case
def wrong_bodies_name_the_key():
    for model, body, key in (
        ("amazon.nova-lite-v1:0", {"messages": [{"role": "user", "content": [{"text": "x"}]}], "inferenceConfig": {"topP": 3}}, "topP"),
        ("meta.llama3-8b-instruct-v1:0", {"prompt": "x", "max_gen_len": "many"}, "max_gen_len"),
        ("mistral.mistral-7b-instruct-v0:2", {"prompt": "x", "top_k": 201}, "top_k"),
        ("cohere.command-text-v14", {"prompt": "x", "k": 501}, "k"),
        ("cohere.command-r-v1:0", {"message": "x", "p": 2}, "p"),
        ("cohere.embed-english-v3", {"texts": ["x"]}, "input_type"),
        ("cohere.rerank-v3-5:0", {"query": "x", "api_version": 2}, "documents"),
        ("ai21.j2-mid-v1", {"prompt": "x", "countPenalty": {"scale": 2}}, "scale"),
        ("ai21.jamba-1-5-mini-v1:0", {"messages": [], "n": 1}, "messages"),
        ("deepseek.r1-v1:0", {"prompt": "x", "max_tokens": 0}, "max_tokens"),
        ("openai.gpt-oss-20b-1:0", {"messages": CHAT, "temperature": 9}, "temperature"),
        ("amazon.titan-image-generator-v1", {"taskType": "TEXT_IMAGE"}, "textToImageParams"),
        ("stability.stable-diffusion-xl-v1", {"text_prompts": [{"text": "x"}], "steps": 9}, "steps"),
        ("stability.sd3-5-large-v1:0", {"prompt": "x", "aspect_ratio": "7:7"}, "aspect_ratio"),
    ):
        e = raises(runtime.exceptions.ValidationException, runtime.invoke_model, modelId=model, body=json.dumps(body))
        contains(str(e), key)


# The seed's table of parameters by task, and its prompt of several lines.

SETS = {
    "code": (0.2, 0.8, 500, ["```", "//END"]),
    "creative": (0.8, 0.9, 1500, ["THE END"]),
    "data": (0.1, 0.7, 800, ["—", "Summary:"]),
    "service": (0.4, 0.8, 300, ["Thanks", "Best regards"]),
}


@case
def seed_parameters():
    """All four sets in the bodies of five families: the reply keeps to its limit and
    has no stop text in it. Limits are cut to 24 tokens here, for two cores."""
    ends = []
    for name, (temperature, top_p, tokens, stops) in SETS.items():
        limit = min(tokens, 24)
        prompt = "Say hello to a customer."
        for model, body, text in (
            (
                "anthropic.claude-v2",
                {"prompt": prompt, "max_tokens_to_sample": limit, "temperature": temperature, "top_p": top_p, "stop_sequences": stops},
                lambda a: a["completion"],
            ),
            (
                "amazon.titan-text-express-v1",
                {
                    "inputText": prompt,
                    "textGenerationConfig": {"maxTokenCount": limit, "temperature": temperature, "topP": top_p, "stopSequences": stops},
                },
                lambda a: a["results"][0]["outputText"],
            ),
            (
                "ai21.j2-ultra-v1",
                {"prompt": prompt, "maxTokens": limit, "temperature": temperature, "topP": top_p, "stopSequences": stops},
                lambda a: a["completions"][0]["data"]["text"],
            ),
            (
                "cohere.command-text-v14",
                {"prompt": prompt, "max_tokens": limit, "temperature": temperature, "p": top_p, "stop_sequences": stops},
                lambda a: a["generations"][0]["text"],
            ),
            (
                "meta.llama3-8b-instruct-v1:0",
                {"prompt": prompt, "max_gen_len": limit, "temperature": temperature, "top_p": top_p},
                lambda a: a["generation"],
            ),
        ):
            answer, _, out = invoke(model, body)
            said = text(answer)
            assert 0 < out <= limit, (model, name, out)
            if not model.startswith("meta."):  # Llama's body has no stop texts
                assert not any(stop in said for stop in stops), (model, name, said)
        ends.append(f"{name}: {said[:40]!r}")
    body = {"prompt": "Write a very long story.", "max_tokens_to_sample": 1500, "temperature": 0, "stop_sequences": ["THE END", "a"]}
    answer, _, out = invoke("anthropic.claude-v2", body)
    assert out < 50 and "a" not in answer["completion"] and answer["stop"] == "a", answer
    return "; ".join(ends)


@case
def line_breaks_stay():
    """The seed's structured prompt costs more tokens than the same prompt on one
    line, in every family, and always the same."""
    lines = "Context: You are a cloud architect.\n\nTask:\n- compare\n- decide\n\nFormat: a table"
    flat = re.sub(r"\s+", " ", lines)

    def count(model, body):
        counted = runtime.count_tokens(modelId=model, input={"invokeModel": {"body": json.dumps(body)}})
        return counted["inputTokens"]

    got = {}
    for model, body in (
        ("anthropic.claude-v2", lambda p: {"prompt": p, "max_tokens_to_sample": 9}),
        ("amazon.titan-text-express-v1", lambda p: {"inputText": p}),
        ("meta.llama2-70b-chat-v1", lambda p: {"prompt": f"<s>[INST] {p} [/INST]"}),
        ("meta.llama3-8b-instruct-v1:0", lambda p: {"prompt": p}),
        ("mistral.mistral-7b-instruct-v0:2", lambda p: {"prompt": f"<s>[INST] {p} [/INST]"}),
        ("cohere.command-text-v14", lambda p: {"prompt": p}),
        ("cohere.command-r-v1:0", lambda p: {"message": p}),
        ("ai21.j2-mid-v1", lambda p: {"prompt": p}),
        ("deepseek.r1-v1:0", lambda p: {"prompt": p}),
    ):
        got[model] = (count(model, body(lines)), count(model, body(flat)))
    equal(len(set(got.values())), 1)
    with_lines, without = next(iter(got.values()))
    assert with_lines != without, got
    return f"{with_lines} tokens with its line breaks, {without} without, in {len(got)} families alike"


if __name__ == "__main__":
    main()
