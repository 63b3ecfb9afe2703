"""boto3 and asynchronous invocations."""

import os
import time
import uuid

import boto3
from botocore.exceptions import ClientError

from cases import case, contains, equal, main, raises

runtime = boto3.client("bedrock-runtime")
TO = {"s3OutputDataConfig": {"s3Uri": os.environ["E2E_BUCKET"] + "/boto3"}}
NOVA = {"messages": [{"role": "user", "content": [{"text": "Hello."}]}], "inferenceConfig": {"maxTokens": 8}}


def ended(arn):
    begin = time.monotonic()
    while (got := runtime.get_async_invoke(invocationArn=arn))["status"] == "InProgress":
        assert time.monotonic() - begin < 240, got
        time.sleep(0.2)
    return got


@case
def start_get_list():
    arns = []
    for model, body in (
        ("amazon.nova-lite-v1:0", NOVA),
        ("amazon.titan-embed-text-v2:0", {"inputText": "A cat sits on the mat.", "dimensions": 256}),
    ):
        token = str(uuid.uuid4())
        request = {"modelId": model, "modelInput": body, "outputDataConfig": TO, "clientRequestToken": token}
        arn = runtime.start_async_invoke(**request)["invocationArn"]
        equal(runtime.start_async_invoke(**request)["invocationArn"], arn)
        got = ended(arn)
        equal((got["status"], got["clientRequestToken"], got["outputDataConfig"]), ("Completed", token, TO))
        contains(got["modelArn"], model)
        assert got["submitTime"] <= got["lastModifiedTime"] <= got["endTime"], got
        arns.append(arn)
    pages = runtime.get_paginator("list_async_invokes").paginate(statusEquals="Completed", PaginationConfig={"PageSize": 1})
    listed = [s["invocationArn"] for page in pages for s in page["asyncInvokeSummaries"]]
    assert set(arns) <= set(listed) and len(listed) == len(set(listed)), listed
    return f"{got['status']} after {(got['endTime'] - got['submitTime']).total_seconds():.1f} s, {len(listed)} listed"


@case
def refused_at_once():
    invalid = runtime.exceptions.ValidationException
    nowhere = {"s3OutputDataConfig": {"s3Uri": "s3://nobody-has-this/x"}}
    for model, body, to, part in (
        ("amazon.nova-lite-v1:0", {}, TO, "messages"),
        ("amazon.nova-lite-v1:0", NOVA, nowhere, "nobody-has-this"),
        ("acme.gpt-0", NOVA, TO, "The provided model identifier is invalid."),
    ):
        e = raises(invalid, runtime.start_async_invoke, modelId=model, modelInput=body, outputDataConfig=to)
        contains(str(e), part)
    arn = runtime.start_async_invoke(modelId="amazon.nova-lite-v1:0", modelInput=NOVA, outputDataConfig=TO)["invocationArn"]
    equal(ended(arn)["status"], "Completed")
    raises(ClientError, runtime.get_async_invoke, invocationArn=arn[:-12] + "a" * 12)
    return str(e)


if __name__ == "__main__":
    main()
