"""boto3 and a model that several servers serve: in order, by region, when they fail.

STANDS: their addresses by name, as JSON; OUTCROP: the outcrop program with its data
directory, as JSON of arguments.
"""

import json
import os
import subprocess
import time
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import EventStreamError

from cases import case, contains, equal, main, raises

STANDS = json.loads(os.environ["STANDS"])
OUTCROP = json.loads(os.environ["OUTCROP"])
FLEET, BACKED = "acme.fleet-v1:0", "acme.backed-v1:0"
ONCE = Config(retries={"total_max_attempts": 1})


def runtime(region="us-east-1"):
    return boto3.client("bedrock-runtime", region_name=region, config=ONCE)


def ask(model=FLEET, region="us-east-1", text="hi"):
    """The reply, and in which region it was made if not in the caller's."""
    answer = runtime(region).converse(modelId=model, messages=[{"role": "user", "content": [{"text": text}]}], inferenceConfig={"maxTokens": 8})
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    return answer["output"]["message"]["content"][0]["text"], headers.get("x-outcrop-inference-region", ""), headers.get("x-outcrop-served-by", "")


def outcrop(*args):
    return subprocess.run([OUTCROP[0], *args, *OUTCROP[1:]], check=True, capture_output=True, text=True).stdout


def states():
    return {p["weightsId"]: p["state"] for p in json.loads(outcrop("ps", "--json"))}


class Being:
    """A server that is not well for a while."""

    def __init__(self, name, how):
        self.name, self.how = name, how

    def be(self, how):
        urllib.request.urlopen(urllib.request.Request(f"{STANDS[self.name]}/be/{how}", method="POST"), data=b"").close()

    def __enter__(self):
        self.be(self.how)

    def __exit__(self, *_):
        self.be("well")


@case
def calls_stay_in_their_region():
    equal(ask()[:2], ("first", ""))
    equal(ask(region="eu-central-1")[:2], ("frankfurt", ""))
    error = raises(runtime().exceptions.ModelNotReadyException, ask, region="us-west-2")
    contains(str(error), "us-west-2")


@case
def ps_tells_of_each_server_and_no_address():
    assert set(states()) >= {"fleet@" + name for name in STANDS}, states()
    table = outcrop("ps")
    contains(table, "fleet@first", "fleet@second", "fleet@frankfurt")
    for address in STANDS.values():
        assert address.split("//")[1] not in table, table


@case
def profiles_lead_out_of_it():
    equal(ask("us." + FLEET, "us-west-2")[:2], ("first", "us-east-1"))
    equal(ask("eu." + FLEET, "eu-central-1")[:2], ("frankfurt", ""))
    made = boto3.client("bedrock").create_inference_profile(
        inferenceProfileName="fleet", tags=[{"key": "team", "value": "a"}],
        modelSource={"copyFrom": f"arn:aws:bedrock:us-east-1:{boto3.client('sts').get_caller_identity()['Account']}:inference-profile/us.{FLEET}"},
    )["inferenceProfileArn"]
    equal(ask(made)[:2], ("first", ""))
    equal(boto3.client("bedrock").list_tags_for_resource(resourceARN=made)["tags"], [{"key": "team", "value": "a"}])


@case
def the_next_in_order_takes_over():
    with Being("first", "broken"):
        equal({ask()[0] for _ in range(10)}, {"second"})
        equal(states()["fleet@first"], "FAILED")
        with Being("second", "broken"):
            before = raises(runtime().exceptions.ClientError, ask)
            equal(ask(region="eu-central-1")[0], "frankfurt")
            raises(runtime().exceptions.ClientError, ask, "us." + FLEET)
    return before.response["Error"]["Code"]


@case
def weights_of_this_machine_come_last():
    end = time.monotonic() + 30
    while ask(BACKED)[0] != "first":  # it was left out for failing
        assert time.monotonic() < end
        time.sleep(0.5)
    with Being("first", "broken"):
        text, _, by = ask(BACKED, text="Name a river.")
    contains(by, "smollm2-135m-instruct; stand-in")
    return repr(text)


@case
def a_stream_that_has_begun_ends_with_its_error():
    with Being("first", "cut"), Being("second", "cut"):
        stream = runtime().converse_stream(modelId=FLEET, messages=[{"role": "user", "content": [{"text": "hi"}]}])["stream"]
        words = []

        def read():
            for event in stream:
                words.extend([event["contentBlockDelta"]["delta"]["text"]] if "contentBlockDelta" in event else [])

        error = raises(EventStreamError, read)
    contains(str(error), "modelStreamErrorException")
    equal(len(words), 1)


@case
def models_grow_old():
    control = boto3.client("bedrock")
    equal(control.get_foundation_model(modelIdentifier="anthropic.claude-v2:1")["modelDetails"]["modelLifecycle"]["status"], "LEGACY")
    equal(ask("anthropic.claude-v2:1", text="Say yes.")[1], "")
    assert "anthropic.claude-v2" not in {m["modelId"] for m in control.list_foundation_models()["modelSummaries"]}
    error = raises(runtime().exceptions.ResourceNotFoundException, ask, "anthropic.claude-v2")
    contains(str(error), "end of its life")


main()
