"""boto3, unchanged, and `outcrop access` in a review of who may do what: what is too
wide or open to others is found and gone once it is mended, and a policy that is made
of what a user did lets exactly that through.

OUTCROP: the command line of this installation, as JSON. OTHER: another account.
"""

import datetime
import json
import os
import subprocess

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from cases import case, contains, equal, main

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
TITAN = "amazon.titan-text-express-v1"
MODEL = "arn:aws:bedrock:us-east-1::foundation-model/"
ONCE = Config(retries={"total_max_attempts": 1})
OTHER = os.environ["OTHER"]

iam = boto3.client("iam")
bedrock = boto3.client("bedrock")
analyzer = boto3.client("accessanalyzer")
ACCOUNT = boto3.client("sts").get_caller_identity()["Account"]


def outcrop(*args):
    done = subprocess.run([*json.loads(os.environ["OUTCROP"]), *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def trust(principal, **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more}]})


def policy(action, resource="*"):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]})


def says(function, *args, **kwargs):
    """"" where a call is let through, else its refusal."""
    try:
        function(*args, **kwargs)
    except ClientError as error:
        assert error.response["Error"]["Code"] in ("AccessDeniedException", "AccessDenied"), error
        return error.response["Error"]["Message"]
    return ""


def review():
    """What `outcrop access analyze` finds: type and resource."""
    return {(f["type"], f["resource"].rpartition(":")[2]) for f in json.loads(outcrop("access", "analyze", "--json"))["findings"]}


@case
def who_outside_is_let_in():
    arn = analyzer.create_analyzer(analyzerName="outside", type="ACCOUNT")["arn"]

    def findings():
        found = [f for page in analyzer.get_paginator("list_findings_v2").paginate(analyzerArn=arn) for f in page["findings"] if f["status"] == "ACTIVE"]
        return {f["resource"].rpartition(":")[2]: f for f in found}

    equal(findings(), {})
    iam.create_role(RoleName="partner", AssumeRolePolicyDocument=trust({"AWS": OTHER}))
    iam.create_role(RoleName="everybody", AssumeRolePolicyDocument=trust("*"))
    iam.create_role(RoleName="own", AssumeRolePolicyDocument=trust({"AWS": ACCOUNT}))
    profile = bedrock.create_inference_profile(inferenceProfileName="shared", modelSource={"copyFrom": MODEL + TITAN})["inferenceProfileArn"]
    bedrock.put_resource_policy(resourceArn=profile, resourcePolicy=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": OTHER}, "Action": "bedrock:InvokeModel", "Resource": profile}]}))
    found = findings()
    equal(sorted(found), sorted(["role/partner", "role/everybody", profile.rpartition(":")[2]]))
    detail = analyzer.get_finding_v2(analyzerArn=arn, id=found["role/partner"]["id"])
    equal(detail["findingType"], "ExternalAccess")
    contains(json.dumps(detail["findingDetails"]), OTHER)
    assert {("EXTERNAL_ACCESS", name) for name in found} <= review(), review()
    # Mended, they are gone.
    for name in ("partner", "everybody"):
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust({"AWS": ACCOUNT}))
    bedrock.delete_resource_policy(resourceArn=profile)
    equal(findings(), {})
    assert not [f for f in review() if f[0] == "EXTERNAL_ACCESS"], review()
    analyzer.delete_analyzer(analyzerName="outside")


@case
def what_is_too_wide():
    iam.create_user(UserName="wide")
    iam.attach_user_policy(UserName="wide", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    assert ("WILDCARD", "user/wide") in review(), review()
    contains(outcrop("access", "analyze"), "user/wide", "AdministratorAccess")
    iam.detach_user_policy(UserName="wide", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    assert ("WILDCARD", "user/wide") not in review(), review()


@case
def a_policy_of_what_was_done():
    """From bedrock:* to what an application does; all that goes on, nothing else."""
    iam.create_user(UserName="app")
    iam.put_user_policy(UserName="app", PolicyName="wide", PolicyDocument=policy(["bedrock:*", "iam:Get*"]))
    key = iam.create_access_key(UserName="app")["AccessKey"]
    session = boto3.Session(aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    control, runtime = session.client("bedrock", config=ONCE), session.client("bedrock-runtime", config=ONCE)
    hello = [{"role": "user", "content": [{"text": "Hello."}]}]
    profile = bedrock.create_inference_profile(inferenceProfileName="app", modelSource={"copyFrom": MODEL + TITAN})["inferenceProfileArn"]
    activity = [
        lambda: control.list_foundation_models(),
        lambda: control.get_inference_profile(inferenceProfileIdentifier=profile),
        lambda: runtime.converse(modelId=HAIKU, messages=hello),
        lambda: runtime.converse(modelId=profile, messages=hello),
        lambda: list(runtime.converse_stream(modelId=HAIKU, messages=hello)["stream"]),
        lambda: session.client("iam").get_user(UserName="app"),
    ]
    others = [
        lambda: control.get_foundation_model(modelIdentifier=HAIKU),
        lambda: control.list_inference_profiles(),
        lambda: control.delete_inference_profile(inferenceProfileIdentifier=profile),
        lambda: runtime.converse(modelId="anthropic.claude-v2", messages=hello),
        lambda: runtime.converse_stream(modelId=profile, messages=hello),
        lambda: session.client("iam").get_role(RoleName="own"),
    ]
    equal([says(call) for call in activity], [""] * len(activity))
    arn = f"arn:aws:iam::{ACCOUNT}:user/app"
    text = outcrop("access", "policy", arn)
    # The API makes the same.
    now = datetime.datetime.now(datetime.timezone.utc)
    job = analyzer.start_policy_generation(policyGenerationDetails={"principalArn": arn}, cloudTrailDetails={
        "trails": [], "accessRole": f"arn:aws:iam::{ACCOUNT}:role/own", "startTime": now - datetime.timedelta(days=1)})["jobId"]
    got = analyzer.get_generated_policy(jobId=job)
    equal(got["jobDetails"]["status"], "SUCCEEDED")
    made = got["generatedPolicyResult"]["generatedPolicies"]
    equal([json.loads(p["policy"]) for p in made], [json.loads(text)])
    # It grants less than before, and validates.
    equal(analyzer.check_no_new_access(newPolicyDocument=text, existingPolicyDocument=policy(["bedrock:*", "iam:Get*"]), policyType="IDENTITY_POLICY")["result"], "PASS")
    equal(analyzer.check_no_new_access(newPolicyDocument=policy(["s3:*"]), existingPolicyDocument=text, policyType="IDENTITY_POLICY")["result"], "FAIL")
    equal([f for f in analyzer.validate_policy(policyDocument=text, policyType="IDENTITY_POLICY")["findings"] if f["findingType"] in ("ERROR", "SECURITY_WARNING")], [])
    iam.put_user_policy(UserName="app", PolicyName="wide", PolicyDocument=text)
    equal([says(call) for call in activity], [""] * len(activity))
    denied = [says(call) for call in others]
    assert all(denied), denied
    return " ".join(text.split())


main()
