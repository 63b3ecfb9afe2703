"""boto3 and a model that is loaded at once, sleeps after 2 s without a call, and leaves
after 4 s; `outcrop ps` and `outcrop compare` at its side.

OUTCROP: the outcrop program with its data directory, as JSON of arguments.
"""

import json
import os
import subprocess
import time

import boto3

from cases import case, equal, main

OUTCROP = json.loads(os.environ["OUTCROP"])
SMOLLM, HAIKU, NOVA = "huggingface.smollm2-135m-instruct-v1:0", "anthropic.claude-3-haiku-20240307-v1:0", "amazon.nova-lite-v1:0"
runtime = boto3.client("bedrock-runtime")


def outcrop(*args):
    return subprocess.run([OUTCROP[0], *args, *OUTCROP[1:]], check=True, capture_output=True, text=True).stdout


def state():
    """The model's state, and its memory in MiB."""
    for p in json.loads(outcrop("ps", "--json")):
        if p["weightsId"] == "smollm2-135m-instruct" and p["mode"] == "chat":
            return p["state"], p.get("memoryBytes", 0) >> 20
    return "", 0


def until(*states):
    end = time.monotonic() + 60
    while True:
        now = state()
        if now[0] in states:
            return now
        assert time.monotonic() < end, now
        time.sleep(0.1)


def ask():
    begin = time.monotonic()
    answer = runtime.converse(modelId=SMOLLM, messages=[{"role": "user", "content": [{"text": "Name a rock."}]}], inferenceConfig={"maxTokens": 8})
    equal(answer["ResponseMetadata"]["RetryAttempts"], 0)
    return time.monotonic() - begin


@case
def it_comes_sleeps_leaves_and_comes_back():
    _, awake = until("READY")
    warm = ask()
    _, asleep = until("SLEEPING")
    woken = ask()
    equal(state()[0], "READY")
    until("COLD")
    back = ask()
    return f"{awake} MiB awake, {asleep} MiB asleep; a call took {warm:.2f} s, {woken:.2f} s from sleep, {back:.2f} s from nothing"


@case
def three_models_side_by_side():
    models = [SMOLLM, HAIKU, NOVA]
    ask_all = ["compare", "--models", ",".join(models), "--max-tokens", "12", "--temperature", "0", "Name a rock."]
    answers = json.loads(outcrop(*ask_all, "--json"))
    equal([a["model"] for a in answers], models)
    for a in answers:
        assert 1 <= a["output_tokens"] <= 12 and a["input_tokens"] > 10 and 0 < a["first_token_ms"] <= a["total_ms"], a
    assert answers[0]["cost_usd"] is None and answers[1]["cost_usd"] > 0 and answers[2]["cost_usd"] > 0, answers
    return "; ".join(line for line in outcrop(*ask_all).splitlines()[-8:] if line)


main()
