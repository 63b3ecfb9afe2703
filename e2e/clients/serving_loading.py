"""boto3's first call to a model whose load takes as long as TAKES says."""

import os
import time

import boto3
from botocore.config import Config

from cases import case, equal, main, raises

TAKES = os.environ["TAKES"]
HELLO = {"modelId": "huggingface.smollm2-135m-instruct-v1:0", "messages": [{"role": "user", "content": [{"text": "hello"}]}]}
runtime = boto3.client("bedrock-runtime", config=Config(retries={"total_max_attempts": 1}))


@case
def the_first_call():
    begin = time.monotonic()
    if TAKES == "3s":
        equal(runtime.converse(**HELLO)["stopReason"], "end_turn")
        took = time.monotonic() - begin
        assert took >= 2.5, took
        return f"answered after {took:.1f} s"
    error = raises(runtime.exceptions.ModelNotReadyException, runtime.converse, **HELLO)
    took = time.monotonic() - begin
    equal(error.response["ResponseMetadata"]["HTTPStatusCode"], 429)
    headers = error.response["ResponseMetadata"]["HTTPHeaders"]
    assert int(headers["retry-after"]) > 50, headers
    assert took < 20, took
    return f"after {took:.1f} s: {error.response['Error']['Message']} Retry-After: {headers['retry-after']}"


main()
