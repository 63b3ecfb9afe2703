"""boto3, unchanged, against what policies say in whole scenes: three accounts, the
ready roles of a team, the language of policies, one-time codes, classes of data,
who may pass a role. It runs as the root of the first account.

ACCOUNTS: the other accounts by name, as JSON: number, key, secret. OUTCROP: the
command line of this installation, as JSON.
"""

import base64
import datetime
import hashlib
import hmac
import json
import os
import struct
import subprocess
import time

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from cases import case, contains, equal, main, raises

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
TITAN = "amazon.titan-text-express-v1"
MODEL = "arn:aws:bedrock:us-east-1::foundation-model/"
ONCE = Config(retries={"total_max_attempts": 1}, parameter_validation=False)

iam = boto3.client("iam", config=ONCE)
sts = boto3.client("sts", config=ONCE)
bedrock = boto3.client("bedrock", config=ONCE)
ACCOUNT = sts.get_caller_identity()["Account"]
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
PROFILES = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/"
OUTCROP = json.loads(os.environ["OUTCROP"])


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action, resource="*", **more):
    return {**allow(action, resource, **more), "Effect": "Deny"}


def session(key, secret, token=None, region="us-east-1"):
    return boto3.Session(aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token, region_name=region)


def session_of(credentials, region="us-east-1"):
    return session(credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"], region)


class User:
    """A user with one inline policy and a key."""

    def __init__(self, name, *statements, of=iam, **tags):
        self.name, self.iam = name, of
        self.arn = of.create_user(UserName=name, Tags=[{"Key": k, "Value": v} for k, v in tags.items()])["User"]["Arn"]
        if statements:
            self.may(*statements)
        key = of.create_access_key(UserName=name)["AccessKey"]
        self.session = session(key["AccessKeyId"], key["SecretAccessKey"])
        self.sts = self.session.client("sts", config=ONCE)

    def may(self, *statements):
        self.iam.put_user_policy(UserName=self.name, PolicyName="only", PolicyDocument=policy(*statements))


def refused(code, function, *args, **kwargs):
    error = raises(ClientError, function, *args, **kwargs)
    equal(error.response["Error"]["Code"], code)
    return error.response["Error"]["Message"]


def says(function, *args, **kwargs):
    """"" where a call is let through, else why it is denied."""
    try:
        function(*args, **kwargs)
    except ClientError as error:
        assert error.response["Error"]["Code"] in ("AccessDeniedException", "AccessDenied"), error
        return error.response["Error"]["Message"]
    return ""


def ask(who, model=HAIKU):
    """Why a session may not ask a model; "" when it may."""
    return says(who.client("bedrock-runtime", config=ONCE).converse, modelId=model, messages=[{"role": "user", "content": [{"text": "Hello."}]}])


def outcrop(*args):
    return subprocess.run([*OUTCROP, *args], check=True, capture_output=True, text=True).stdout


@case
def three_accounts():
    """What dev, staging and prod make is their own, and crosses by a role alone."""
    accounts = {name: (number, session(key, secret)) for name, (number, key, secret) in json.loads(os.environ["ACCOUNTS"]).items()}
    equal(sorted(accounts), ["dev", "prod", "staging"])
    arns = {}
    for name, (number, root) in accounts.items():
        equal(root.client("sts").get_caller_identity()["Account"], number)
        root.client("iam").create_user(UserName="same-name")
        made = root.client("bedrock").create_inference_profile(
            inferenceProfileName="same-name", modelSource={"copyFrom": MODEL + TITAN}, tags=[{"key": "owner", "value": name}])
        arns[name] = made["inferenceProfileArn"]
        contains(arns[name], f":{number}:")
    for name, (number, root) in accounts.items():
        mine = [p["inferenceProfileArn"] for p in root.client("bedrock").list_inference_profiles(typeEquals="APPLICATION")["inferenceProfileSummaries"]]
        equal(mine, [arns[name]])
        equal([u["Arn"] for u in root.client("iam").list_users()["Users"]], [f"arn:aws:iam::{number}:user/same-name"])
        for other, arn in arns.items():
            control = root.client("bedrock", config=ONCE)
            if other == name:
                control.get_inference_profile(inferenceProfileIdentifier=arn)
                continue
            # Somebody else's, and what nobody has, look alike.
            gone = arn[:-12] + "zzzzzzzzzz99"
            theirs, nobodys = (raises(ClientError, control.get_inference_profile, inferenceProfileIdentifier=a).response["Error"] for a in (arn, gone))
            equal((theirs["Code"], theirs["Message"].replace(arn, gone)), (nobodys["Code"], nobodys["Message"]))
            contains(ask(root, arn), "not authorized to perform: bedrock:InvokeModel")
    # Between accounts: a role, its trust with an ExternalId, and no shared key.
    number, prod = accounts["prod"]
    dev = User("release", allow("sts:AssumeRole", f"arn:aws:iam::{number}:role/deploy"), of=accounts["dev"][1].client("iam"))
    trust = lambda external: json.dumps({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": accounts["dev"][0]}, "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"sts:ExternalId": external}}}]})
    prod.client("iam").create_role(RoleName="deploy", AssumeRolePolicyDocument=trust("p-1"))
    prod.client("iam").put_role_policy(RoleName="deploy", PolicyName="may", PolicyDocument=policy(allow("bedrock:GetInferenceProfile")))
    run = dict(RoleArn=f"arn:aws:iam::{number}:role/deploy", RoleSessionName="release")
    inside = session_of(dev.sts.assume_role(ExternalId="p-1", **run)["Credentials"])
    equal(inside.client("bedrock").get_inference_profile(inferenceProfileIdentifier=arns["prod"])["inferenceProfileArn"], arns["prod"])
    refused("AccessDenied", dev.sts.assume_role, ExternalId="p-2", **run)
    refused("AccessDenied", dev.sts.assume_role, **run)
    prod.client("iam").update_assume_role_policy(RoleName="deploy", PolicyDocument=trust("p-2"))
    refused("AccessDenied", dev.sts.assume_role, ExternalId="p-1", **run)


@case
def ready_roles_of_a_team():
    """`outcrop access roles --create`, and what each of the four may."""
    made = json.loads(outcrop("access", "roles", "--create", "--json"))
    equal([r["persona"] for r in made], ["ML engineer", "data scientist", "application developer", "operations"])
    lead = User("team-lead", allow("sts:AssumeRole"))
    tagged = lambda name, **tags: bedrock.create_inference_profile(
        inferenceProfileName=name, modelSource={"copyFrom": MODEL + TITAN}, tags=[{"key": k, "value": v} for k, v in tags.items()])["inferenceProfileArn"]
    table = []
    for role in made:
        who = session_of(lead.sts.assume_role(RoleArn=role["arn"], RoleSessionName="day-one")["Credentials"])
        control, identities = who.client("bedrock", config=ONCE), who.client("iam", config=ONCE)
        test, live = tagged(role["name"] + "-test", environment="test"), tagged(role["name"] + "-live", environment="production")
        can = {
            "invoke": ask(who),
            "list": says(control.list_foundation_models),
            "create": says(control.create_inference_profile, inferenceProfileName=role["name"], modelSource={"copyFrom": MODEL + TITAN}),
            "delete test": says(control.delete_inference_profile, inferenceProfileIdentifier=test),
            "delete live": says(control.delete_inference_profile, inferenceProfileIdentifier=live),
            "read identities": says(identities.list_users),
            "make identities": says(identities.create_user, UserName=role["name"]),
            "agree": says(control.delete_foundation_model_agreement, modelId=HAIKU),
        }
        table.append((role["persona"], [what for what, why in can.items() if not why]))
    equal(table, [
        ("ML engineer", ["invoke", "list", "create", "delete test", "delete live"]),
        ("data scientist", ["invoke", "list", "create", "delete test"]),
        ("application developer", ["invoke", "list"]),
        ("operations", ["list", "read identities"]),
    ])
    return "; ".join(f"{who}: {', '.join(what)}" for who, what in table)


@case
def the_language_of_policies():
    """Each form of a statement, and what it lets a user ask."""
    ana = User("lang-ana", team="core")
    both = {HAIKU: ask(ana.session, HAIKU), TITAN: ask(ana.session, TITAN)}
    assert all(both.values()), both
    none, haiku, titan, all_ = set(), {HAIKU}, {TITAN}, {HAIKU, TITAN}
    every, forms = allow("bedrock:*"), 0
    when = lambda operator, key, *values: {"Condition": {operator: {key: list(values)}}}
    for want, *statements in (
        (all_, allow("bedrock:InvokeModel")),
        (all_, allow("BEDROCK:invoke*")),
        (none, allow("bedrock:InvokeModelWith*")),
        (all_, allow("bedrock:Inv?keModel")),
        (all_, {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}),
        (none, {"Effect": "Allow", "NotAction": "bedrock:InvokeModel", "Resource": "*"}),
        (haiku, {"Effect": "Allow", "Action": "bedrock:InvokeModel", "NotResource": MODEL + "amazon.*"}),
        (titan, allow("bedrock:InvokeModel", MODEL + "amazon.titan-text-?xpress-v1")),
        (none, allow("bedrock:InvokeModel", MODEL + "amazon.titan-text-?xpress")),
        (none, allow("bedrock:InvokeModel", "arn:aws:bedrock:eu-*::foundation-model/*")),
        (haiku, every, deny("bedrock:InvokeModel", MODEL + TITAN)),
        (none, every, {"Effect": "Deny", "NotAction": "bedrock:List*", "Resource": "*"}),
        (all_, allow("bedrock:*", **when("StringEquals", "aws:username", "lang-ana"))),
        (none, allow("bedrock:*", **when("StringEquals", "aws:username", "Lang-Ana"))),
        (all_, allow("bedrock:*", **when("StringEqualsIgnoreCase", "aws:username", "Lang-Ana"))),
        (all_, allow("bedrock:*", **when("StringLike", "aws:PrincipalTag/team", "c?r*"))),
        (none, allow("bedrock:*", **when("StringNotEquals", "aws:PrincipalTag/team", "core"))),
        (none, allow("bedrock:*", **when("StringEquals", "aws:PrincipalTag/none", "x"))),
        (all_, allow("bedrock:*", **when("StringEqualsIfExists", "aws:PrincipalTag/none", "x"))),
        (all_, allow("bedrock:*", **when("StringNotEquals", "aws:PrincipalTag/none", "x"))),
        (all_, allow("bedrock:*", **when("Null", "aws:PrincipalTag/none", "true"))),
        (none, allow("bedrock:*", **when("Null", "aws:PrincipalTag/team", "true"))),
        (all_, allow("bedrock:*", **when("StringEquals", "aws:PrincipalTag/team", "${aws:PrincipalTag/none, 'core'}"))),
        (none, allow("bedrock:*", **when("StringEquals", "aws:PrincipalTag/team", "${aws:PrincipalTag/none}"))),
        (all_, allow("bedrock:*", **when("ArnLike", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:user/lang-*"))),
        (none, allow("bedrock:*", **when("ArnNotLike", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:user/lang-*"))),
        (all_, allow("bedrock:*", **when("DateGreaterThan", "aws:CurrentTime", "2026-01-01T00:00:00Z"))),
        (none, allow("bedrock:*", **when("DateLessThan", "aws:EpochTime", "1767225600"))),
        (all_, allow("bedrock:*", **when("IpAddress", "aws:SourceIp", "10.0.0.0/8", "127.0.0.0/8"))),
        (none, allow("bedrock:*", **when("NotIpAddress", "aws:SourceIp", "127.0.0.1"))),
        (all_, allow("bedrock:*", **when("Bool", "aws:SecureTransport", "false"))),
        (none, every, deny("*", **when("Bool", "aws:SecureTransport", "false"))),
        (all_, allow("bedrock:*", **when("StringEquals", "aws:RequestedRegion", "us-east-1"))),
        (none, every, deny("*", **when("StringNotEquals", "aws:RequestedRegion", "eu-central-1"))),
        (none, allow("bedrock:*", **when("StringLike", "aws:SourceVpce", "*"))),
        (none, every, deny("*", **when("StringNotEquals", "aws:SourceVpce", "vpce-1a2b3c4d"))),
        (none, every, deny("*", **when("StringNotEqualsIfExists", "aws:SourceVpce", "vpce-1a2b3c4d"))),
        (all_, allow("bedrock:*", **when("StringLike", "aws:UserAgent", "*Boto3*"))),
        (all_, allow("bedrock:*", **when("NumericLessThanEquals", "aws:EpochTime", "99999999999"))),
        (none, allow("bedrock:*", **when("NumericLessThan", "aws:MultiFactorAuthAge", "3600"))),
        (none, allow("bedrock:*", **when("StringEquals", "aws:PrincipalType", "AssumedRole"))),
        (all_, allow("bedrock:*", Condition={"StringEquals": {"aws:PrincipalType": "User", "aws:PrincipalAccount": ACCOUNT}})),
        (none, allow("bedrock:*", Condition={"StringEquals": {"aws:PrincipalType": "User"}, "Bool": {"aws:SecureTransport": "true"}})),
    ):
        ana.may(*statements)
        got = {model for model in (HAIKU, TITAN) if not ask(ana.session, model)}
        assert got == want, (statements, got, want)
        forms += 1
    return f"{forms} forms of statements"


@case
def boundaries_groups_and_sessions_only_narrow():
    ana = User("narrow-ana")
    iam.create_group(GroupName="narrow")
    iam.put_group_policy(GroupName="narrow", PolicyName="ask", PolicyDocument=policy(allow("bedrock:InvokeModel"), allow("sts:*")))
    contains(ask(ana.session), "no identity-based policy allows")
    iam.add_user_to_group(GroupName="narrow", UserName=ana.name)
    equal(ask(ana.session), "")
    # A boundary takes away and gives nothing.
    bound = iam.create_policy(PolicyName="narrow-bound", PolicyDocument=policy(allow(["bedrock:InvokeModel", "iam:ListUsers"], "*")))["Policy"]["Arn"]
    only_titan = iam.create_policy(PolicyName="only-titan", PolicyDocument=policy(allow("bedrock:InvokeModel", MODEL + TITAN)))["Policy"]["Arn"]
    iam.put_user_permissions_boundary(UserName=ana.name, PermissionsBoundary=bound)
    equal(ask(ana.session), "")
    contains(says(ana.session.client("iam", config=ONCE).list_users), "no identity-based policy allows the iam:ListUsers action")
    iam.put_user_permissions_boundary(UserName=ana.name, PermissionsBoundary=only_titan)
    contains(ask(ana.session), "because no permissions boundary allows the bedrock:InvokeModel action")
    equal(ask(ana.session, TITAN), "")
    refused("DeleteConflict", iam.delete_policy, PolicyArn=only_titan)
    iam.delete_user_permissions_boundary(UserName=ana.name)
    equal(ask(ana.session), "")
    # So does a session policy.
    iam.create_role(RoleName="narrow", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "sts:AssumeRole"}]}))
    iam.put_role_policy(RoleName="narrow", PolicyName="only", PolicyDocument=policy(allow("bedrock:InvokeModel")))
    run = dict(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/narrow", RoleSessionName="run")
    enter = lambda **more: session_of(ana.sts.assume_role(**run, **more)["Credentials"])
    equal(ask(enter()), "")
    titan = enter(Policy=policy(allow("*", MODEL + TITAN), allow("iam:*")))
    equal(ask(titan, TITAN), "")
    contains(ask(titan), "no session policy allows")
    contains(says(titan.client("iam", config=ONCE).list_users), "not authorized to perform: iam:ListUsers")
    contains(ask(enter(PolicyArns=[{"arn": "arn:aws:iam::aws:policy/AmazonBedrockReadOnly"}])), "no session policy allows")
    iam.put_role_permissions_boundary(RoleName="narrow", PermissionsBoundary=only_titan)
    contains(ask(enter()), "no permissions boundary allows")
    iam.delete_role_permissions_boundary(RoleName="narrow")
    equal(ask(enter()), "")
    iam.remove_user_from_group(GroupName="narrow", UserName=ana.name)
    contains(ask(ana.session), "no identity-based policy allows")


def code(seed, at):
    """A code of RFC 6238."""
    mac = hmac.digest(base64.b32decode(seed), struct.pack(">Q", int(at) // 30), hashlib.sha1)
    at = mac[19] & 15
    return f"{(struct.unpack('>I', mac[at:at + 4])[0] & 0x7FFFFFFF) % 10**6:06d}"


@case
def one_time_codes_in_policies():
    """Bool and BoolIfExists: a long-term key, a session without a code, one with."""
    ana = User("code-ana")
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName="code-ana")["VirtualMFADevice"]
    seed, serial, now = made["Base32StringSeed"], made["SerialNumber"], time.time()
    iam.enable_mfa_device(UserName="code-ana", SerialNumber=serial, AuthenticationCode1=code(seed, now - 30), AuthenticationCode2=code(seed, now))
    proved = session_of(ana.sts.get_session_token(SerialNumber=serial, TokenCode=code(seed, now + 30), DurationSeconds=900)["Credentials"])
    callers = {"key": ana.session, "session": session_of(ana.sts.get_session_token(DurationSeconds=900)["Credentials"]), "session with a code": proved}
    with_code = lambda effect, operator, value: effect("bedrock:*", Condition={operator: {"aws:MultiFactorAuthPresent": value}})
    rows = {
        "Allow Bool true": [with_code(allow, "Bool", "true")],
        "Allow BoolIfExists true": [with_code(allow, "BoolIfExists", "true")],
        "Deny Bool false": [allow("bedrock:*"), with_code(deny, "Bool", "false")],
        "Deny BoolIfExists false": [allow("bedrock:*"), with_code(deny, "BoolIfExists", "false")],
        "Allow age < 600 s": [allow("bedrock:*", Condition={"NumericLessThan": {"aws:MultiFactorAuthAge": "600"}})],
        "Deny age > 600 s or no code": [allow("bedrock:*"), deny("bedrock:*", Condition={"NumericGreaterThanIfExists": {"aws:MultiFactorAuthAge": "600"}})],
    }
    got = {}
    for name, statements in rows.items():
        ana.may(*statements)
        got[name] = "".join("-" if ask(who) else "+" for who in callers.values())
    equal(got, {
        "Allow Bool true": "--+",
        "Allow BoolIfExists true": "+-+",
        "Deny Bool false": "+-+",
        "Deny BoolIfExists false": "--+",
        "Allow age < 600 s": "--+",
        "Deny age > 600 s or no code": "--+",
    })
    # What only a code proves: an action on the account.
    ana.may(allow("iam:ListUsers", Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}}))
    equal(["-" if says(who.client("iam", config=ONCE).list_users) else "+" for who in (ana.session, proved)], ["-", "+"])
    return f"{', '.join(callers)}: {got}"


@case
def five_wrong_codes_lock_a_device():
    ana = User("lock-ana")
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName="lock-ana")["VirtualMFADevice"]
    seed, serial, now = made["Base32StringSeed"], made["SerialNumber"], time.time()
    iam.enable_mfa_device(UserName="lock-ana", SerialNumber=serial, AuthenticationCode1=code(seed, now - 30), AuthenticationCode2=code(seed, now))
    good = code(seed, now + 30)
    wrong = "000000" if good != "000000" else "000001"
    for _ in range(5):
        contains(refused("AccessDenied", ana.sts.get_session_token, SerialNumber=serial, TokenCode=wrong), "MultiFactorAuthentication failed")
    refused("AccessDenied", ana.sts.get_session_token, SerialNumber=serial, TokenCode=good)
    ana.sts.get_session_token()  # what needs no code goes on
    refused("AccessDenied", User("lock-ben").sts.get_session_token, SerialNumber=serial, TokenCode=good)


CLASSES = ["public", "internal", "confidential", "restricted"]


@case
def classes_of_data():
    """Four classes of people and of resources: read up to one's own, write in it."""
    up_to = lambda own: allow("bedrock:GetInferenceProfile", PROFILES + "*", Condition={"StringEquals": {"aws:ResourceTag/class": CLASSES[:CLASSES.index(own) + 1]}})
    same = {"StringEquals": {"aws:ResourceTag/class": "${aws:PrincipalTag/class}"}}
    keep = {"StringNotEqualsIfExists": {"aws:RequestTag/class": "${aws:ResourceTag/class, 'restricted'}"}, "ForAnyValue:StringEquals": {"aws:TagKeys": ["class"]}}
    arns = {c: bedrock.create_inference_profile(
        inferenceProfileName="class-" + c, modelSource={"copyFrom": MODEL + TITAN}, tags=[{"key": "class", "value": c}])["inferenceProfileArn"] for c in CLASSES}
    bare = bedrock.create_inference_profile(inferenceProfileName="class-none", modelSource={"copyFrom": MODEL + TITAN})["inferenceProfileArn"]
    read, write = [], []
    for own in CLASSES:
        who = User("class-" + own, up_to(own), allow(["bedrock:TagResource", "bedrock:UntagResource"], PROFILES + "*", Condition=same),
                   deny("bedrock:TagResource", Condition=keep),
                   deny("bedrock:UntagResource", Condition={"ForAnyValue:StringEquals": {"aws:TagKeys": ["class"]}}),
                   **{"class": own}).session.client("bedrock", config=ONCE)
        read.append("".join("-" if says(who.get_inference_profile, inferenceProfileIdentifier=arns[c]) else "r" for c in CLASSES))
        write.append("".join("-" if says(who.tag_resource, resourceARN=arns[c], tags=[{"key": "note", "value": own}]) else "w" for c in CLASSES))
        assert says(who.get_inference_profile, inferenceProfileIdentifier=bare), "what has no class is read"
        for lower in CLASSES:
            moved = says(who.tag_resource, resourceARN=arns[own], tags=[{"key": "class", "value": lower}])
            assert bool(moved) == (lower != own), (own, lower, moved)
        contains(says(who.untag_resource, resourceARN=arns[own], tagKeys=["class"]), "explicit deny")
    equal(read, ["r---", "rr--", "rrr-", "rrrr"])
    equal(write, ["w---", "-w--", "--w-", "---w"])
    return f"read {read}, write {write}"


@case
def only_who_may_pass_a_role_passes_it():
    """Take one grant after the other away: the machine never gets the role."""
    services = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
    role = iam.create_role(RoleName="passed", AssumeRolePolicyDocument=services)["Role"]["Arn"]
    iam.create_instance_profile(InstanceProfileName="passed")
    profile = f"arn:aws:iam::{ACCOUNT}:instance-profile/passed"
    ben = User("passer")
    give = dict(InstanceProfileName="passed", RoleName="passed")
    add = allow("iam:AddRoleToInstanceProfile", profile)
    to_machines = allow("iam:PassRole", role, Condition={"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}})
    put = ben.session.client("iam", config=ONCE).add_role_to_instance_profile
    for statements, action in (
        ([to_machines], "iam:AddRoleToInstanceProfile"),
        ([add], "iam:PassRole"),
        ([add, {**to_machines, "Resource": role + "-other"}], "iam:PassRole"),
        ([add, {**to_machines, "Condition": {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}}], "iam:PassRole"),
        ([add, to_machines, deny("iam:PassRole", role)], "iam:PassRole"),
    ):
        ben.may(*statements)
        contains(says(put, **give), "is not authorized to perform: " + action)
        equal(iam.get_instance_profile(InstanceProfileName="passed")["InstanceProfile"]["Roles"], [])
    ben.may(add, to_machines)
    equal(says(put, **give), "")


@case
def wrong_documents_name_their_place():
    one = lambda **change: json.dumps({"Version": "2012-10-17", "Statement": [allow("s3:*"), {k: v for k, v in {**allow("bedrock:*"), **change}.items() if v is not None}]})
    wrong = 0
    for text, *parts in (
        (one(Effect="Alow"), "Statement 2", "Effect"),
        (one(Effect=None), "Statement 2", "Effect"),
        (one(Action="InvokeModel"), "Statement 2", "Action"),
        (one(Action=None), "Statement 2", "Action"),
        (one(Resource="claude"), "Statement 2", "Resource"),
        (one(Resource=None), "Statement 2", "Resource"),
        (one(Principal="*"), "Statement 2", "Principal"),
        (one(NotAction="s3:*"), "Statement 2", "NotAction"),
        (one(Sid="a b"), "Statement 2", "Sid"),
        (one(Color="red"), "Statement 2", "Color"),
        (one(Condition={"StringEqual": {"aws:username": "x"}}), "Statement 2", "Condition.StringEqual"),
        (one(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}), "Statement 2", "Condition.IpAddress.aws:SourceIp"),
        (one(Condition={"Bool": {"aws:SecureTransport": "maybe"}}), "Statement 2", "Condition.Bool.aws:SecureTransport"),
        ('{"Version": "2013-01-01", "Statement": []}', "Version"),
        ('{"Version": "2012-10-17"}', "Statement"),
        ('{"Version": "2012-10-17", "Statement": [', "JSON"),
        ("[" * 10000, "nested deeper than 6 levels"),
    ):
        said = refused("MalformedPolicyDocument", iam.create_policy, PolicyName="wrong", PolicyDocument=text)
        assert all(p.lower() in said.lower() for p in parts), (text[:80], said)
        wrong += 1
    refused("LimitExceeded", iam.create_policy, PolicyName="wrong", PolicyDocument=policy(*[allow("bedrock:*", MODEL + f"{i:0900}") for i in range(8)]))
    equal([p["PolicyName"] for p in iam.list_policies(Scope="Local")["Policies"] if p["PolicyName"] == "wrong"], [])
    return f"{wrong} documents"


def form(text):
    """Sends a signed form to IAM, as no SDK would write it; its status and code."""
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    request = AWSRequest("POST", endpoint + "/", data=text.encode(), headers={"Content-Type": "application/x-www-form-urlencoded"})
    SigV4Auth(boto3.Session().get_credentials(), "iam", "us-east-1").add_auth(request)
    answer = URLLib3Session().send(request.prepare())
    said = answer.text
    return answer.status_code, said[said.find("<Code>") + 6:said.find("</Code>")] if "<Code>" in said else ""


@case
def forms_that_no_client_writes():
    head = "Action=ListUsers&Version=2010-05-08"
    equal(form(head), (200, ""))
    got = {name: form(text) for name, text in {
        "5,000 parameters": head + "".join(f"&Tags.member.{i}.Key=x" for i in range(1, 5001)),
        "a name of 40 parts": head + "&" + ".".join("a" * 40) + "=1",
        "a member number of 20 digits": "Action=TagUser&Version=2010-05-08&UserName=x&Tags.member.99999999999999999999.Key=x",
        "broken escapes": head + "&PathPrefix=%zz",
        "no action": "Version=2010-05-08",
        "other version": "Action=ListUsers&Version=2009-01-01",
        "unknown action": "Action=ListUserz&Version=2010-05-08",
    }.items()}
    for name, (status, said) in got.items():
        assert status in (400, 404) and said, (name, status, said)
    return str(got)


@case
def the_rest_of_iam():
    iam.create_user(UserName="rest")
    refused("NoSuchEntity", iam.get_login_profile, UserName="rest")
    equal(iam.list_ssh_public_keys(UserName="rest")["SSHPublicKeys"], [])
    equal(iam.list_signing_certificates(UserName="rest")["Certificates"], [])
    serial = iam.create_virtual_mfa_device(VirtualMFADeviceName="rest")["VirtualMFADevice"]["SerialNumber"]
    provider = iam.create_open_id_connect_provider(Url="https://rest.example.com", ClientIDList=["a"])["OpenIDConnectProviderArn"]
    tags = [{"Key": "team", "Value": "ml"}]
    for name, put, get, drop in (
        ({"SerialNumber": serial}, iam.tag_mfa_device, iam.list_mfa_device_tags, iam.untag_mfa_device),
        ({"OpenIDConnectProviderArn": provider}, iam.tag_open_id_connect_provider, iam.list_open_id_connect_provider_tags, iam.untag_open_id_connect_provider),
    ):
        put(Tags=tags, **name)
        equal(get(**name)["Tags"], tags)
        drop(TagKeys=["team"], **name)
        equal(get(**name)["Tags"], [])
    iam.create_access_key(UserName="rest")
    key = iam.list_access_keys(UserName="rest")["AccessKeyMetadata"][0]["AccessKeyId"]
    equal(iam.get_access_key_last_used(AccessKeyId=key)["AccessKeyLastUsed"]["ServiceName"], "N/A")
    # A key that calls has a last use at once.
    user = User("used", allow("bedrock:ListFoundationModels"))
    user.session.client("bedrock").list_foundation_models()
    used = iam.get_access_key_last_used(AccessKeyId=user.session.get_credentials().access_key)
    equal((used["UserName"], used["AccessKeyLastUsed"]["ServiceName"], used["AccessKeyLastUsed"]["Region"]), ("used", "bedrock", "us-east-1"))
    age = datetime.datetime.now(datetime.timezone.utc) - used["AccessKeyLastUsed"]["LastUsedDate"]
    assert datetime.timedelta(minutes=-1) < age < datetime.timedelta(minutes=2), age


@case
def the_rest_of_organizations():
    org = boto3.client("organizations")
    root = org.list_roots()["Roots"][0]["Id"]
    unit = org.create_organizational_unit(ParentId=root, Name="Rest")["OrganizationalUnit"]
    equal([u["Id"] for u in org.list_organizational_units_for_parent(ParentId=root)["OrganizationalUnits"]], [unit["Id"]])
    prod = session(*json.loads(os.environ["ACCOUNTS"])["prod"][1:])
    every = org.create_policy(Name="nothing", Description="", Type="SERVICE_CONTROL_POLICY", Content=policy(deny("*")))["Policy"]["PolicySummary"]["Id"]
    org.attach_policy(PolicyId=every, TargetId=json.loads(os.environ["ACCOUNTS"])["prod"][0])
    contains(ask(prod, TITAN), "explicit deny in a service control policy")
    equal(org.disable_policy_type(RootId=root, PolicyType="SERVICE_CONTROL_POLICY")["Root"]["PolicyTypes"], [])
    equal(ask(prod, TITAN), "")  # policies of a type that is off bind nobody
    org.enable_policy_type(RootId=root, PolicyType="SERVICE_CONTROL_POLICY")
    equal(org.list_targets_for_policy(PolicyId=every)["Targets"], [])  # they are detached
    equal(ask(prod, TITAN), "")


main()
