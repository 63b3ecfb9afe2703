"""boto3 before a model whose four slots share 2,048 tokens. A reply tells how many
replies the engine was making at once."""

import random
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

from cases import case, equal, main

MODEL = "huggingface.smollm2-135m-instruct-v1:0"
runtime = boto3.client("bedrock-runtime", config=Config(max_pool_connections=40, retries={"total_max_attempts": 1}))


def work(limit, tier="default", text="work"):
    """How many replies were made when this one was."""
    answer = runtime.converse(
        modelId=MODEL, messages=[{"role": "user", "content": [{"text": text}]}], inferenceConfig={"maxTokens": limit}, serviceTier={"type": tier}
    )
    words = answer["output"]["message"]["content"][0]["text"].split()
    return int(words[3]) if text == "work" else 0


def burst(limits):
    with ThreadPoolExecutor(len(limits)) as pool:
        return max(pool.map(work, limits))


@case
def long_calls_wait_for_tokens():
    work(10)  # loads the model
    equal(burst([1500] * 6), 1)


@case
def short_calls_fill_the_slots():
    equal(burst([100] * 12), 4)


@case
def calls_of_all_lengths_tiers_and_kinds():
    """What a client would group by length, parameters and priority is sent as it comes."""
    rnd = random.Random(1)
    calls = [(rnd.choice([10, 100, 500, 1000, 1900]), rnd.choice(["flex", "default", "priority"]), rnd.choice(["work", "x " * 400])) for _ in range(36)]
    with ThreadPoolExecutor(len(calls)) as pool:
        at_once = list(pool.map(lambda c: work(*c), calls))
    assert 1 < max(at_once) <= 4, at_once
    return f"{len(calls)} calls of mixed lengths, none refused, up to {max(at_once)} at once"


main()
