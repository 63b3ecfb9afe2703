"""boto3 against a server with real models."""

import json
import math
import re
import time
import urllib.error
import urllib.request
import uuid

import boto3
import botocore.auth
import botocore.compat
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from cases import case, contains, equal, main, raises

CLAUDE_V2 = "anthropic.claude-v2"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
TITAN = "amazon.titan-text-express-v1"
EMBED_1 = "amazon.titan-embed-text-v1"
EMBED_2 = "amazon.titan-embed-text-v2:0"
SMOLLM = "huggingface.smollm2-135m-instruct-v1:0"
ARN = "arn:aws:bedrock:us-east-1"

bedrock = boto3.client("bedrock")
runtime = boto3.client("bedrock-runtime")
sts = boto3.client("sts")
once = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
bare = boto3.client("bedrock-runtime", config=once)  # one attempt, nothing checked here

ASK = [{"role": "user", "content": [{"text": "What is the capital of France?"}]}]
BRIEF = [{"text": "You are a helpful assistant."}]  # with it the small model answers in one sentence


def account():
    return sts.get_caller_identity()["Account"]


def invoke(model, body, **kwargs):
    reply = runtime.invoke_model(modelId=model, body=json.dumps(body), **kwargs)
    headers = reply["ResponseMetadata"]["HTTPHeaders"]
    answer = json.loads(reply["body"].read())
    equal(reply["contentType"], "application/json")
    assert re.fullmatch(r"[0-9a-f-]{36}", reply["ResponseMetadata"]["RequestId"]), headers
    equal(headers["x-amzn-requestid"], reply["ResponseMetadata"]["RequestId"])
    assert int(headers["x-amzn-bedrock-invocation-latency"]) >= 0
    return answer, int(headers["x-amzn-bedrock-input-token-count"]), headers


def stream(model, body):
    reply = runtime.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
    equal(reply["contentType"], "application/json")
    chunks = [json.loads(event["chunk"]["bytes"]) for event in reply["body"]]
    assert all("amazon-bedrock-invocationMetrics" not in c for c in chunks[:-1])
    metrics = chunks[-1]["amazon-bedrock-invocationMetrics"]
    equal(set(metrics), {"inputTokenCount", "outputTokenCount", "invocationLatency", "firstByteLatency"})
    assert metrics["inputTokenCount"] > 0 and metrics["outputTokenCount"] > 0
    assert metrics["invocationLatency"] >= metrics["firstByteLatency"] >= 0
    return chunks, metrics


def code(error):
    return error.response["Error"]["Code"]


def status(error):
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


# Models.


@case
def list_models():
    models = bedrock.list_foundation_models()["modelSummaries"]
    by_id = {m["modelId"]: m for m in models}
    for name in (CLAUDE_V2, HAIKU, TITAN, EMBED_1, EMBED_2, SMOLLM):
        equal(by_id[name]["modelArn"], f"{ARN}::foundation-model/{name}")
    equal(by_id[HAIKU]["providerName"], "Anthropic")
    equal(by_id[HAIKU]["responseStreamingSupported"], True)
    equal(by_id[EMBED_2]["outputModalities"], ["EMBEDDING"])
    return f"{len(models)} models"


@case
def list_models_filters():
    def ids(**filters):
        return {m["modelId"] for m in bedrock.list_foundation_models(**filters)["modelSummaries"]}

    everything = ids()
    anthropic = ids(byProvider="Anthropic")
    assert anthropic and all(i.startswith("anthropic.") for i in anthropic), anthropic
    embedding = ids(byOutputModality="EMBEDDING")
    assert EMBED_1 in embedding and HAIKU not in embedding
    equal(ids(byOutputModality="TEXT") | ids(byOutputModality="IMAGE") | embedding, everything)
    tunable = ids(byCustomizationType="FINE_TUNING")
    assert TITAN in tunable and CLAUDE_V2 not in tunable and tunable < everything
    provisioned = ids(byInferenceType="PROVISIONED")
    assert provisioned < everything and SMOLLM not in provisioned
    assert ids(byProvider="Anthropic", byOutputModality="EMBEDDING") == set()
    e = raises(ClientError, bedrock.list_foundation_models, byOutputModality="SMELL")
    equal(code(e), "ValidationException")
    contains(e.response["Error"]["Message"], "byOutputModality")


@case
def get_model():
    details = bedrock.get_foundation_model(modelIdentifier=HAIKU)["modelDetails"]
    equal(details["modelId"], HAIKU)
    equal(details["modelLifecycle"]["status"] in ("ACTIVE", "LEGACY"), True)
    by_arn = bedrock.get_foundation_model(modelIdentifier=details["modelArn"])["modelDetails"]
    equal(by_arn, details)


@case
def get_model_availability():
    reply = bedrock.get_foundation_model_availability(modelId=HAIKU)
    equal(reply["modelId"], HAIKU)
    equal(reply["entitlementAvailability"], "AVAILABLE")
    equal(reply["regionAvailability"], "AVAILABLE")


@case
def any_region_answers():
    client = boto3.client("bedrock", region_name="eu-central-1")
    details = client.get_foundation_model(modelIdentifier=CLAUDE_V2)["modelDetails"]
    equal(details["modelArn"], f"arn:aws:bedrock:eu-central-1::foundation-model/{CLAUDE_V2}")


@case
def model_ids_in_all_spellings():
    ids = [
        HAIKU,
        "us." + HAIKU,
        f"{ARN}::foundation-model/{HAIKU}",
        f"{ARN}:{account()}:inference-profile/us.{HAIKU}",
        HAIKU + ":48k",
        SMOLLM,
    ]
    for model in ids:
        reply = runtime.converse(modelId=model, messages=ASK, inferenceConfig={"maxTokens": 2, "temperature": 0})
        served = reply["ResponseMetadata"]["HTTPHeaders"]["x-outcrop-served-by"]
        contains(served, "smollm2-135m-instruct")
        equal("stand-in" in served, model != SMOLLM)
    return ", ".join(ids)


# InvokeModel.


@case
def invoke_claude_text():
    answer, tokens, headers = invoke(
        CLAUDE_V2,
        {"prompt": "\n\nHuman: Say hello.\n\nAssistant:", "max_tokens_to_sample": 6, "temperature": 0},
        contentType="application/json",
        accept="application/json",
    )
    equal(answer["type"], "completion")
    assert answer["completion"].strip()
    equal(answer["stop_reason"], "max_tokens")
    equal(answer["stop"], None)
    equal(headers["x-amzn-bedrock-output-token-count"], "6")
    assert tokens > 2
    return repr(answer["completion"])


@case
def invoke_claude_messages():
    answer, tokens, headers = invoke(
        HAIKU,
        {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 6,
            "temperature": 0,
            "system": "You are brief.",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}],
        },
    )
    equal(answer["type"], "message")
    equal(answer["role"], "assistant")
    equal(answer["model"], "claude-3-haiku-20240307")
    equal(answer["content"][0]["type"], "text")
    assert answer["content"][0]["text"].strip()
    equal(answer["stop_reason"], "max_tokens")
    equal(answer["usage"], {"input_tokens": tokens, "output_tokens": 6})
    contains(headers["x-outcrop-served-by"], "smollm2-135m-instruct", "stand-in")
    return repr(answer["content"][0]["text"])


@case
def invoke_titan_text():
    answer, tokens, _ = invoke(
        TITAN, {"inputText": "User: Say hello.\nBot:", "textGenerationConfig": {"maxTokenCount": 6, "temperature": 0}}
    )
    equal(answer["inputTextTokenCount"], tokens)
    equal(answer["results"][0]["tokenCount"], 6)
    equal(answer["results"][0]["completionReason"], "LENGTH")
    assert answer["results"][0]["outputText"].strip()


@case
def invoke_stop_sequence():
    answer, _, _ = invoke(
        CLAUDE_V2,
        {
            "prompt": "\n\nHuman: Write two sentences about the sea.\n\nAssistant:",
            "max_tokens_to_sample": 60,
            "temperature": 0,
            "stop_sequences": [" the"],
        },
    )
    equal((answer["stop_reason"], answer["stop"]), ("stop_sequence", " the"))
    assert " the" not in answer["completion"] and answer["completion"]


@case
def stream_claude_text():
    chunks, metrics = stream(CLAUDE_V2, {"prompt": "Count from one to ten.", "max_tokens_to_sample": 20, "temperature": 0})
    assert all("completion" in c for c in chunks), chunks
    assert len(chunks) > 5
    assert all(c["stop_reason"] is None for c in chunks[:-1])
    assert chunks[-1]["stop_reason"] in ("max_tokens", "stop_sequence")
    assert metrics["outputTokenCount"] <= 20
    return f"{len(chunks)} chunks"


@case
def stream_claude_messages():
    chunks, metrics = stream(
        HAIKU,
        {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 12,
            "temperature": 0,
            "messages": [{"role": "user", "content": "Count from one to twenty."}],
        },
    )
    kinds = [c["type"] for c in chunks]
    deltas = kinds.count("content_block_delta")
    assert deltas > 3, kinds
    equal(
        kinds,
        ["message_start", "content_block_start"]
        + ["content_block_delta"] * deltas
        + ["content_block_stop", "message_delta", "message_stop"],
    )
    equal(chunks[0]["message"]["usage"]["input_tokens"], metrics["inputTokenCount"])
    equal(chunks[-2]["usage"]["output_tokens"], metrics["outputTokenCount"])


@case
def stream_titan_text():
    chunks, metrics = stream(
        TITAN, {"inputText": "Count from one to twenty.", "textGenerationConfig": {"maxTokenCount": 12, "temperature": 0}}
    )
    assert len(chunks) > 3 and all("outputText" in c for c in chunks)
    equal(chunks[-1]["totalOutputTextTokenCount"], metrics["outputTokenCount"])
    assert chunks[-1]["completionReason"] in ("LENGTH", "FINISH")


# Converse.


@case
def converse():
    reply = runtime.converse(
        modelId=HAIKU,
        messages=[
            {"role": "user", "content": [{"text": "My name is Ada."}]},
            {"role": "assistant", "content": [{"text": "Hello Ada."}]},
            {"role": "user", "content": [{"text": "What is the capital of France?"}]},
        ],
        system=BRIEF,
        inferenceConfig={"maxTokens": 100, "temperature": 0, "topP": 0.9},
        requestMetadata={"team": "e2e"},
    )
    equal(reply["output"]["message"]["role"], "assistant")
    text = reply["output"]["message"]["content"][0]["text"]
    contains(text, "Paris")
    equal(reply["stopReason"], "end_turn")
    usage = reply["usage"]
    assert usage["inputTokens"] > 20 and usage["outputTokens"] > 1
    equal(usage["totalTokens"], usage["inputTokens"] + usage["outputTokens"])
    assert reply["metrics"]["latencyMs"] >= 0
    contains(reply["ResponseMetadata"]["HTTPHeaders"]["x-outcrop-served-by"], "stand-in")
    return repr(text)


@case
def converse_max_tokens():
    for limit in (1, 5):
        reply = runtime.converse(modelId=SMOLLM, messages=ASK, inferenceConfig={"maxTokens": limit, "temperature": 0})
        equal((reply["stopReason"], reply["usage"]["outputTokens"]), ("max_tokens", limit))


@case
def converse_stop_sequence():
    reply = runtime.converse(
        modelId=SMOLLM,
        messages=ASK,
        system=BRIEF,
        inferenceConfig={"maxTokens": 60, "temperature": 0, "stopSequences": [" of"]},
    )
    equal(reply["stopReason"], "stop_sequence")
    equal(reply["output"]["message"]["content"][0]["text"], "The capital")


@case
def converse_stream():
    plain = runtime.converse(modelId=HAIKU, messages=ASK, system=BRIEF, inferenceConfig={"maxTokens": 1, "temperature": 0})
    reply = runtime.converse_stream(
        modelId=HAIKU, messages=ASK, system=BRIEF, inferenceConfig={"maxTokens": 100, "temperature": 0}
    )
    contains(reply["ResponseMetadata"]["HTTPHeaders"]["x-outcrop-served-by"], "smollm2-135m-instruct; stand-in")
    events = list(reply["stream"])
    kinds = [next(iter(e)) for e in events]
    deltas = kinds.count("contentBlockDelta")
    assert deltas > 3, kinds
    equal(kinds, ["messageStart"] + ["contentBlockDelta"] * deltas + ["contentBlockStop", "messageStop", "metadata"])
    equal(events[0]["messageStart"], {"role": "assistant"})
    text = "".join(e["contentBlockDelta"]["delta"]["text"] for e in events[1 : deltas + 1])
    contains(text, "Paris")
    equal(events[-2]["messageStop"]["stopReason"], "end_turn")
    usage = events[-1]["metadata"]["usage"]
    equal(usage["inputTokens"], plain["usage"]["inputTokens"])
    equal(usage["totalTokens"], usage["inputTokens"] + usage["outputTokens"])
    assert events[-1]["metadata"]["metrics"]["latencyMs"] >= 0
    return f"{deltas} deltas"


# Embeddings.


def embed(model, text, **body):
    answer, tokens, _ = invoke(model, {"inputText": text, **body})
    equal(answer["inputTextTokenCount"], tokens)
    length = math.sqrt(sum(x * x for x in answer["embedding"]))
    assert abs(length - 1) < 1e-3, length
    return answer["embedding"]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b))


@case
def embed_titan_v1():
    cat = embed(EMBED_1, "A cat sits on the mat.")
    equal(len(cat), 1536)
    equal(embed(EMBED_1, "A cat sits on the mat."), cat)
    kitten = embed(EMBED_1, "A kitten is lying on a rug.")
    tax = embed(EMBED_1, "Quarterly tax returns are due in April.")
    near, far = cosine(cat, kitten), cosine(cat, tax)
    assert near > far + 0.2, (near, far)
    return f"near {near:.2f}, far {far:.2f}"


@case
def embed_titan_v2():
    equal(len(embed(EMBED_2, "hello")), 1024)
    for dimensions in (256, 512, 1024):
        equal(len(embed(EMBED_2, "hello", dimensions=dimensions, normalize=True)), dimensions)
    answer, _, _ = invoke(EMBED_2, {"inputText": "hello", "dimensions": 256, "embeddingTypes": ["float", "binary"]})
    equal(answer["embeddingsByType"]["float"], answer["embedding"])
    equal(len(answer["embeddingsByType"]["binary"]), 256)
    equal(set(answer["embeddingsByType"]["binary"]) <= {0, 1}, True)


# Identity and inference profiles.


@case
def sts_get_caller_identity():
    who = sts.get_caller_identity()
    assert re.fullmatch(r"\d{12}", who["Account"]), who
    contains(who["Arn"], f":{who['Account']}:")
    assert who["UserId"]
    return who["Arn"]


@case
def sts_presigned_get_caller_identity():
    url = sts.generate_presigned_url("get_caller_identity", HttpMethod="GET", ExpiresIn=60)
    with urllib.request.urlopen(url) as reply:
        contains(reply.read().decode(), f"<Account>{account()}</Account>")
    request = urllib.request.Request(url[:-1] + ("0" if url[-1] != "0" else "1"))
    equal(raises(urllib.error.HTTPError, urllib.request.urlopen, request).code, 403)


@case
def inference_profiles_system():
    pages = bedrock.get_paginator("list_inference_profiles").paginate(
        typeEquals="SYSTEM_DEFINED", PaginationConfig={"PageSize": 5}
    )
    profiles = [p for page in pages for p in page["inferenceProfileSummaries"]]
    ids = [p["inferenceProfileId"] for p in profiles]
    equal(len(ids), len(set(ids)))
    assert "us." + HAIKU in ids, ids
    got = bedrock.get_inference_profile(inferenceProfileIdentifier="us." + HAIKU)
    equal(got["type"], "SYSTEM_DEFINED")
    equal(got["inferenceProfileArn"], f"{ARN}:{account()}:inference-profile/us.{HAIKU}")
    by_arn = bedrock.get_inference_profile(inferenceProfileIdentifier=got["inferenceProfileArn"])
    equal(by_arn["models"], got["models"])
    return f"{len(ids)} profiles"


@case
def inference_profiles_own():
    token = str(uuid.uuid4())
    request = {
        "inferenceProfileName": "e2e-" + token[:8],
        "description": "of the end-to-end tests",
        "clientRequestToken": token,
        "modelSource": {"copyFrom": f"{ARN}::foundation-model/{HAIKU}"},
        "tags": [{"key": "team", "value": "e2e"}],
    }
    made = bedrock.create_inference_profile(**request)
    arn = made["inferenceProfileArn"]
    equal(made["status"], "ACTIVE")
    equal(made["ResponseMetadata"]["HTTPStatusCode"], 201)
    replay = bedrock.create_inference_profile(**request)
    equal(replay["inferenceProfileArn"], arn)
    e = raises(
        bedrock.exceptions.ConflictException,
        bedrock.create_inference_profile,
        **{**request, "description": "another"},
    )
    equal(status(e), 400)

    got = bedrock.get_inference_profile(inferenceProfileIdentifier=arn)
    equal((got["inferenceProfileName"], got["type"]), (request["inferenceProfileName"], "APPLICATION"))
    assert abs(got["createdAt"].timestamp() - time.time()) < 300
    pages = bedrock.get_paginator("list_inference_profiles").paginate(typeEquals="APPLICATION")
    arns = [p["inferenceProfileArn"] for page in pages for p in page["inferenceProfileSummaries"]]
    equal(arns.count(arn), 1)
    reply = runtime.converse(modelId=arn, messages=ASK, inferenceConfig={"maxTokens": 2, "temperature": 0})
    equal(reply["usage"]["outputTokens"], 2)

    bedrock.delete_inference_profile(inferenceProfileIdentifier=arn)
    gone = bedrock.exceptions.ResourceNotFoundException
    raises(gone, bedrock.get_inference_profile, inferenceProfileIdentifier=arn)
    raises(gone, bedrock.delete_inference_profile, inferenceProfileIdentifier=arn)
    raises(runtime.exceptions.ResourceNotFoundException, runtime.converse, modelId=arn, messages=ASK)


# Errors.


@case
def error_unknown_model():
    e = raises(runtime.exceptions.ValidationException, runtime.converse, modelId="acme.gpt-0", messages=ASK)
    equal(status(e), 400)
    contains(str(e), "The provided model identifier is invalid.")
    e = raises(
        bedrock.exceptions.ResourceNotFoundException, bedrock.get_foundation_model, modelIdentifier="acme.gpt-0"
    )
    equal(status(e), 404)
    raises(
        runtime.exceptions.ResourceNotFoundException,
        runtime.converse,
        modelId=f"{ARN}:{account()}:application-inference-profile/abcdefghijkl",
        messages=ASK,
    )


@case
def error_body_names_the_key():
    good = {"prompt": "hello", "max_tokens_to_sample": 5}
    for key, value in (("max_tokens_to_sample", "many"), ("temperature", 2), ("prompt", 7), ("colour", "red")):
        e = raises(
            runtime.exceptions.ValidationException,
            runtime.invoke_model,
            modelId=CLAUDE_V2,
            body=json.dumps({**good, key: value}),
        )
        contains(str(e), key)
    e = raises(
        runtime.exceptions.ValidationException, runtime.invoke_model, modelId=CLAUDE_V2, body='{"prompt": "hello"}'
    )
    contains(str(e), "max_tokens_to_sample")
    e = raises(runtime.exceptions.ValidationException, runtime.invoke_model, modelId=CLAUDE_V2, body="{nonsense")
    contains(str(e), "Malformed input request")
    e = raises(
        runtime.exceptions.ValidationException,
        runtime.invoke_model_with_response_stream,
        modelId=TITAN,
        body=json.dumps({"inputText": "x", "textGenerationConfig": {"topP": 3}}),
    )
    contains(str(e), "topP")


@case
def error_constraints_unchecked_by_the_client():
    for config, field in (
        ({"maxTokens": 0}, "maxTokens"),
        ({"temperature": 1.5}, "temperature"),
        ({"topP": -0.1}, "topP"),
        ({"stopSequences": [""]}, "stopSequences"),
    ):
        e = raises(
            bare.exceptions.ValidationException, bare.converse, modelId=HAIKU, messages=ASK, inferenceConfig=config
        )
        contains(str(e), field)
    e = raises(bare.exceptions.ValidationException, bare.converse, modelId=HAIKU, messages=[{"role": "user"}])
    contains(str(e), "content")
    e = raises(
        bare.exceptions.ValidationException,
        bare.converse,
        modelId=HAIKU,
        messages=[{"role": "robot", "content": [{"text": "hi"}]}],
    )
    contains(str(e), "role")
    e = raises(
        bare.exceptions.ValidationException,
        bare.converse,
        modelId=HAIKU,
        messages=[{"role": "user", "content": [{"text": "a", "image": {"format": "png", "source": {"bytes": b"x"}}}]}],
    )
    contains(str(e), "content")
    raises(bare.exceptions.ValidationException, bare.converse, modelId=HAIKU, messages=[])


@case
def error_input_too_long():
    long = [{"role": "user", "content": [{"text": "stone " * 9000}]}]
    e = raises(
        runtime.exceptions.ValidationException,
        runtime.converse,
        modelId=HAIKU,
        messages=long,
        inferenceConfig={"maxTokens": 77},
    )
    contains(str(e), "Input is too long for requested model", " 77 ", "8192")
    numbers = [int(n) for n in re.findall(r"\d+", str(e))]
    assert any(9000 <= n < 9200 for n in numbers), str(e)


@case
def error_embedding_model_cannot_converse():
    raises(runtime.exceptions.ValidationException, runtime.converse, modelId=EMBED_2, messages=ASK)
    raises(
        runtime.exceptions.ValidationException,
        runtime.invoke_model_with_response_stream,
        modelId=EMBED_2,
        body='{"inputText": "hello"}',
    )


def refused(config=None, **kwargs):
    """What the three services answer to these credentials."""
    seen = []
    for service, call in (
        ("bedrock-runtime", lambda c: c.converse(modelId=HAIKU, messages=ASK)),
        ("bedrock", lambda c: c.list_foundation_models()),
        ("sts", lambda c: c.get_caller_identity()),
    ):
        client = boto3.client(service, config=config or Config(), **kwargs)
        e = raises(ClientError, call, client)
        equal(status(e), 403)
        seen.append(code(e))
    return seen


@case
def error_bad_signature():
    codes = refused(aws_secret_access_key="x" * 40, aws_access_key_id=boto3.Session().get_credentials().access_key)
    equal(codes, ["InvalidSignatureException", "InvalidSignatureException", "SignatureDoesNotMatch"])


@case
def error_unknown_key():
    codes = refused(aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="x" * 40)
    equal(codes, ["UnrecognizedClientException", "UnrecognizedClientException", "InvalidClientTokenId"])


@case
def error_unsigned():
    codes = refused(config=Config(signature_version=UNSIGNED))
    equal(
        codes,
        ["MissingAuthenticationTokenException", "MissingAuthenticationTokenException", "MissingAuthenticationToken"],
    )


@case
def error_clock_ten_minutes_off():
    """botocore does not correct its clock: the call fails."""
    import datetime

    now = botocore.auth.get_current_datetime
    try:
        for minutes, words in ((10, "Signature not yet current"), (-10, "Signature expired")):
            shift = datetime.timedelta(minutes=minutes)
            botocore.auth.get_current_datetime = lambda *a, **k: now(*a, **k) + shift
            e = raises(ClientError, bare.converse, modelId=HAIKU, messages=ASK)
            equal((code(e), status(e)), ("InvalidSignatureException", 403))
            contains(str(e), words)
        shift = datetime.timedelta(minutes=4)
        bare.converse(modelId=HAIKU, messages=ASK, inferenceConfig={"maxTokens": 1, "temperature": 0})
    finally:
        botocore.auth.get_current_datetime = now


@case
def error_not_implemented():
    e = raises(ClientError, bedrock.list_guardrails)
    equal((code(e), status(e)), ("NotImplementedException", 501))
    contains(str(e), "ListGuardrails")
    e = raises(ClientError, boto3.client("bedrock-agent").list_agents)
    equal((code(e), status(e)), ("NotImplementedException", 501))


@case
def error_too_many_tags():
    e = raises(
        bedrock.exceptions.TooManyTagsException,
        bedrock.create_inference_profile,
        inferenceProfileName="e2e",
        modelSource={"copyFrom": f"{ARN}::foundation-model/{HAIKU}"},
        tags=[{"key": f"k{i}", "value": "v"} for i in range(51)],
    )
    equal(status(e), 400)


@case
def error_wrong_profile_source():
    e = raises(
        bedrock.exceptions.ValidationException,
        bedrock.create_inference_profile,
        inferenceProfileName="e2e",
        modelSource={"copyFrom": "arn:aws:s3:::bucket/key"},
    )
    contains(str(e), "modelSource.copyFrom")


if __name__ == "__main__":
    main()
