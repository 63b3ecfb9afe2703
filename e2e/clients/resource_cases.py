"""boto3, unchanged, against tags, resource policies, condition keys of Bedrock and
access to models. It runs as the root of the first account; the environment names a
second account's root key, and a command that plays its approver."""

import json
import os
import subprocess
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from cases import case, contains, equal, main, raises

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
TITAN = "amazon.titan-text-express-v1"
MODEL = "arn:aws:bedrock:us-east-1::foundation-model/"
FORM = {
    "companyName": "Acme", "companyWebsite": "https://acme.example", "intendedUsers": "0",
    "industryOption": "Other", "otherIndustryOption": "Rocks", "useCases": "Summaries of field notes.",
}
ONCE = Config(retries={"total_max_attempts": 1})
NO_ACCESS = "You don't have access to the model with the specified model ID."

iam = boto3.client("iam")
bedrock = boto3.client("bedrock", config=ONCE)
runtime = boto3.client("bedrock-runtime", config=ONCE)
ACCOUNT = boto3.client("sts").get_caller_identity()["Account"]
DEV = os.environ["E2E_DEV_ACCOUNT"]
PROFILES = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/"
dev = boto3.Session(aws_access_key_id=os.environ["E2E_DEV_KEY"], aws_secret_access_key=os.environ["E2E_DEV_SECRET"])


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action, resource="*", **more):
    return {**allow(action, resource, **more), "Effect": "Deny"}


class User:
    """A user of an account with one inline policy and a key."""

    def __init__(self, name, *statements, session=boto3, **tags):
        self.name, self.iam = name, session.client("iam")
        made = self.iam.create_user(UserName=name, Tags=[{"Key": k, "Value": v} for k, v in tags.items()])
        self.arn = made["User"]["Arn"]
        if statements:
            self.may(*statements)
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        own = boto3.Session(aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
        self.bedrock, self.runtime = own.client("bedrock", config=ONCE), own.client("bedrock-runtime", config=ONCE)

    def may(self, *statements):
        self.iam.put_user_policy(UserName=self.name, PolicyName="only", PolicyDocument=policy(*statements))

    def ask(self, model=HAIKU, **more):
        return ask(self.runtime, model, **more)


def ask(client, model=HAIKU, **more):
    messages = [{"role": "user", "content": [{"text": "Hello."}]}]
    return client.converse(modelId=model, messages=messages, **more)["usage"]["totalTokens"]


def refused(code, function, *args, **kwargs):
    error = raises(ClientError, function, *args, **kwargs)
    equal(error.response["Error"]["Code"], code)
    return error.response["Error"]["Message"]


def denied(function, *args, **kwargs):
    return refused("AccessDeniedException", function, *args, **kwargs)


def pairs(tags):
    return {t["key"]: t["value"] for t in tags}


def listed(tags):
    return [{"key": k, "value": v} for k, v in tags.items()]


def profile(name, model=HAIKU, client=bedrock, **tags):
    made = client.create_inference_profile(inferenceProfileName=name, modelSource={"copyFrom": MODEL + model}, tags=listed(tags))
    return made["inferenceProfileArn"]


@case
def tags_of_a_profile():
    arn = profile("tagged", team="red", stage="dev")
    of = lambda: pairs(bedrock.list_tags_for_resource(resourceARN=arn)["tags"])
    equal(of(), {"team": "red", "stage": "dev"})
    bedrock.tag_resource(resourceARN=arn, tags=listed({"cost": "7", "team": "blue"}))
    bedrock.untag_resource(resourceARN=arn, tagKeys=["stage", "none"])
    equal(of(), {"team": "blue", "cost": "7"})
    bedrock.tag_resource(resourceARN=arn, tags=listed({"Team": "green"}))
    equal(of(), {"Team": "green", "cost": "7"})
    refused("TooManyTagsException", bedrock.tag_resource, resourceARN=arn, tags=listed({f"k{i}": "" for i in range(49)}))
    refused("ValidationException", bedrock.tag_resource, resourceARN=arn, tags=listed({"aws:x": ""}))
    bedrock.delete_inference_profile(inferenceProfileIdentifier=arn)
    for call in (bedrock.list_tags_for_resource, lambda **k: bedrock.tag_resource(tags=listed({"a": "b"}), **k), lambda **k: bedrock.untag_resource(tagKeys=["a"], **k)):
        raises(bedrock.exceptions.ResourceNotFoundException, call, resourceARN=arn)
    denied(dev.client("bedrock").list_tags_for_resource, resourceARN=arn)


@case
def tags_of_an_invocation():
    to = {"s3OutputDataConfig": {"s3Uri": os.environ["E2E_BUCKET"] + "/tags"}}
    body = {"messages": [{"role": "user", "content": [{"text": "Hello."}]}], "inferenceConfig": {"maxTokens": 8}}
    arn = runtime.start_async_invoke(modelId="amazon.nova-lite-v1:0", modelInput=body, outputDataConfig=to, tags=listed({"team": "red"}))["invocationArn"]
    equal(pairs(bedrock.list_tags_for_resource(resourceARN=arn)["tags"]), {"team": "red"})
    watcher = User("watcher", allow("bedrock:GetAsyncInvoke", Condition={"StringEquals": {"aws:ResourceTag/team": "red"}}))
    equal(watcher.runtime.get_async_invoke(invocationArn=arn)["invocationArn"], arn)
    bedrock.untag_resource(resourceARN=arn, tagKeys=["team"])
    denied(watcher.runtime.get_async_invoke, invocationArn=arn)


@case
def tags_decide_who_invokes():
    red, blue = profile("abac-red", team="red"), profile("abac-blue", team="blue")
    same = {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}
    through = {"ArnLike": {"bedrock:InferenceProfileArn": PROFILES + "*"}}
    ana = User(
        "ana",
        allow("bedrock:InvokeModel", PROFILES + "*", Condition=same),
        allow("bedrock:InvokeModel", MODEL + "*", Condition=through),
        team="red",
    )
    assert ana.ask(red)
    contains(denied(ana.ask, blue), f"{ana.arn} is not authorized to perform: bedrock:InvokeModel on resource: {blue}")
    contains(denied(ana.ask, HAIKU), MODEL + HAIKU)
    bedrock.tag_resource(resourceARN=blue, tags=listed({"team": "red"}))
    bedrock.tag_resource(resourceARN=red, tags=listed({"team": "blue"}))
    assert ana.ask(blue)  # the very next call
    denied(ana.ask, red)
    iam.tag_user(UserName="ana", Tags=[{"Key": "team", "Value": "blue"}])
    assert ana.ask(red)
    denied(ana.ask, blue)


@case
def tag_on_create_is_one_decision():
    create = allow("bedrock:CreateInferenceProfile")
    ben = User("ben", create)
    profile("ben-1", client=ben.bedrock)
    contains(denied(profile, "ben-2", client=ben.bedrock, team="red"), "bedrock:TagResource", "application-inference-profile/*")
    only_red = {"StringEquals": {"aws:RequestTag/team": "red"}, "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}
    ben.may(create, allow("bedrock:TagResource", PROFILES + "*", Condition=only_red))
    denied(profile, "ben-2", client=ben.bedrock, team="blue")
    denied(profile, "ben-2", client=ben.bedrock, team="red", more="x")
    arn = profile("ben-2", client=ben.bedrock, team="red")
    equal(pairs(bedrock.list_tags_for_resource(resourceARN=arn)["tags"]), {"team": "red"})
    denied(ben.bedrock.tag_resource, resourceARN=arn, tags=listed({"team": "blue"}))
    names = [p["inferenceProfileName"] for p in bedrock.list_inference_profiles(typeEquals="APPLICATION")["inferenceProfileSummaries"]]
    equal(names.count("ben-2"), 1)


@case
def a_policy_on_a_model():
    cyd, dan = User("cyd", allow("bedrock:InvokeModel")), User("dan")
    arn = MODEL + TITAN
    no_cyd = {**deny("bedrock:InvokeModel", arn), "Principal": {"AWS": cyd.arn}}
    yes_dan = {**allow("bedrock:InvokeModel", arn), "Principal": {"AWS": dan.arn}}
    assert cyd.ask(TITAN)
    denied(dan.ask, TITAN)
    text = policy(no_cyd, yes_dan)
    made = bedrock.put_resource_policy(resourceArn=arn, resourcePolicy=text)
    equal((made["resourceArn"], made["ResponseMetadata"]["HTTPStatusCode"]), (arn, 201))
    equal(bedrock.get_resource_policy(resourceArn=arn)["resourcePolicy"], text)
    contains(denied(cyd.ask, TITAN), "with an explicit deny in a resource-based policy")
    assert cyd.ask(HAIKU)
    assert dan.ask(TITAN)  # the policy alone is enough within the account
    denied(dan.ask, HAIKU)
    # It concerns the account that put it, and no other.
    other = dev.client("bedrock", config=ONCE)
    raises(other.exceptions.ResourceNotFoundException, other.get_resource_policy, resourceArn=arn)
    assert ask(dev.client("bedrock-runtime", config=ONCE), TITAN)
    bedrock.delete_resource_policy(resourceArn=arn)
    raises(bedrock.exceptions.ResourceNotFoundException, bedrock.get_resource_policy, resourceArn=arn)
    assert cyd.ask(TITAN)
    denied(dan.ask, TITAN)
    contains(refused("ValidationException", bedrock.put_resource_policy, resourceArn=arn, resourcePolicy='{"Version":"2012-10-17","Statement":[{"Effect":"Maybe"}]}'), "resourcePolicy: Statement 1")
    refused("ValidationException", bedrock.put_resource_policy, resourceArn=MODEL + "acme.model", resourcePolicy=text)
    # A policy that nobody could take off again is refused; one that its author can is not.
    whole = {**deny("bedrock:*", arn), "Principal": "*"}
    contains(refused("ValidationException", bedrock.put_resource_policy, resourceArn=arn, resourcePolicy=policy(whole)), "bedrock:DeleteResourcePolicy")
    but_root = {"StringNotEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:root"}}
    bedrock.put_resource_policy(resourceArn=arn, resourcePolicy=policy({**whole, "Condition": but_root}))
    denied(cyd.ask, TITAN)
    bedrock.delete_resource_policy(resourceArn=arn)


@case
def a_profile_shared_with_another_account():
    arn = profile("shared", TITAN)
    far = User("far", session=dev)
    on = [arn, MODEL + TITAN]
    for there, here in ((False, False), (True, False), (False, True), (True, True)):
        if there:
            far.may(allow("bedrock:InvokeModel", on))
        else:
            far.may(allow("bedrock:ListInferenceProfiles"))
        if here:
            bedrock.put_resource_policy(resourceArn=arn, resourcePolicy=policy({**allow("bedrock:InvokeModel", arn), "Principal": {"AWS": DEV}}))
        if there and here:
            assert far.ask(arn)
        else:
            contains(denied(far.ask, arn), f"perform: bedrock:InvokeModel on resource: {arn}")
    # What is not there looks like what is not allowed.
    gone = arn[:-12] + "zzzzzzzzzz99"
    contains(denied(far.ask, gone), f"perform: bedrock:InvokeModel on resource: {gone}")
    bedrock.delete_resource_policy(resourceArn=arn)
    denied(far.ask, arn)


@case
def conditions_of_a_call():
    guardrail = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:guardrail/abc123"
    eve = User(
        "eve",
        allow(["bedrock:InvokeModel", "bedrock:ApplyGuardrail"]),
        deny("bedrock:InvokeModel", Condition={"StringNotEquals": {"bedrock:GuardrailIdentifier": guardrail + ":1"}}),
    )
    with_version = lambda v: {"guardrailConfig": {"guardrailIdentifier": "abc123", "guardrailVersion": v}}
    contains(denied(eve.ask), "with an explicit deny in an identity-based policy")
    denied(eve.ask, **with_version("DRAFT"))
    denied(eve.ask, **with_version("2"))
    contains(refused("ValidationException", eve.ask, **with_version("1")), "uardrail")  # allowed; there is none yet
    eve.may(allow("bedrock:InvokeModel"))
    contains(denied(eve.ask, **with_version("1")), f"perform: bedrock:ApplyGuardrail on resource: {guardrail}")

    eve.may(allow("bedrock:InvokeModel"), deny("bedrock:InvokeModel", Condition={"StringEquals": {"bedrock:ServiceTier": "priority"}}))
    assert eve.ask() and eve.ask(serviceTier={"type": "flex"})
    denied(eve.ask, serviceTier={"type": "priority"})

    through = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/us.{HAIKU}"
    models = [f"arn:aws:bedrock:{r}::foundation-model/{HAIKU}" for r in ("us-east-1", "us-east-2", "us-west-2")]
    only = {"StringEquals": {"bedrock:InferenceProfileArn": through}}
    eve.may(allow("bedrock:InvokeModel", through), allow("bedrock:InvokeModel", models, Condition=only))
    assert eve.ask("us." + HAIKU)
    denied(eve.ask)
    eve.may(allow("bedrock:InvokeModel", through), allow("bedrock:InvokeModel", models[:2], Condition=only))
    contains(denied(eve.ask, "us." + HAIKU), models[2])
    eve.may(allow("bedrock:InvokeModel", models))
    contains(denied(eve.ask, "us." + HAIKU), through)


@case
def an_agreement_in_another_account():
    control, rt = dev.client("bedrock", config=ONCE), dev.client("bedrock-runtime", config=ONCE)

    def state(model=HAIKU):
        got = control.get_foundation_model_availability(modelId=model)
        equal((got["authorizationStatus"], got["regionAvailability"]), ("AUTHORIZED", "AVAILABLE"))
        return got["agreementAvailability"]["status"], got["entitlementAvailability"]

    equal(bedrock.get_foundation_model_availability(modelId=HAIKU)["agreementAvailability"]["status"], "AVAILABLE")
    assert ask(runtime)  # the first account is approved automatically
    equal(state(TITAN), ("AVAILABLE", "AVAILABLE"))
    assert ask(rt, TITAN)  # Amazon's models need no agreement
    equal(state(), ("PENDING", "NOT_AVAILABLE"))
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 4, "messages": [{"role": "user", "content": "Hi"}]})
    messages = [{"role": "user", "content": [{"text": "Hello."}]}]
    for call, args in (
        (rt.converse, {"messages": messages}),
        (rt.converse_stream, {"messages": messages}),
        (rt.invoke_model, {"body": body}),
        (rt.invoke_model_with_response_stream, {"body": body}),
        (rt.count_tokens, {"input": {"converse": {"messages": messages}}}),
    ):
        equal(denied(call, modelId=HAIKU, **args), NO_ACCESS)
    equal(denied(ask, rt, "us." + HAIKU), NO_ACCESS)
    raises(control.exceptions.ResourceNotFoundException, control.get_use_case_for_model_access)

    offer = control.list_foundation_model_agreement_offers(modelId=HAIKU)["offers"][0]
    terms = offer["termDetails"]
    equal(terms["legalTerm"]["url"], "https://www.apache.org/licenses/LICENSE-2.0")  # of the weights that really answer
    equal([(r["dimension"], r["price"]) for r in terms["usageBasedPricingTerm"]["rateCard"]], [("InputTokens", "0.25"), ("OutputTokens", "1.25")])
    agree = lambda token: control.create_foundation_model_agreement(modelId=HAIKU, offerToken=token)
    refused("ResourceNotFoundException", agree, offer["offerToken"])  # Anthropic wants the form first
    control.put_use_case_for_model_access(formData=json.dumps(FORM).encode())
    equal(json.loads(control.get_use_case_for_model_access()["formData"]), FORM)
    refused("ValidationException", agree, "no token")
    equal(agree(offer["offerToken"])["ResponseMetadata"]["HTTPStatusCode"], 202)
    refused("ConflictException", agree, offer["offerToken"])
    equal(state(), ("PENDING", "NOT_AVAILABLE"))
    equal(denied(ask, rt), NO_ACCESS)

    command = json.loads(os.environ["E2E_OUTCROP"])
    approve = [*command, "models", "access", "approve", HAIKU, "--account", DEV]
    waiting = json.loads(subprocess.run([*command, "models", "access", "list", "--waiting", "--json"], check=True, capture_output=True).stdout)
    equal([(w["account"], w["model"], w["accepted_by"], w["license"]) for w in waiting], [(DEV, HAIKU, f"arn:aws:iam::{DEV}:root", "Apache-2.0")])
    begin = time.monotonic()
    subprocess.run([*approve, "--region", "us-east-1"], check=True, capture_output=True)
    while state() != ("AVAILABLE", "AVAILABLE"):
        assert time.monotonic() - begin < 5, state()
        time.sleep(0.02)
    took = time.monotonic() - begin
    assert ask(rt)
    west = boto3.Session(aws_access_key_id=os.environ["E2E_DEV_KEY"], aws_secret_access_key=os.environ["E2E_DEV_SECRET"], region_name="us-west-2")
    contains(denied(ask, west.client("bedrock-runtime", config=ONCE)), NO_ACCESS[:-1], "us-west-2")
    # A limit of tokens ends with the call that reaches it.
    subprocess.run([*approve, "--monthly-tokens", "1"], check=True, capture_output=True)
    time.sleep(0.6)
    assert ask(rt)
    contains(denied(ask, rt), "allows 1 tokens a month")

    control.delete_foundation_model_agreement(modelId=HAIKU)
    equal(state(), ("NOT_AVAILABLE", "NOT_AVAILABLE"))
    equal(denied(ask, rt), NO_ACCESS)
    assert ask(runtime)
    return f"a server knew of the approval after {took:.2f} s"


@case
def a_user_who_may_not_sees_it():
    fay = User("fay", allow("bedrock:Get*"))
    got = fay.bedrock.get_foundation_model_availability(modelId=HAIKU)
    equal((got["authorizationStatus"], got["agreementAvailability"]["status"]), ("NOT_AUTHORIZED", "AVAILABLE"))
    contains(denied(fay.ask), "no identity-based policy allows the bedrock:InvokeModel action")


main()
