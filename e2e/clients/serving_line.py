"""boto3, and others at its side, before a model that serves one call at a time, while
up to 64 wait for 4 s at most. A reply takes 0.15 s.

OUTCROP: the outcrop program with its data directory, as JSON of arguments.
"""

import json
import os
import re
import subprocess
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from cases import case, contains, equal, main, raises

OUTCROP = json.loads(os.environ["OUTCROP"])
MODEL = "huggingface.smollm2-135m-instruct-v1:0"
WORK = [{"role": "user", "content": [{"text": "work"}]}]
ALLOW = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": "*"}]})

many = Config(max_pool_connections=80, retries={"total_max_attempts": 1})
runtime = boto3.client("bedrock-runtime", config=many)
hasty = boto3.client("bedrock-runtime", config=many.merge(Config(read_timeout=1)))


def work(client=runtime, tier=None):
    more = {"serviceTier": {"type": tier}} if tier else {}
    return client.converse(modelId=MODEL, messages=WORK, **more)


def metric(name, **labels):
    """The sum of a metric's samples with these labels."""
    page = urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/metrics").read().decode()
    total = 0
    for line in page.splitlines():
        found = re.fullmatch(name + r"(?:\{(.*)\})? (\S+)", line)
        if found and all(f'{k}="{v}"' in (found[1] or "") for k, v in labels.items()):
            total += float(found[2])
    return total


def until(what, seconds=10):
    """Waits until it is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not come true"
        time.sleep(0.02)


def waiting():
    return metric("outcrop_requests_queued", mode="chat")


def code(call):
    try:
        call()
    except ClientError as e:
        return e.response
    return None


@case
def tiers_go_first():
    work()  # loads the model
    order, lock = [], threading.Lock()

    def one(tier):
        answer = work(tier=tier)
        equal(answer.get("serviceTier", {}).get("type"), tier)
        with lock:
            order.append(tier)

    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(work)
        until(lambda: metric("outcrop_requests_inflight", mode="chat") == 1)
        every = [pool.submit(one, tier) for tier in ["flex"] * 3 + ["default"] * 3 + ["priority"] * 3 + ["reserved"] * 3]
        for f in [first, *every]:
            f.result()
    equal(order, ["reserved"] * 3 + ["priority"] * 3 + ["default"] * 3 + ["flex"] * 3)


@case
def nobody_starves():
    """Three callers ask again and again at the highest tier, so that one always waits."""
    stop = threading.Event()

    def flood():
        n = 0
        while not stop.is_set():
            work(tier="priority")
            n += 1
        return n

    with ThreadPoolExecutor(4) as pool:
        floods = [pool.submit(flood) for _ in range(3)]
        until(lambda: waiting() >= 1)
        begin = time.monotonic()
        work(tier="flex")
        took = time.monotonic() - begin
        stop.set()
        calls = sum(f.result() for f in floods)
    assert took < 4, took
    return f"a flex call was answered after {took:.1f} s among {calls} priority calls"


@case
def who_waits_too_long_is_told_when_to_come_back():
    with ThreadPoolExecutor(60) as pool:
        begin = time.monotonic()
        ends = list(pool.map(lambda _: (code(work), time.monotonic() - begin), range(60)))
    refused = [(e, at) for e, at in ends if e]
    assert 10 < len(refused) < 55, len(refused)
    for answer, at in refused:
        equal((answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]), ("ThrottlingException", 429))
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        assert int(headers["retry-after"]) >= 1 and int(headers["x-amz-retry-after"]) >= 1000, headers
        assert 3.5 < at < 15, at
    return f"{60 - len(refused)} of 60 were answered; the others were told after 4 s to come back in {refused[0][0]['ResponseMetadata']['HTTPHeaders']['retry-after']} s"


@case
def who_hangs_up_leaves_the_line():
    with ThreadPoolExecutor(40) as pool:
        patient = [pool.submit(work) for _ in range(16)]
        until(lambda: waiting() >= 14)
        gone = [pool.submit(raises, ReadTimeoutError, work, hasty, "flex") for _ in range(20)]
        until(lambda: waiting() >= 20)
        most = waiting()
        for f in gone:
            f.result()
        left = waiting()
        still = sum(not f.done() for f in patient)
        assert left <= still, f"{left} wait, {still} callers are there"
        for f in patient:
            f.result()
    return f"{most:.0f} waited, {left:.0f} after 20 hung up"


@case
def the_page_tells_of_the_line():
    waits = metric("outcrop_queue_wait_seconds_count", weights="smollm2-135m-instruct")
    slow = waits - metric("outcrop_queue_wait_seconds_bucket", weights="smollm2-135m-instruct", le="1")
    refused = metric("outcrop_calls_total", operation="Converse", code="ThrottlingException")
    assert waits > 20 and slow > 5 and refused > 10, (waits, slow, refused)
    equal(metric("outcrop_slots", mode="chat"), 1)
    ahead = metric("outcrop_queue_ahead_count", mode="chat") - metric("outcrop_queue_ahead_bucket", mode="chat", le="8")
    late = metric("outcrop_slot_asks_total", mode="chat", result="late")
    left = metric("outcrop_slot_asks_total", mode="chat", result="left")
    assert ahead > 20 and late > 10 and left >= 20, (ahead, late, left)
    return f"{waits:.0f} calls had a turn, {slow:.0f} of them after more than 1 s; {refused:.0f} were throttled"


@case
def the_page_tells_of_the_cache():
    def hello():
        answer = runtime.converse(
            modelId=MODEL, messages=[{"role": "user", "content": [{"text": "hello"}]}], inferenceConfig={"temperature": 0}
        )
        return answer["ResponseMetadata"]["HTTPHeaders"].get("x-outcrop-cache", "")

    before = metric("outcrop_cache_total", result="hit")
    said = [hello() for _ in range(3)]
    equal(said[1:], ["hit", "hit"])
    equal(metric("outcrop_cache_total", result="hit") - before, 2)


@case
def each_user_has_a_quota():
    iam = boto3.client("iam")
    account = boto3.client("sts").get_caller_identity()["Account"]

    def user(name):
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=ALLOW)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return boto3.client(
            "bedrock-runtime", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"], config=many
        )

    def ask(client):
        return code(lambda: client.converse(modelId=MODEL, messages=[{"role": "user", "content": [{"text": "hi"}]}]))

    flood, calm = user("flood"), user("calm")
    quota = ["quotas", "set", "requests-per-minute", "60", "--burst", "2", "--account", account, "--principal", "*"]
    subprocess.run([OUTCROP[0], *quota, *OUTCROP[1:]], check=True, capture_output=True)
    refused = []
    until(lambda: refused.append(ask(flood)) or any(refused))
    answer = refused[-1]
    equal(answer["Error"]["Code"], "ThrottlingException")
    contains(answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"], "1")
    equal(ask(calm), None)


main()
