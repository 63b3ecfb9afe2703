"""boto3's iam, unchanged, against the server: users, groups, roles, policies and
keys, and what policies then let a user do. It runs as the root of the account."""

import json
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from cases import case, contains, equal, main, raises

CLAUDE = "anthropic.claude-v2"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
READ_ONLY = "arn:aws:iam::aws:policy/AmazonBedrockReadOnly"
# The policy of the seed document, letter by letter.
SEED = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["bedrock:InvokeModel", "bedrock:ListFoundationModels"],
            "Resource": "arn:aws:bedrock:*::foundation-model/*",
        }
    ],
}

iam = boto3.client("iam")
sts = boto3.client("sts")
ACCOUNT = sts.get_caller_identity()["Account"]
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}],
    }
)


def allow(action, resource="*"):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]})


def refused(code, function, *args, **kwargs):
    error = raises(ClientError, function, *args, **kwargs)
    equal(error.response["Error"]["Code"], code)
    return error.response["Error"]["Message"]


def clients(user):
    """The Bedrock clients of a user, with a new key."""
    key = iam.create_access_key(UserName=user)["AccessKey"]
    session = boto3.Session(aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    once = Config(retries={"total_max_attempts": 1})
    return session, session.client("bedrock", config=once), session.client("bedrock-runtime", config=once)


def invoke(runtime, model=CLAUDE):
    body = {"prompt": "\n\nHuman: Hi\n\nAssistant:", "max_tokens_to_sample": 4}
    if model == HAIKU:
        body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 4, "messages": [{"role": "user", "content": "Hi"}]}
    return json.loads(runtime.invoke_model(modelId=model, body=json.dumps(body))["body"].read())


@case
def users():
    user = iam.create_user(UserName="ana", Path="/team/", Tags=[{"Key": "team", "Value": "ml"}])["User"]
    equal(user["Arn"], f"arn:aws:iam::{ACCOUNT}:user/team/ana")
    equal(user["UserId"][:4], "AIDA")
    refused("EntityAlreadyExists", iam.create_user, UserName="Ana")
    refused("NoSuchEntity", iam.get_user, UserName="nobody")
    iam.tag_user(UserName="ana", Tags=[{"Key": "cost", "Value": "7"}])
    equal({t["Key"]: t["Value"] for t in iam.list_user_tags(UserName="ana")["Tags"]}, {"team": "ml", "cost": "7"})
    iam.untag_user(UserName="ana", TagKeys=["cost"])
    iam.update_user(UserName="ana", NewUserName="anna", NewPath="/")
    equal(iam.get_user(UserName="anna")["User"]["UserId"], user["UserId"])
    equal(iam.get_user()["User"]["Arn"], f"arn:aws:iam::{ACCOUNT}:root")
    iam.get_waiter("user_exists").wait(UserName="anna", WaiterConfig={"Delay": 1, "MaxAttempts": 2})
    iam.delete_user(UserName="anna")


@case
def pages():
    names = [f"page-{i:02}" for i in range(12)]
    for name in names:
        iam.create_user(UserName=name, Path="/pages/")
    answers = list(iam.get_paginator("list_users").paginate(PathPrefix="/pages/", PaginationConfig={"PageSize": 5}))
    equal([u["UserName"] for a in answers for u in a["Users"]], names)
    equal(len(answers), 3)
    refused("ValidationError", iam.list_users, Marker="other")
    for name in names:
        iam.delete_user(UserName=name)


@case
def groups():
    iam.create_user(UserName="g-user")
    equal(iam.create_group(GroupName="team")["Group"]["Arn"], f"arn:aws:iam::{ACCOUNT}:group/team")
    iam.add_user_to_group(GroupName="team", UserName="g-user")
    equal([u["UserName"] for u in iam.get_group(GroupName="team")["Users"]], ["g-user"])
    equal([g["GroupName"] for g in iam.list_groups_for_user(UserName="g-user")["Groups"]], ["team"])
    refused("DeleteConflict", iam.delete_user, UserName="g-user")
    refused("DeleteConflict", iam.delete_group, GroupName="team")
    iam.remove_user_from_group(GroupName="team", UserName="g-user")
    iam.delete_group(GroupName="team")
    iam.delete_user(UserName="g-user")


@case
def managed_policies():
    arn = iam.create_policy(PolicyName="seed", PolicyDocument=json.dumps(SEED), Description="of the seed")["Policy"]["Arn"]
    # The API sends documents percent-encoded; boto3 decodes them into objects.
    equal(iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"], SEED)
    version = iam.create_policy_version(PolicyArn=arn, PolicyDocument=allow("bedrock:InvokeModel"), SetAsDefault=True)["PolicyVersion"]
    equal((version["VersionId"], version["IsDefaultVersion"]), ("v2", True))
    refused("DeleteConflict", iam.delete_policy_version, PolicyArn=arn, VersionId="v2")
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy_version(PolicyArn=arn, VersionId="v2")
    equal([v["VersionId"] for v in iam.list_policy_versions(PolicyArn=arn)["Versions"]], ["v1"])
    contains(refused("MalformedPolicyDocument", iam.create_policy, PolicyName="bad", PolicyDocument=allow("bedrock:InvokeModel").replace("Allow", "Alow")), "Statement 1")
    own = iam.list_policies(Scope="Local")["Policies"]
    equal([p["PolicyName"] for p in own], ["seed"])
    names = {p["PolicyName"] for a in iam.get_paginator("list_policies").paginate(Scope="AWS") for p in a["Policies"]}
    assert {"AmazonBedrockFullAccess", "AmazonBedrockReadOnly", "AmazonBedrockLimitedAccess", "AdministratorAccess"} <= names, names
    equal(iam.get_policy(PolicyArn=READ_ONLY)["Policy"]["DefaultVersionId"], "v7")
    refused("AccessDenied", iam.delete_policy, PolicyArn=READ_ONLY)
    iam.delete_policy(PolicyArn=arn)
    refused("NoSuchEntity", iam.get_policy, PolicyArn=arn)


@case
def roles():
    role = iam.create_role(RoleName="app", AssumeRolePolicyDocument=TRUST, MaxSessionDuration=7200, Description="d")["Role"]
    equal(role["AssumeRolePolicyDocument"], json.loads(TRUST))
    iam.get_waiter("role_exists").wait(RoleName="app", WaiterConfig={"Delay": 1, "MaxAttempts": 2})
    iam.attach_role_policy(RoleName="app", PolicyArn=READ_ONLY)
    equal(iam.list_attached_role_policies(RoleName="app")["AttachedPolicies"], [{"PolicyName": "AmazonBedrockReadOnly", "PolicyArn": READ_ONLY}])
    iam.put_role_policy(RoleName="app", PolicyName="in", PolicyDocument=json.dumps(SEED))
    equal(iam.get_role_policy(RoleName="app", PolicyName="in")["PolicyDocument"], SEED)
    equal(iam.list_role_policies(RoleName="app")["PolicyNames"], ["in"])
    iam.put_role_permissions_boundary(RoleName="app", PermissionsBoundary=READ_ONLY)
    equal(iam.get_role(RoleName="app")["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"], READ_ONLY)
    equal([r["RoleName"] for r in iam.list_entities_for_policy(PolicyArn=READ_ONLY)["PolicyRoles"]], ["app"])
    iam.update_role(RoleName="app", MaxSessionDuration=3600)
    refused("ValidationError", iam.update_role, RoleName="app", MaxSessionDuration=43201)
    refused("MalformedPolicyDocument", iam.update_assume_role_policy, RoleName="app", PolicyDocument=json.dumps(SEED))

    iam.create_instance_profile(InstanceProfileName="host")
    iam.get_waiter("instance_profile_exists").wait(InstanceProfileName="host", WaiterConfig={"Delay": 1, "MaxAttempts": 2})
    iam.add_role_to_instance_profile(InstanceProfileName="host", RoleName="app")
    equal(iam.get_instance_profile(InstanceProfileName="host")["InstanceProfile"]["Roles"][0]["RoleName"], "app")
    details = iam.get_account_authorization_details(Filter=["Role"])["RoleDetailList"]
    found = [d for d in details if d["RoleName"] == "app"][0]
    equal(found["RolePolicyList"], [{"PolicyName": "in", "PolicyDocument": SEED}])
    equal(found["InstanceProfileList"][0]["InstanceProfileName"], "host")
    refused("DeleteConflict", iam.delete_role, RoleName="app")
    iam.remove_role_from_instance_profile(InstanceProfileName="host", RoleName="app")
    iam.delete_instance_profile(InstanceProfileName="host")
    iam.detach_role_policy(RoleName="app", PolicyArn=READ_ONLY)
    iam.delete_role_policy(RoleName="app", PolicyName="in")
    iam.delete_role(RoleName="app")


@case
def account():
    iam.create_account_alias(AccountAlias="our-lab")
    equal(iam.list_account_aliases()["AccountAliases"], ["our-lab"])
    iam.delete_account_alias(AccountAlias="our-lab")
    equal(iam.get_account_summary()["SummaryMap"]["AccessKeysPerUserQuota"], 2)


@case
def keys():
    iam.create_user(UserName="k-user")
    session, _, _ = clients("k-user")
    who = session.client("sts")
    equal(who.get_caller_identity()["Arn"], f"arn:aws:iam::{ACCOUNT}:user/k-user")
    key = session.get_credentials().access_key
    equal([k["AccessKeyId"] for k in iam.list_access_keys(UserName="k-user")["AccessKeyMetadata"]], [key])
    second = iam.create_access_key(UserName="k-user")["AccessKey"]["AccessKeyId"]
    refused("LimitExceeded", iam.create_access_key, UserName="k-user")
    iam.delete_access_key(UserName="k-user", AccessKeyId=second)
    contains(refused("AccessDenied", session.client("iam").list_users), "user/k-user is not authorized to perform: iam:ListUsers")
    iam.update_access_key(UserName="k-user", AccessKeyId=key, Status="Inactive")
    refused("InvalidClientTokenId", who.get_caller_identity)
    iam.update_access_key(UserName="k-user", AccessKeyId=key, Status="Active")
    who.get_caller_identity()
    iam.delete_access_key(UserName="k-user", AccessKeyId=key)
    refused("InvalidClientTokenId", who.get_caller_identity)
    iam.delete_user(UserName="k-user")


@case
def the_seed_policy_lets_exactly_invoke_and_list_through():
    iam.create_user(UserName="seed")
    _, bedrock, runtime = clients("seed")
    contains(refused("AccessDeniedException", invoke, runtime), "user/seed is not authorized to perform: bedrock:InvokeModel")
    arn = iam.create_policy(PolicyName="seed-policy", PolicyDocument=json.dumps(SEED))["Policy"]["Arn"]
    iam.attach_user_policy(UserName="seed", PolicyArn=arn)
    assert invoke(runtime)["completion"]
    assert invoke(runtime, HAIKU)["content"]
    assert bedrock.list_foundation_models()["modelSummaries"]
    body = json.dumps({"prompt": "\n\nHuman: Hi\n\nAssistant:", "max_tokens_to_sample": 4})
    contains(
        refused("AccessDeniedException", runtime.invoke_model_with_response_stream, modelId=CLAUDE, body=body),
        f"foundation-model/{CLAUDE} because no identity-based policy allows the bedrock:InvokeModelWithResponseStream action",
    )
    hello = [{"role": "user", "content": [{"text": "Hi"}]}]
    refused("AccessDeniedException", runtime.converse_stream, modelId=CLAUDE, messages=hello)
    runtime.converse(modelId=CLAUDE, messages=hello, inferenceConfig={"maxTokens": 4})
    refused("AccessDeniedException", bedrock.get_foundation_model, modelIdentifier=CLAUDE)
    refused("AccessDeniedException", bedrock.list_inference_profiles)
    refused("AccessDeniedException", bedrock.create_inference_profile, inferenceProfileName="x", modelSource={"copyFrom": f"arn:aws:bedrock:us-east-1::foundation-model/{CLAUDE}"})

    # Narrowed to one model, it refuses the others, and the very next call knows.
    narrow = json.loads(json.dumps(SEED))
    narrow["Statement"][0]["Resource"] = f"arn:aws:bedrock:*::foundation-model/{CLAUDE}"
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(narrow), SetAsDefault=True)
    assert invoke(runtime)["completion"]
    contains(refused("AccessDeniedException", invoke, runtime, HAIKU), f"foundation-model/{HAIKU}")
    iam.detach_user_policy(UserName="seed", PolicyArn=arn)
    refused("AccessDeniedException", invoke, runtime)


@case
def a_change_counts_for_the_next_call():
    iam.create_user(UserName="next")
    _, bedrock, _ = clients("next")
    slowest = 0.0
    for _ in range(5):
        iam.put_user_policy(UserName="next", PolicyName="p", PolicyDocument=allow("bedrock:ListInferenceProfiles"))
        begin = time.monotonic()
        bedrock.list_inference_profiles()
        iam.delete_user_policy(UserName="next", PolicyName="p")
        refused("AccessDeniedException", bedrock.list_inference_profiles)
        slowest = max(slowest, time.monotonic() - begin)
    return f"the slowest of 5 changes to and fro took {slowest:.3f} s"


main()
