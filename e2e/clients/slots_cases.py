"""boto3 against a server whose model has four slots and takes 0.2 s for a reply:
what a burst gets, what default retries make of it, and what provisioned throughput
is worth meanwhile."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from cases import case, contains, equal, main, raises

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
WORK = [{"role": "user", "content": [{"text": "work"}]}]
CALLS = 80  # at once, as an account's first script may

many = Config(max_pool_connections=CALLS)
bedrock = boto3.client("bedrock")
once = boto3.client("bedrock-runtime", config=many.merge(Config(retries={"total_max_attempts": 1})))
runtime = boto3.client("bedrock-runtime", config=many)  # with boto3's default retries


def converse(client, model=HAIKU):
    """The whole answer, of a failure too, and how long it took."""
    begin = time.monotonic()
    try:
        answer = client.converse(modelId=model, messages=WORK)
    except ClientError as error:
        answer = error.response
    return answer, time.monotonic() - begin


def code(answer):
    return answer[0].get("Error", {}).get("Code", "")


def burst(client, n):
    """n calls at the same moment."""
    start = threading.Barrier(n)

    def one(_):
        start.wait()
        return converse(client)

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(one, range(n)))


@case
def throttled_once_the_line_is_full():
    answers = burst(once, CALLS)
    good = [a for a in answers if not code(a)]
    refused = [a for a in answers if code(a)]
    assert len(good) >= 64 and refused, f"{len(good)} replies, {len(refused)} refusals"
    for answer, took in refused:
        equal(answer["Error"]["Code"], "ThrottlingException")
        equal(answer["ResponseMetadata"]["HTTPStatusCode"], 429)
        contains(answer["Error"]["Message"], "already waiting")
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        assert int(headers["retry-after"]) >= 1 and int(headers["x-amz-retry-after"]) >= 1000, headers
    return f"{len(good)} replies, {len(refused)} refusals"


@case
def default_retries_bring_every_call_home():
    for _ in range(5):  # on a busy machine 80 calls take too long to come to be too many
        answers = burst(runtime, CALLS)
        equal([code(a) for a in answers if code(a)], [])
        retried = sum(a[0]["ResponseMetadata"]["RetryAttempts"] > 0 for a in answers)
        if retried:
            return f"{retried} of {CALLS} calls were tried again; the last reply came after {max(a[1] for a in answers):.1f} s"
    raise AssertionError("nobody was refused")


def wait(arn):
    for _ in range(200):
        got = bedrock.get_provisioned_model_throughput(provisionedModelId=arn)
        if got["status"] != "Creating":
            return got
        time.sleep(0.05)
    raise AssertionError("it is still being created")


@case
def provisioned_throughput():
    arn = bedrock.create_provisioned_model_throughput(
        modelUnits=2, provisionedModelName="mine", modelId=HAIKU, tags=[{"key": "team", "value": "a"}]
    )["provisionedModelArn"]
    got = wait(arn)
    equal((got["status"], got["modelUnits"], got["provisionedModelName"]), ("InService", 2, "mine"))
    equal([p["provisionedModelArn"] for p in bedrock.list_provisioned_model_throughputs()["provisionedModelSummaries"]], [arn])

    # On-demand calls in plenty have two slots; they take a line of seconds.
    with ThreadPoolExecutor(40) as pool:
        crowd = [pool.submit(converse, once) for _ in range(40)]
        time.sleep(0.5)
        for model in (arn, "mine"):
            for _ in range(4):
                answer, took = converse(once, model)
                equal(answer.get("stopReason"), "end_turn")
                assert took < 1, f"a provisioned call took {took:.1f} s"
        assert sum(not f.done() for f in crowd) > 4, "the crowd was gone before the calls were compared"
        slowest = max(f.result()[1] for f in crowd)
        equal([code(f.result()) for f in crowd if code(f.result())], [])

    bedrock.update_provisioned_model_throughput(provisionedModelId=arn, desiredProvisionedModelName="ours")
    equal(bedrock.get_provisioned_model_throughput(provisionedModelId="ours")["provisionedModelArn"], arn)
    raises(bedrock.exceptions.ResourceNotFoundException, bedrock.get_provisioned_model_throughput, provisionedModelId="mine")
    too_many = {"modelUnits": 1, "provisionedModelName": "more", "modelId": HAIKU}
    raises(bedrock.exceptions.ServiceQuotaExceededException, bedrock.create_provisioned_model_throughput, **too_many)
    bedrock.delete_provisioned_model_throughput(provisionedModelId=arn)
    raises(bedrock.exceptions.ResourceNotFoundException, bedrock.get_provisioned_model_throughput, provisionedModelId=arn)
    raises(once.exceptions.ResourceNotFoundException, once.converse, modelId=arn, messages=WORK)
    return f"the slowest on-demand call took {slowest:.1f} s"


@case
def committed_throughput():
    made = bedrock.create_provisioned_model_throughput(
        modelUnits=1, provisionedModelName="committed", modelId=HAIKU, commitmentDuration="OneMonth"
    )
    got = wait(made["provisionedModelArn"])
    equal((got["status"], got["commitmentDuration"]), ("InService", "OneMonth"))
    raises(bedrock.exceptions.ConflictException, bedrock.delete_provisioned_model_throughput, provisionedModelId="committed")


main()
