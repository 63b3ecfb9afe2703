"""boto3 before a model that may have two processes, each of which serves one call at a
time. A reply tells the process that made it.

OUTCROP: the outcrop program with its data directory, as JSON of arguments.
"""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

from cases import case, equal, main

OUTCROP = json.loads(os.environ["OUTCROP"])
WORK = {"modelId": "huggingface.smollm2-135m-instruct-v1:0", "messages": [{"role": "user", "content": [{"text": "work"}]}]}
runtime = boto3.client("bedrock-runtime", config=Config(max_pool_connections=10, retries={"total_max_attempts": 1}))


def work():
    return int(runtime.converse(**WORK)["output"]["message"]["content"][0]["text"].split()[1])


def ready():
    """The numbers of the model's processes that are ready."""
    out = subprocess.run([OUTCROP[0], "ps", "--json", *OUTCROP[1:]], check=True, capture_output=True, text=True).stdout
    return {p["processId"] for p in json.loads(out) if p["mode"] == "chat" and p["state"] == "READY" and p.get("processId")}


@case
def a_second_process_comes_while_callers_wait_and_leaves():
    work()
    equal(len(ready()), 1)
    seen, begin, took = set(), time.monotonic(), 0

    def ask():
        while len(seen) < 2 and time.monotonic() < begin + 60:
            seen.add(work())

    with ThreadPoolExecutor(8) as pool:
        for f in [pool.submit(ask) for _ in range(8)]:
            f.result()
        took = time.monotonic() - begin
    equal(len(seen), 2)
    equal(ready(), seen)
    begin = time.monotonic()
    while len(ready()) > 1:
        assert time.monotonic() < begin + 180, "it stays"
        time.sleep(1)
    work()
    return f"a second process answered after {took:.1f} s, and was gone {time.monotonic() - begin:.0f} s after the last call"


main()
