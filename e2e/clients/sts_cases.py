"""boto3's sts and its credential providers, unchanged, against the server: roles
that are assumed and revoked, tags, MFA, web identities, bearer keys and the
credentials of workloads. It runs as the root of the account.

WEB_TOKEN and WEB_ISSUER: a token and its issuer, which the server believes.
WORKLOADS: where it hands out credentials; WORKLOAD_TOKEN: the file with the token
of the workload "app", whose role is named so; the workload "desk" is this user.
"""

import base64
import datetime
import hashlib
import hmac
import json
import os
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import boto3
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from cases import case, contains, equal, main, raises

SMOLLM = "huggingface.smollm2-135m-instruct-v1:0"
ONCE = Config(retries={"total_max_attempts": 1}, parameter_validation=False)

iam = boto3.client("iam")
sts = boto3.client("sts", config=ONCE)
ACCOUNT = sts.get_caller_identity()["Account"]
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
BOTH = ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"]


def policy(action, effect="Allow", resource="*", **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": action, "Resource": resource, **more}]})


def trust(principal, action="sts:AssumeRole", **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": principal, "Action": action, **more}]})


def refused(code, function, *args, **kwargs):
    error = raises(ClientError, function, *args, **kwargs)
    equal(error.response["Error"]["Code"], code)
    return error.response["Error"]["Message"]


def session_of(credentials):
    return boto3.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


def user(name, text=policy("sts:*")):
    """A user with a policy and a key, as a boto3 session."""
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=text)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return boto3.Session(aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])


def role(name, who, text=policy(BOTH), **more):
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=who, **more)["Role"]["Arn"]
    if text:
        iam.put_role_policy(RoleName=name, PolicyName="rights", PolicyDocument=text)
    return made


def say(runtime, script="hello"):
    return runtime.converse(modelId=SMOLLM, messages=[{"role": "user", "content": [{"text": script}]}])


def python(code, **env):
    """Runs Python in an environment without keys, as a program that finds its own."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_") or k in ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION")}
    done = subprocess.run([sys.executable, "-c", code], env={**clean, **env}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


WHO = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"


@case
def create_attach_assume_invoke_revoke():
    ana = user("flow-ana")
    arn = role("flow", trust({"AWS": ROOT}), None)
    made = iam.create_policy(PolicyName="flow", PolicyDocument=policy(BOTH))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="flow", PolicyArn=made)
    got = ana.client("sts").assume_role(RoleArn=arn, RoleSessionName="run-1")
    equal(got["AssumedRoleUser"]["Arn"], f"arn:aws:sts::{ACCOUNT}:assumed-role/flow/run-1")
    left = got["Credentials"]["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
    assert 3590 < left.total_seconds() <= 3600, left
    run = session_of(got["Credentials"])
    who = run.client("sts").get_caller_identity()
    equal(who["Arn"], got["AssumedRoleUser"]["Arn"])
    equal(who["UserId"], got["AssumedRoleUser"]["AssumedRoleId"])
    runtime = run.client("bedrock-runtime", config=ONCE)
    say(runtime)
    contains(refused("AccessDeniedException", run.client("bedrock", config=ONCE).list_inference_profiles), "assumed-role/flow/run-1", "bedrock:ListInferenceProfiles")
    iam.detach_role_policy(RoleName="flow", PolicyArn=made)
    begin = time.monotonic()
    contains(refused("AccessDeniedException", say, runtime), "no identity-based policy allows the bedrock:InvokeModel action")
    iam.attach_role_policy(RoleName="flow", PolicyArn=made)
    say(runtime)
    iam.detach_role_policy(RoleName="flow", PolicyArn=made)
    iam.delete_role(RoleName="flow")
    refused("UnrecognizedClientException", say, runtime)
    return f"refused {1000 * (time.monotonic() - begin):.0f} ms after all changes began"


def cut_by(name, change):
    """Cuts an open stream of a role by a change; returns how long that took."""
    ana = user(name + "-ana")
    arn = role(name, trust({"AWS": ROOT}))
    run = session_of(ana.client("sts").assume_role(RoleArn=arn, RoleSessionName="run")["Credentials"])
    runtime = run.client("bedrock-runtime", config=ONCE)
    stream = runtime.converse_stream(modelId=SMOLLM, messages=[{"role": "user", "content": [{"text": "block"}]}])["stream"]
    words, begun, end = [], threading.Event(), {}

    def read():
        try:
            for event in stream:
                if "contentBlockDelta" in event:
                    words.append(event["contentBlockDelta"]["delta"]["text"])
                    if "six" in "".join(words):
                        begun.set()
        except EventStreamError as error:
            end["error"], end["at"] = error, time.monotonic()

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(10), words
    time.sleep(1.1)  # a session of the same second as a revocation is revoked too, and this one shall be older
    begin = time.monotonic()
    change(name)
    reader.join(10)
    assert "error" in end, "the stream goes on"
    took = end["at"] - begin
    assert took < 1, f"the stream went on for {took:.2f} s"
    contains(str(end["error"]), "taken away while it ran")
    return f"cut after {1000 * took:.0f} ms, behind {len(words)} words"


@case
def revoke_cuts_open_streams():
    def revoke(name):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        older = policy(["*"], "Deny", ["*"], Condition={"DateLessThan": {"aws:TokenIssueTime": now}})
        iam.put_role_policy(RoleName=name, PolicyName="AWSRevokeOlderSessions", PolicyDocument=older)

    return cut_by("revoked", revoke)


@case
def less_rights_cut_open_streams():
    return cut_by("lessened", lambda name: iam.delete_role_policy(RoleName=name, PolicyName="rights"))


@case
def deleting_the_role_cuts_open_streams():
    def delete(name):
        iam.delete_role_policy(RoleName=name, PolicyName="rights")
        iam.delete_role(RoleName=name)

    return cut_by("deleted", delete)


@case
def durations_and_chaining():
    ana = user("long-ana").client("sts", config=ONCE)
    arn = role("long", trust({"AWS": ROOT}), policy("sts:AssumeRole"), MaxSessionDuration=43200)
    short = role("short", trust({"AWS": ROOT}))

    def enter(by, what, seconds):
        return by.assume_role(RoleArn=what, RoleSessionName="run", DurationSeconds=seconds)["Credentials"]

    for seconds in (900, 3600, 3601, 43200):
        begin = int(time.time())
        end = enter(ana, arn, seconds)["Expiration"].timestamp()
        assert begin + seconds <= end <= time.time() + seconds, (seconds, end - begin)
    for seconds in (899, 43201):
        refused("ValidationError", enter, ana, arn, seconds)
    contains(refused("ValidationError", enter, ana, short, 3601), "exceeds the MaxSessionDuration set for this role")
    chained = session_of(enter(ana, arn, 43200)).client("sts", config=ONCE)
    enter(chained, arn, 3600)
    contains(refused("ValidationError", enter, chained, arn, 3601), "1 hour session limit for roles assumed by role chaining")


@case
def who_may_assume():
    ana = user("who-ana").client("sts", config=ONCE)
    arn = role("who", trust({"AWS": ROOT}, Condition={"StringEquals": {"sts:ExternalId": "x-1"}}))
    run = dict(RoleArn=arn, RoleSessionName="run")
    ana.assume_role(ExternalId="x-1", **run)
    said = refused("AccessDenied", ana.assume_role, ExternalId="x-2", **run)
    contains(said, "is not authorized to perform: sts:AssumeRole on resource: " + arn)
    run["RoleArn"] = arn + "-that-does-not-exist"
    absent = refused("AccessDenied", ana.assume_role, **run)
    equal(absent.partition(". Encoded")[0], said.partition(". Encoded")[0].replace(arn, run["RoleArn"]))
    run["RoleArn"] = arn
    contains(refused("AccessDenied", sts.assume_role, ExternalId="x-1", **run), "Roles may not be assumed by root accounts.")
    encoded = absent.partition("Encoded authorization failure message: ")[2]
    reason = json.loads(sts.decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"])
    equal((reason["allowed"], reason["context"]["action"]), (False, "sts:AssumeRole"))
    refused("InvalidAuthorizationMessageException", sts.decode_authorization_message, EncodedMessage="x" + encoded)


@case
def session_policies_and_tags():
    ana = user("tag-ana").client("sts", config=ONCE)
    who = trust({"AWS": ROOT}, ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"])
    only_core = policy(BOTH + ["sts:*"], Condition={"StringEquals": {"aws:PrincipalTag/team": "core"}})
    arn, next_arn = role("tag", who, only_core), role("tag-next", who, only_core)
    run = dict(RoleArn=arn, RoleSessionName="run")
    core = [{"Key": "team", "Value": "core"}]

    def runtime(credentials):
        return session_of(credentials).client("bedrock-runtime", config=ONCE)

    refused("AccessDeniedException", say, runtime(ana.assume_role(**run)["Credentials"]))
    got = ana.assume_role(Tags=core, TransitiveTagKeys=["team"], SourceIdentity="ana", **run)
    equal(got["SourceIdentity"], "ana")
    assert 0 < got["PackedPolicySize"] <= 100, got
    say(runtime(got["Credentials"]))
    chained = session_of(got["Credentials"]).client("sts", config=ONCE)
    chain = dict(RoleArn=next_arn, RoleSessionName="run")
    say(runtime(chained.assume_role(**chain)["Credentials"]))  # the tag went on
    refused("InvalidParameterValue", chained.assume_role, Tags=[{"Key": "Team", "Value": "edge"}], **chain)
    refused("AccessDenied", chained.assume_role, SourceIdentity="bob", **chain)
    less = ana.assume_role(Tags=core, Policy=policy("bedrock:ListFoundationModels"), **run)["Credentials"]
    contains(refused("AccessDeniedException", say, runtime(less)), "no session policy allows")
    refused("MalformedPolicyDocument", ana.assume_role, Policy="{", **run)
    refused("PackedPolicyTooLarge", ana.assume_role, Policy=policy("*") + " " * 2048, **run)


@case
def session_and_federation_tokens():
    ana = user("token-ana", policy(["sts:GetFederationToken", "bedrock:*", "iam:*"]))
    client = ana.client("sts", config=ONCE)
    own = session_of(client.get_session_token(DurationSeconds=900)["Credentials"])
    equal(own.client("sts").get_caller_identity()["Arn"], f"arn:aws:iam::{ACCOUNT}:user/token-ana")
    say(own.client("bedrock-runtime"))
    refused("InvalidClientTokenId", own.client("iam", config=ONCE).list_users)  # without MFA it is none for IAM
    refused("AccessDenied", own.client("sts", config=ONCE).get_session_token)
    got = client.get_federation_token(Name="bob", Policy=policy(BOTH), DurationSeconds=900)
    equal(got["FederatedUser"]["Arn"], f"arn:aws:sts::{ACCOUNT}:federated-user/bob")
    fed = session_of(got["Credentials"])
    equal(fed.client("sts").get_caller_identity()["UserId"], f"{ACCOUNT}:bob")
    say(fed.client("bedrock-runtime", config=ONCE))
    refused("AccessDeniedException", fed.client("bedrock", config=ONCE).list_foundation_models)
    for key in (got["Credentials"]["AccessKeyId"], ana.get_credentials().access_key):
        equal(sts.get_access_key_info(AccessKeyId=key)["Account"], ACCOUNT)
    refused("ValidationError", client.get_session_token, DurationSeconds=899)


def code(seed, at):
    """A code of RFC 6238."""
    mac = hmac.new(base64.b32decode(seed), struct.pack(">Q", int(at) // 30), hashlib.sha1).digest()
    at = mac[19] & 15
    return f"{(struct.unpack('>I', mac[at:at + 4])[0] & 0x7FFFFFFF) % 10**6:06d}"


@case
def mfa():
    ana = user("mfa-ana", policy(["sts:AssumeRole"]))
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName="mfa-ana")["VirtualMFADevice"]
    seed, serial = made["Base32StringSeed"], made["SerialNumber"]
    now = time.time()
    iam.enable_mfa_device(UserName="mfa-ana", SerialNumber=serial, AuthenticationCode1=code(seed, now - 30), AuthenticationCode2=code(seed, now))
    arn = role("mfa", trust({"AWS": ROOT}, Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}}))
    client = ana.client("sts", config=ONCE)
    run = dict(RoleArn=arn, RoleSessionName="run")
    refused("AccessDenied", client.assume_role, **run)
    contains(refused("AccessDenied", client.assume_role, SerialNumber=serial, TokenCode="000000", **run), "MultiFactorAuthentication failed")
    used = code(seed, now + 30)  # the next one: those until now are used up
    client.assume_role(SerialNumber=serial, TokenCode=used, **run)
    refused("AccessDenied", client.assume_role, SerialNumber=serial, TokenCode=used, **run)


@case
def wrong_tokens():
    ana = user("wrong-ana")
    one = ana.client("sts").get_session_token()["Credentials"]
    two = ana.client("sts").get_session_token()["Credentials"]
    token = one["SessionToken"]
    long_term = ana.get_credentials()
    for change in (
        {"SessionToken": token[:-1] + ("A" if token[-1] != "A" else "B")},
        {"SessionToken": two["SessionToken"]},
        {"SessionToken": ""},
        {"AccessKeyId": long_term.access_key, "SecretAccessKey": long_term.secret_key},
    ):
        refused("UnrecognizedClientException", session_of({**one, **change}).client("bedrock", config=ONCE).list_foundation_models)
        refused("InvalidClientTokenId", session_of({**one, **change}).client("sts", config=ONCE).get_caller_identity)
    refused("SignatureDoesNotMatch", session_of({**one, "SecretAccessKey": two["SecretAccessKey"]}).client("sts", config=ONCE).get_caller_identity)
    url = session_of(one).client("sts").generate_presigned_url("get_caller_identity", HttpMethod="GET")
    with urllib.request.urlopen(url, timeout=10) as answer:
        contains(answer.read().decode(), f"arn:aws:iam::{ACCOUNT}:user/wrong-ana")
    error = raises(urllib.error.HTTPError, urllib.request.urlopen, url.replace("X-Amz-Security-Token=", "X-Amz-Security-Token=A"), timeout=10)
    contains(error.read().decode(), "InvalidClientTokenId")


def short_term(session, region):
    """A short-term API key, as AWS's generators make it."""
    request = AWSRequest("POST", "https://bedrock.amazonaws.com/", params={"Action": "CallWithBearerToken"}, headers={"host": "bedrock.amazonaws.com"})
    SigV4QueryAuth(session.get_credentials(), "bedrock", region, expires=43200).add_auth(request)
    return "bedrock-api-key-" + base64.b64encode((request.url.removeprefix("https://") + "&Version=1").encode()).decode()


CONVERSE = f"""
import boto3
from botocore.exceptions import ClientError
try:
    boto3.client("bedrock-runtime").converse(modelId="{SMOLLM}", messages=[{{"role": "user", "content": [{{"text": "hello"}}]}}])
    print("ok")
except ClientError as e:
    print(e.response["Error"]["Code"], e.response["Error"]["Message"])
"""


@case
def bearer_keys_of_sessions():
    ana = user("bearer-ana")
    arn = role("bearer", trust({"AWS": ROOT}), policy(BOTH + ["bedrock:CallWithBearerToken"]))
    run = session_of(ana.client("sts").assume_role(RoleArn=arn, RoleSessionName="run")["Credentials"])
    region = sts.meta.region_name
    key = short_term(run, region)

    def ask():
        """Converse with the key; boto3 sends one over TLS only."""
        body = json.dumps({"messages": [{"role": "user", "content": [{"text": "hello"}]}]}).encode()
        url = f"{os.environ['AWS_ENDPOINT_URL']}/model/{SMOLLM}/converse"
        request = urllib.request.Request(url, body, {"Authorization": "Bearer " + key, "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10):
                return "ok"
        except urllib.error.HTTPError as error:
            return error.headers["x-amzn-ErrorType"] + " " + error.read().decode()

    equal(ask(), "ok")
    iam.put_role_policy(RoleName="bearer", PolicyName="long-only", PolicyDocument=policy(
        "bedrock:CallWithBearerToken", "Deny", Condition={"StringEquals": {"bedrock:BearerTokenType": "SHORT_TERM"}}))
    contains(ask(), "AccessDeniedException", "bedrock:CallWithBearerToken", "explicit deny")
    iam.delete_role_policy(RoleName="bearer", PolicyName="long-only")
    equal(ask(), "ok")
    iam.delete_role_policy(RoleName="bearer", PolicyName="rights")
    iam.delete_role(RoleName="bearer")
    contains(ask(), "AccessDeniedException", "Authentication failed")


@case
def web_identity():
    issuer = os.environ["WEB_ISSUER"]
    iam.create_open_id_connect_provider(Url=issuer, ClientIDList=["sts.amazonaws.com"], ThumbprintList=[])
    host = issuer.removeprefix("https://")
    federated = {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"}
    arn = role("web", trust(federated, "sts:AssumeRoleWithWebIdentity", Condition={"StringEquals": {host + ":sub": "system:serviceaccount:team:app"}}))
    other = role("web-other", trust(federated, "sts:AssumeRoleWithWebIdentity", Condition={"StringEquals": {host + ":sub": "somebody:else"}}))
    path = os.environ["WEB_TOKEN"]
    # The default chain of a program in a Kubernetes pod: no key anywhere.
    said = python(WHO, AWS_WEB_IDENTITY_TOKEN_FILE=path, AWS_ROLE_ARN=arn, AWS_ROLE_SESSION_NAME="pod-1")
    equal(said, f"arn:aws:sts::{ACCOUNT}:assumed-role/web/pod-1")
    equal(python(CONVERSE, AWS_WEB_IDENTITY_TOKEN_FILE=path, AWS_ROLE_ARN=arn), "ok")
    with open(path) as file:
        token = file.read()
    got = sts.assume_role_with_web_identity(RoleArn=arn, RoleSessionName="run", WebIdentityToken=token)
    equal((got["SubjectFromWebIdentityToken"], got["Audience"]), ("system:serviceaccount:team:app", "sts.amazonaws.com"))
    run = dict(RoleSessionName="run", WebIdentityToken=token)
    contains(refused("AccessDenied", sts.assume_role_with_web_identity, RoleArn=other, **run), "Not authorized to perform sts:AssumeRoleWithWebIdentity")
    head, claims, signature = token.split(".")
    run["WebIdentityToken"] = ".".join((head, claims, signature[::-1]))
    refused("InvalidIdentityToken", sts.assume_role_with_web_identity, RoleArn=arn, **run)


def workload_roles():
    services = {"Service": ["ecs-tasks.amazonaws.com", "ec2.amazonaws.com"]}
    for name in ("app", "desk"):
        try:
            role(name, trust(services))
        except iam.exceptions.EntityAlreadyExistsException:
            pass


@case
def container_credentials():
    workload_roles()
    base = os.environ["WORKLOADS"]
    path = os.environ["WORKLOAD_TOKEN"]
    with open(path) as file:
        token = file.read().strip()
    env = dict(AWS_CONTAINER_CREDENTIALS_FULL_URI=base + "/credentials/app")
    want = f"arn:aws:sts::{ACCOUNT}:assumed-role/app/app"
    equal(python(WHO, AWS_CONTAINER_AUTHORIZATION_TOKEN=token, **env), want)
    equal(python(WHO, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=path, **env), want)
    equal(python(CONVERSE, AWS_CONTAINER_AUTHORIZATION_TOKEN=token, **env), "ok")
    nobody = "import boto3; print(boto3.Session().get_credentials())"
    try:
        said = python(nobody, AWS_CONTAINER_AUTHORIZATION_TOKEN=token + "x", **env)
    except AssertionError as error:
        said = str(error)
    contains(said, "401")
    equal(python(WHO, AWS_CONTAINER_CREDENTIALS_FULL_URI=base + "/credentials/desk"), f"arn:aws:sts::{ACCOUNT}:assumed-role/desk/desk")


@case
def instance_metadata():
    workload_roles()
    base = os.environ["WORKLOADS"]
    with open(os.environ["WORKLOAD_TOKEN"]) as file:
        token = file.read().strip()
    equal(python(WHO, AWS_EC2_METADATA_SERVICE_ENDPOINT=base), f"arn:aws:sts::{ACCOUNT}:assumed-role/desk/desk")
    secured = python(WHO, AWS_EC2_METADATA_SERVICE_ENDPOINT=f"{base}/metadata/{token}/")
    equal(secured, f"arn:aws:sts::{ACCOUNT}:assumed-role/app/app")
    equal(python(CONVERSE, AWS_EC2_METADATA_SERVICE_ENDPOINT=base), "ok")


main()
