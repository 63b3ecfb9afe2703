"""boto3, unchanged, against a server whose caches are on. Its engine numbers the
replies that it makes.

OUTCROP: the outcrop program with its data directory, as JSON of arguments.
"""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import boto3

from cases import case, equal, main

OUTCROP = json.loads(os.environ["OUTCROP"])
MODEL = "huggingface.smollm2-135m-instruct-v1:0"
TITAN = "amazon.titan-text-express-v1"  # which needs no agreement
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
OTHER = "111122223333"  # an account of its own
EXACT = {"temperature": 0}

ours = boto3.client("bedrock-runtime")


def client_of(account):
    out = subprocess.run(
        [*OUTCROP[:1], "keys", "create", "--account", account, "--json", *OUTCROP[1:]], check=True, capture_output=True, text=True
    ).stdout
    key = json.loads(out)
    return boto3.client("bedrock-runtime", aws_access_key_id=key["id"], aws_secret_access_key=key["secret"])


def asking(word):
    """A client that sends the header with each call, signed as all others."""
    client = boto3.client("bedrock-runtime")
    client.meta.events.register("before-sign.bedrock-runtime.*", lambda request, **_: request.headers.add_header("x-outcrop-cache", word))
    return client


def said(answer):
    return answer["ResponseMetadata"]["HTTPHeaders"].get("x-outcrop-cache", "")


def converse(text, client=ours, config=EXACT, model=MODEL, **more):
    answer = client.converse(modelId=model, messages=[{"role": "user", "content": [{"text": text}]}], inferenceConfig=config, **more)
    return answer["output"]["message"]["content"][0]["text"], said(answer), answer["usage"]


def stream(text, client=ours):
    answer = client.converse_stream(modelId=MODEL, messages=[{"role": "user", "content": [{"text": text}]}], inferenceConfig=EXACT)
    events = list(answer["stream"])
    words = "".join(e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e)
    return words, said(answer), events


def invoke(text, client, temperature):
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, "temperature": temperature, "messages": [{"role": "user", "content": text}]}
    answer = client.invoke_model(modelId=HAIKU, body=json.dumps(body))
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    return json.loads(answer["body"].read())["content"][0]["text"], said(answer), headers["x-amzn-bedrock-output-token-count"]


@case
def equal_calls_have_one_reply():
    text, how, usage = converse("count a")
    equal(how, "miss")
    for _ in range(3):
        equal(converse("count a"), (text, "hit", usage))
    equal(stream("count a")[:2], (text, "hit"))


@case
def a_stream_from_the_cache_is_the_same_stream():
    first, how, made = stream("count b")
    equal(how, "miss")
    again, how, kept = stream("count b")
    equal((again, how), (first, "hit"))
    for events in (made, kept):
        del events[-1]["metadata"]["metrics"]
    equal(kept, made)


@case
def another_account_has_its_own():
    theirs = client_of(OTHER)
    mine, _, _ = converse("count c", model=TITAN)
    other, how, _ = converse("count c", theirs, model=TITAN)
    equal(how, "miss")
    assert mine != other, mine
    equal(converse("count c", theirs, model=TITAN)[:2], (other, "hit"))
    equal(converse("count c", model=TITAN)[:2], (mine, "hit"))


@case
def what_is_not_exact_is_made_again():
    for config in ({}, {"temperature": 0.7}, {"topP": 0.5}):
        first, how, _ = converse("count d", config=config)
        second, again, _ = converse("count d", config=config)
        assert first != second, first
        equal((how, again), ("", ""))


@case
def calls_say_what_they_want():
    on, off, refresh = ({"outcrop-cache": word} for word in ("on", "off", "refresh"))
    first, how, _ = converse("count e", config={}, requestMetadata=on)
    equal(how, "miss")
    equal(converse("count e", config={}, requestMetadata=on)[:2], (first, "hit"))
    other, how, _ = converse("count e", config={}, requestMetadata=off)
    assert other != first and how == "", (other, how)
    anew, how, _ = converse("count e", config={}, requestMetadata=refresh)
    assert anew != first and how == "miss", (anew, how)
    equal(converse("count e", config={}, requestMetadata=on)[:2], (anew, "hit"))


@case
def invoke_model_says_it_with_a_header():
    text, how, tokens = invoke("count f", asking("on"), 1)
    equal(how, "miss")
    equal(invoke("count f", asking("on"), 1), (text, "hit", tokens))
    assert invoke("count f", asking("off"), 1)[0] != text
    assert invoke("count f", ours, 1)[0] != text


@case
def calls_at_the_same_time_share_a_reply():
    with ThreadPoolExecutor(16) as pool:
        begin = time.monotonic()
        all = list(pool.map(lambda _: converse("count slowly"), range(16)))
    equal(len({text for text, _, _ in all}), 1)
    hows = sorted({how for _, how, _ in all})
    assert "coalesced" in hows and [how for _, how, _ in all].count("miss") == 1, hows
    return f"16 calls in {time.monotonic() - begin:.1f} s: {', '.join(hows)}"


@case
def a_tag_lets_questions_find_each_other():
    bedrock = boto3.client("bedrock")
    source = f"arn:aws:bedrock:{bedrock.meta.region_name}::foundation-model/{MODEL}"
    profile = bedrock.create_inference_profile(
        inferenceProfileName="near", modelSource={"copyFrom": source}, tags=[{"key": "outcrop:semantic-cache", "value": "0.95"}]
    )["inferenceProfileArn"]
    text, how, _ = converse("count g", config={}, model=profile)
    equal(how, "miss")
    equal(converse("count g", config={}, model=profile)[:2], (text, "semantic-hit"))
    assert converse("count g, please", config={}, model=profile)[1] == "miss"
    bedrock.untag_resource(resourceARN=profile, tagKeys=["outcrop:semantic-cache"])
    equal(converse("count g", config={}, model=profile)[1], "")


if __name__ == "__main__":
    main()
