"""boto3's service-quotas, unchanged, against the server, and what its default
retries make of a throttle. Another process sets the quotas.

OUTCROP: the outcrop program with its data directory, as JSON of arguments.
"""

import json
import os
import subprocess
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from cases import case, contains, equal, main, raises

OUTCROP = json.loads(os.environ["OUTCROP"])
ACCOUNT = boto3.client("sts").get_caller_identity()["Account"]
MODEL = "huggingface.smollm2-135m-instruct-v1:0"
ONCE = Config(retries={"total_max_attempts": 1})
HELLO = {"modelId": MODEL, "messages": [{"role": "user", "content": [{"text": "hello"}]}], "inferenceConfig": {"maxTokens": 8}}

quotas = boto3.client("service-quotas")
runtime = boto3.client("bedrock-runtime")
once = boto3.client("bedrock-runtime", config=ONCE)


def outcrop(*args):
    return subprocess.run([*OUTCROP, "quotas", *args], check=True, capture_output=True, text=True).stdout


def refused(code, function, *args, **kwargs):
    """Calls the function, which must fail so; returns the whole answer."""
    error = raises(ClientError, function, *args, **kwargs)
    equal(error.response["Error"]["Code"], code)
    return error.response


def find(kind):
    """The quota of MODEL whose name has these words."""
    for page in quotas.get_paginator("list_service_quotas").paginate(ServiceCode="bedrock"):
        for quota in page["Quotas"]:
            if kind in quota["QuotaName"] and quota["Description"] == "Model " + MODEL:
                return quota
    raise AssertionError(f"no quota {kind}")


def until(kind, value):
    """Waits for the server to know what another process set."""
    code = find(kind)["QuotaCode"]
    for _ in range(100):
        got = quotas.get_service_quota(ServiceCode="bedrock", QuotaCode=code)["Quota"]["Value"]
        if got == value:
            return
        time.sleep(0.05)
    raise AssertionError(f"{kind} stays {got}")


def set_quota(kind, words, value, *more):
    """Sets a quota; "default" ends what was set."""
    outcrop("set", kind, str(value), "--account", ACCOUNT, "--model", MODEL, *more)
    if value == "default":
        value = quotas.get_aws_default_service_quota(ServiceCode="bedrock", QuotaCode=find(words)["QuotaCode"])["Quota"]["Value"]
    until(words, value)


@case
def lists():
    equal([s["ServiceCode"] for s in quotas.list_services()["Services"]], ["bedrock"])
    quota = find("tokens per minute")
    equal(quota["QuotaArn"], f"arn:aws:servicequotas:us-east-1:{ACCOUNT}:bedrock/{quota['QuotaCode']}")
    equal(quota["Period"], {"PeriodValue": 1, "PeriodUnit": "MINUTE"})
    equal(quota["Adjustable"], True)
    default = quotas.get_aws_default_service_quota(ServiceCode="bedrock", QuotaCode=quota["QuotaCode"])["Quota"]
    equal(default["Value"], quota["Value"])
    pages = quotas.get_paginator("list_aws_default_service_quotas").paginate(ServiceCode="bedrock", PaginationConfig={"PageSize": 50})
    codes = [q["QuotaCode"] for page in pages for q in page["Quotas"]]
    assert len(codes) > 100 and len(codes) == len(set(codes)), len(codes)
    refused("NoSuchResourceException", quotas.get_service_quota, ServiceCode="ec2", QuotaCode="L-0")
    refused("InvalidPaginationTokenException", quotas.list_service_quotas, ServiceCode="bedrock", NextToken="x")


@case
def asks_for_more():
    quota = find("concurrent requests")
    ask = {"ServiceCode": "bedrock", "QuotaCode": quota["QuotaCode"], "DesiredValue": quota["Value"] + 1}
    refused("IllegalArgumentException", quotas.request_service_quota_increase, **{**ask, "DesiredValue": 1})
    request = quotas.request_service_quota_increase(**ask)["RequestedQuota"]
    equal(request["Status"], "PENDING")
    refused("ResourceAlreadyExistsException", quotas.request_service_quota_increase, **ask)
    equal([r["id"] for r in json.loads(outcrop("requests", "--json"))], [request["Id"]])
    outcrop("approve", request["Id"])
    until("concurrent requests", quota["Value"] + 1)
    for _ in range(100):
        answered = quotas.get_requested_service_quota_change(RequestId=request["Id"])["RequestedQuota"]
        if answered["Status"] != "PENDING":
            break
        time.sleep(0.05)
    equal(answered["Status"], "APPROVED")
    history = quotas.list_requested_service_quota_change_history(ServiceCode="bedrock", Status="APPROVED")["RequestedQuotas"]
    equal([r["Id"] for r in history], [request["Id"]])


@case
def requests_are_throttled():
    """One call a second; boto3's default retries bring every call home."""
    set_quota("requests-per-minute", "requests per minute", 60, "--burst", "2")
    codes = []
    for _ in range(4):
        try:
            once.converse(**HELLO)
            codes.append("ok")
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])
            equal(error.response["ResponseMetadata"]["HTTPStatusCode"], 429)
            equal(error.response["Error"]["Message"], "Too many requests, please wait before trying again.")
            equal(error.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"], "1")
    equal(codes[:2], ["ok", "ok"])
    assert "ThrottlingException" in codes, codes
    retried = 0
    for _ in range(5):
        retried += runtime.converse(**HELLO)["ResponseMetadata"]["RetryAttempts"]
    assert retried > 0, "nothing was throttled"
    set_quota("requests-per-minute", "requests per minute", "default")
    return f"{retried} retries"


@case
def tokens_are_throttled():
    set_quota("tokens-per-minute", "tokens per minute", 60, "--burst", "1")
    once.converse(**HELLO)  # goes into debt
    error = refused("ThrottlingException", once.converse, **HELLO)
    equal(error["Error"]["Message"], "Too many tokens, please wait before trying again.")
    assert 1 <= int(error["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) <= 30, error
    once.count_tokens(modelId=MODEL, input={"converse": {"messages": HELLO["messages"]}})  # takes no tokens
    set_quota("tokens-per-minute", "tokens per minute", "default")


@case
def tokens_of_a_day_are_throttled():
    set_quota("tokens-per-day", "tokens per day", 0)
    error = refused("ThrottlingException", once.converse, **HELLO)
    contains(error["Error"]["Message"], "Too many tokens per day")
    set_quota("tokens-per-day", "tokens per day", "default")


@case
def requests_of_a_day_are_throttled():
    set_quota("requests-per-day", "requests per day", 0)
    error = refused("ThrottlingException", once.converse, **HELLO)
    contains(error["Error"]["Message"], "Too many requests per day")
    set_quota("requests-per-day", "requests per day", "default")


main()
