"""boto3's organizations, and what IAM keeps beside users and roles, unchanged,
against the server: the tree of accounts and its policies, MFA devices, bearer
keys of users, reports, simulations and identity providers. It runs as the root
of the management account.

MEMBER_KEY, MEMBER_SECRET and MEMBER: the root key of another account, which
`outcrop accounts create` made, and its number.
"""

import base64
import csv
import hashlib
import hmac
import json
import os
import struct
import subprocess
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from cases import case, contains, equal, main, raises

TITAN = "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-text-lite-v1"
CLAUDE = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2"
READ_ONLY = "arn:aws:iam::aws:policy/AmazonBedrockReadOnly"
SCP = "SERVICE_CONTROL_POLICY"
ONCE = Config(retries={"total_max_attempts": 1})

iam = boto3.client("iam")
sts = boto3.client("sts")
org = boto3.client("organizations")
ACCOUNT = sts.get_caller_identity()["Account"]
MEMBER = os.environ["MEMBER"]
member = boto3.Session(aws_access_key_id=os.environ["MEMBER_KEY"], aws_secret_access_key=os.environ["MEMBER_SECRET"])


def policy(action, effect="Allow", resource="*", **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": action, "Resource": resource, **more}]})


def refused(code, function, *args, **kwargs):
    """Calls the function, which must fail so; returns the whole answer."""
    error = raises(ClientError, function, *args, **kwargs)
    equal(error.response["Error"]["Code"], code)
    return error.response


def may(session):
    """Whether a session may list models."""
    try:
        session.client("bedrock", config=ONCE).list_foundation_models()
        return "yes"
    except ClientError as error:
        equal(error.response["Error"]["Code"], "AccessDeniedException")
        return error.response["Error"]["Message"]


def user(name, text):
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=text)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return boto3.Session(aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])


def code(seed, at):
    """The one-time code of a moment: RFC 6238, SHA-1, six digits."""
    mac = hmac.digest(base64.b32decode(seed), struct.pack(">Q", int(at) // 30), hashlib.sha1)
    start = mac[19] & 15
    return f"{(struct.unpack('>I', mac[start:start + 4])[0] & 0x7FFFFFFF) % 10**6:06d}"


@case
def the_organization():
    found = org.describe_organization()["Organization"]
    equal((found["MasterAccountId"], found["FeatureSet"]), (ACCOUNT, "ALL"))
    refused("AlreadyInOrganizationException", org.create_organization, FeatureSet="ALL")
    (root,) = org.list_roots()["Roots"]
    equal(root["PolicyTypes"], [{"Type": SCP, "Status": "ENABLED"}])
    refused("PolicyTypeAlreadyEnabledException", org.enable_policy_type, RootId=root["Id"], PolicyType=SCP)
    # A member sees which organisation it is in, and nothing else.
    theirs = member.client("organizations")
    equal(theirs.describe_organization()["Organization"]["Id"], found["Id"])
    for call, arguments in (
        (theirs.list_accounts, {}),
        (theirs.list_roots, {}),
        (theirs.describe_account, {"AccountId": ACCOUNT}),
        (theirs.create_account, {"Email": "x@example.com", "AccountName": "x"}),
        (theirs.leave_organization, {}),
    ):
        error = raises(ClientError, call, **arguments).response
        assert error["Error"]["Code"] in ("AccessDeniedException", "NotImplementedException"), error


@case
def units_and_accounts():
    root = org.list_roots()["Roots"][0]["Id"]
    outer = org.create_organizational_unit(ParentId=root, Name="Workloads", Tags=[{"Key": "team", "Value": "ml"}])["OrganizationalUnit"]
    inner = org.create_organizational_unit(ParentId=outer["Id"], Name="Prod")["OrganizationalUnit"]
    refused("DuplicateOrganizationalUnitException", org.create_organizational_unit, ParentId=root, Name="Workloads")
    refused("OrganizationalUnitNotEmptyException", org.delete_organizational_unit, OrganizationalUnitId=outer["Id"])
    equal(org.list_tags_for_resource(ResourceId=outer["Id"])["Tags"], [{"Key": "team", "Value": "ml"}])
    made = org.create_account(Email="prod@example.com", AccountName="prod")["CreateAccountStatus"]
    equal(made["State"], "SUCCEEDED")
    equal(org.describe_create_account_status(CreateAccountRequestId=made["Id"])["CreateAccountStatus"]["AccountId"], made["AccountId"])
    twice = org.create_account(Email="prod@example.com", AccountName="again")["CreateAccountStatus"]
    equal((twice["State"], twice["FailureReason"]), ("FAILED", "EMAIL_ALREADY_EXISTS"))
    equal([s["Id"] for s in org.list_create_account_status(States=["FAILED"])["CreateAccountStatuses"]], [twice["Id"]])
    account = made["AccountId"]
    org.move_account(AccountId=account, SourceParentId=root, DestinationParentId=inner["Id"])
    refused("DuplicateAccountException", org.move_account, AccountId=account, SourceParentId=inner["Id"], DestinationParentId=inner["Id"])
    refused("SourceParentNotFoundException", org.move_account, AccountId=account, SourceParentId=root, DestinationParentId=outer["Id"])
    equal(org.list_parents(ChildId=account)["Parents"], [{"Id": inner["Id"], "Type": "ORGANIZATIONAL_UNIT"}])
    equal(org.list_children(ParentId=outer["Id"], ChildType="ORGANIZATIONAL_UNIT")["Children"], [{"Id": inner["Id"], "Type": "ORGANIZATIONAL_UNIT"}])
    equal([a["Name"] for a in org.list_accounts_for_parent(ParentId=inner["Id"])["Accounts"]], ["prod"])
    org.update_organizational_unit(OrganizationalUnitId=inner["Id"], Name="Production")
    equal(org.describe_organizational_unit(OrganizationalUnitId=inner["Id"])["OrganizationalUnit"]["Name"], "Production")
    deep = inner["Id"]
    for name in "345":
        deep = org.create_organizational_unit(ParentId=deep, Name=name)["OrganizationalUnit"]["Id"]
    error = refused("ConstraintViolationException", org.create_organizational_unit, ParentId=deep, Name="6")
    equal(error["Reason"], "OU_DEPTH_LIMIT_EXCEEDED")
    pages = list(org.get_paginator("list_accounts").paginate(PaginationConfig={"PageSize": 2}))
    assert {ACCOUNT, MEMBER, account} <= {a["Id"] for p in pages for a in p["Accounts"]} and len(pages) > 1, pages
    org.close_account(AccountId=account)
    equal(org.describe_account(AccountId=account)["Account"]["Status"], "SUSPENDED")


@case
def service_control_policies():
    root = org.list_roots()["Roots"][0]["Id"]
    equal([p["Id"] for p in org.list_policies_for_target(TargetId=MEMBER, Filter=SCP)["Policies"]], ["p-FullAWSAccess"])
    equal(may(member), "yes")
    made = org.create_policy(Name="no-bedrock", Description="", Type=SCP, Content=policy("bedrock:*", "Deny"))["Policy"]["PolicySummary"]
    unit = org.create_organizational_unit(ParentId=root, Name="Locked")["OrganizationalUnit"]["Id"]
    org.attach_policy(PolicyId=made["Id"], TargetId=unit)
    org.move_account(AccountId=MEMBER, SourceParentId=root, DestinationParentId=unit)
    contains(may(member), "explicit deny in a service control policy")  # even the root
    equal(may(boto3), "yes")  # the management account is never bound
    equal([(t["TargetId"], t["Type"]) for t in org.list_targets_for_policy(PolicyId=made["Id"])["Targets"]], [(unit, "ORGANIZATIONAL_UNIT")])
    refused("PolicyInUseException", org.delete_policy, PolicyId=made["Id"])
    org.update_policy(PolicyId=made["Id"], Content=policy("bedrock:*", "Deny", Condition={"StringNotEquals": {"aws:RequestedRegion": "us-east-1"}}))
    equal(may(member), "yes")
    contains(may(boto3.Session(member.get_credentials().access_key, member.get_credentials().secret_key, region_name="eu-west-1")), "service control policy")
    org.detach_policy(PolicyId=made["Id"], TargetId=unit)
    # A level without an allow lets nothing through.
    only = org.create_policy(Name="iam-only", Description="", Type=SCP, Content=policy("iam:*"))["Policy"]["PolicySummary"]["Id"]
    org.attach_policy(PolicyId=only, TargetId=unit)
    org.detach_policy(PolicyId="p-FullAWSAccess", TargetId=unit)
    contains(may(member), "no service control policy allows")
    error = refused("ConstraintViolationException", org.detach_policy, PolicyId=only, TargetId=unit)
    equal(error["Reason"], "MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED")
    org.move_account(AccountId=MEMBER, SourceParentId=unit, DestinationParentId=root)
    equal(may(member), "yes")
    org.delete_policy(PolicyId=made["Id"])
    refused("PolicyNotFoundException", org.describe_policy, PolicyId=made["Id"])
    equal(refused("InvalidInputException", org.delete_policy, PolicyId="p-FullAWSAccess")["Reason"], "IMMUTABLE_POLICY")
    contains(refused("MalformedPolicyDocumentException", org.create_policy, Name="bad", Description="", Type=SCP, Content=policy("bedrock:*", "Forbid"))["Error"]["Message"], "Statement 1")
    refused("PolicyTypeNotAvailableForOrganizationException", org.create_policy, Name="tags", Description="", Type="TAG_POLICY", Content="{}")


@case
def the_management_account_reaches_its_members():
    admin = user("org-admin", policy("sts:AssumeRole"))
    arn = f"arn:aws:iam::{MEMBER}:role/OrganizationAccountAccessRole"
    given = admin.client("sts").assume_role(RoleArn=arn, RoleSessionName="admin")["Credentials"]
    inside = boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    equal(inside.client("sts").get_caller_identity()["Account"], MEMBER)
    inside.client("iam").create_user(UserName="made-from-outside")
    equal([u["UserName"] for u in member.client("iam").list_users()["Users"]], ["made-from-outside"])
    refused("NoSuchEntity", iam.get_user, UserName="made-from-outside")
    contains(may(inside), "yes")


@case
def mfa_devices():
    iam.create_user(UserName="dev")
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName="phone")["VirtualMFADevice"]
    seed, serial = made["Base32StringSeed"], made["SerialNumber"]
    equal(serial, f"arn:aws:iam::{ACCOUNT}:mfa/phone")
    equal(made["QRCodePNG"][:8], b"\x89PNG\r\n\x1a\n")
    equal(iam.list_virtual_mfa_devices(AssignmentStatus="Unassigned")["VirtualMFADevices"], [{"SerialNumber": serial}])
    now = time.time()
    pair = dict(AuthenticationCode1=code(seed, now - 30), AuthenticationCode2=code(seed, now))
    refused("InvalidAuthenticationCode", iam.enable_mfa_device, UserName="dev", SerialNumber=serial, AuthenticationCode1="000000", AuthenticationCode2="000001")
    iam.enable_mfa_device(UserName="dev", SerialNumber=serial, **pair)
    refused("EntityAlreadyExists", iam.enable_mfa_device, UserName="dev", SerialNumber=serial, **pair)
    equal([d["SerialNumber"] for d in iam.list_mfa_devices(UserName="dev")["MFADevices"]], [serial])
    equal(iam.get_mfa_device(SerialNumber=serial, UserName="dev")["UserName"], "dev")
    refused("InvalidAuthenticationCode", iam.resync_mfa_device, UserName="dev", SerialNumber=serial, **pair)  # used up
    iam.resync_mfa_device(UserName="dev", SerialNumber=serial, AuthenticationCode1=code(seed, now + 240), AuthenticationCode2=code(seed, now + 270))
    refused("DeleteConflict", iam.delete_user, UserName="dev")
    refused("DeleteConflict", iam.delete_virtual_mfa_device, SerialNumber=serial)
    iam.deactivate_mfa_device(UserName="dev", SerialNumber=serial)
    iam.delete_virtual_mfa_device(SerialNumber=serial)
    refused("NoSuchEntity", iam.list_mfa_device_tags, SerialNumber=serial)
    iam.delete_user(UserName="dev")


ASK = """
import boto3
from botocore.exceptions import ClientError
try:
    boto3.client("bedrock").list_foundation_models()
    print("yes")
except ClientError as e:
    print(e.response["Error"]["Code"], e.response["Error"]["Message"])
"""


def with_bearer(key):
    """What a program with nothing but a bearer key is told."""
    env = {k: v for k, v in os.environ.items() if k not in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")}
    return subprocess.run([sys.executable, "-c", ASK], env={**env, "AWS_BEARER_TOKEN_BEDROCK": key}, capture_output=True, text=True, check=True).stdout.strip()


@case
def long_term_bedrock_keys():
    iam.create_user(UserName="bearer")
    wanted = dict(UserName="bearer", ServiceName="bedrock.amazonaws.com")
    made = iam.create_service_specific_credential(CredentialAgeDays=30, **wanted)["ServiceSpecificCredential"]
    key, name = made["ServiceCredentialSecret"], made["ServiceSpecificCredentialId"]
    equal((key[:4], name[:4], made["Status"], made["ServiceCredentialAlias"]), ("ABSK", "ACCA", "Active", f"bearer-at-{ACCOUNT}"))
    equal((made["ExpirationDate"] - made["CreateDate"]).days, 30)
    contains(with_bearer(key), "AccessDeniedException", "bedrock:CallWithBearerToken")  # no policy yet
    iam.put_user_policy(UserName="bearer", PolicyName="use", PolicyDocument=policy(["bedrock:CallWithBearerToken", "bedrock:ListFoundationModels"]))
    equal(with_bearer(key), "yes")
    iam.update_service_specific_credential(UserName="bearer", ServiceSpecificCredentialId=name, Status="Inactive")
    contains(with_bearer(key), "Authentication failed")
    iam.update_service_specific_credential(UserName="bearer", ServiceSpecificCredentialId=name, Status="Active")
    again = iam.reset_service_specific_credential(UserName="bearer", ServiceSpecificCredentialId=name)["ServiceSpecificCredential"]
    equal(again["ServiceSpecificCredentialId"], name)
    contains(with_bearer(key), "Authentication failed")
    equal(with_bearer(again["ServiceCredentialSecret"]), "yes")
    iam.create_service_specific_credential(**wanted)
    refused("LimitExceeded", iam.create_service_specific_credential, **wanted)
    refused("NotSupportedService", iam.create_service_specific_credential, UserName="bearer", ServiceName="codecommit.amazonaws.com")
    listed = iam.list_service_specific_credentials(UserName="bearer")["ServiceSpecificCredentials"]
    equal([c["ServiceSpecificCredentialId"] == name for c in listed], [False, True] if listed[0]["ServiceSpecificCredentialId"] != name else [True, False])
    iam.put_user_policy(UserName="bearer", PolicyName="short-only", PolicyDocument=policy(
        "bedrock:CallWithBearerToken", "Deny", Condition={"StringEquals": {"bedrock:BearerTokenType": "LONG_TERM"}}))
    contains(with_bearer(again["ServiceCredentialSecret"]), "explicit deny")
    for c in listed:
        iam.delete_service_specific_credential(UserName="bearer", ServiceSpecificCredentialId=c["ServiceSpecificCredentialId"])
    contains(with_bearer(again["ServiceCredentialSecret"]), "Authentication failed")
    # An organisation, or a policy, may forbid keys without an end.
    boss = user("key-admin", policy("iam:*"))
    iam.put_user_policy(UserName="key-admin", PolicyName="bound", PolicyDocument=policy(
        "iam:CreateServiceSpecificCredential", "Deny", Condition={"NumericGreaterThan": {"iam:ServiceSpecificCredentialAgeDays": "90"}}))
    refused("AccessDenied", boss.client("iam").create_service_specific_credential, CredentialAgeDays=91, **wanted)
    boss.client("iam").create_service_specific_credential(CredentialAgeDays=90, **wanted)


@case
def credential_report():
    someone = user("reported", policy("bedrock:ListFoundationModels"))
    equal(may(someone), "yes")
    refused("ReportNotPresent", iam.get_credential_report)
    while iam.generate_credential_report()["State"] != "COMPLETE":
        pass
    report = iam.get_credential_report()
    equal(report["ReportFormat"], "text/csv")
    rows = {row["user"]: row for row in csv.DictReader(report["Content"].decode().splitlines())}
    equal(rows["<root_account>"]["password_enabled"], "not_supported")
    row = rows["reported"]
    equal((row["arn"], row["access_key_1_active"], row["access_key_2_active"], row["mfa_active"]), (f"arn:aws:iam::{ACCOUNT}:user/reported", "true", "false", "false"))
    equal((row["access_key_1_last_used_service"], row["access_key_1_last_used_region"]), ("bedrock", "us-east-1"))
    refused("NoSuchEntity", iam.get_account_password_policy)


@case
def last_accessed():
    someone = user("accessed", policy(["bedrock:ListFoundationModels", "bedrock:ListGuardrails", "s3:GetObject"]))
    equal(may(someone), "yes")
    arn = f"arn:aws:iam::{ACCOUNT}:user/accessed"
    job = iam.generate_service_last_accessed_details(Arn=arn, Granularity="ACTION_LEVEL")["JobId"]
    details = iam.get_service_last_accessed_details(JobId=job)
    equal((details["JobStatus"], details["JobType"]), ("COMPLETED", "ACTION_LEVEL"))
    services = {s["ServiceNamespace"]: s for s in details["ServicesLastAccessed"]}
    equal(sorted(services), ["bedrock", "s3"])
    equal(services["bedrock"]["LastAuthenticatedEntity"], arn)
    assert "LastAuthenticated" not in services["s3"], services["s3"]
    used = {a["ActionName"]: "LastAccessedTime" in a for a in services["bedrock"]["TrackedActionsLastAccessed"]}
    equal(used, {"ListFoundationModels": True, "ListGuardrails": False})
    entities = iam.get_service_last_accessed_details_with_entities(JobId=job, ServiceNamespace="bedrock")["EntityDetailsList"]
    equal([e["EntityInfo"]["Name"] for e in entities], ["accessed"])
    granting = iam.list_policies_granting_service_access(Arn=arn, ServiceNamespaces=["bedrock", "ec2"])["PoliciesGrantingServiceAccess"]
    equal([[p["PolicyName"] for p in g["Policies"]] for g in granting], [["rights"], []])
    refused("NoSuchEntity", member.client("iam").get_service_last_accessed_details, JobId=job)


@case
def simulations():
    def results(answer):
        return [(r["EvalActionName"], r["EvalDecision"]) for r in answer["EvaluationResults"]]

    text = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": TITAN},
        {"Effect": "Deny", "Action": "bedrock:DeleteGuardrail", "Resource": "*"},
    ]}, indent=2)
    answer = iam.simulate_custom_policy(PolicyInputList=[text], ActionNames=["bedrock:InvokeModel", "bedrock:DeleteGuardrail"], ResourceArns=[TITAN])
    equal(results(answer), [("bedrock:InvokeModel", "allowed"), ("bedrock:DeleteGuardrail", "explicitDeny")])
    statement = answer["EvaluationResults"][1]["MatchedStatements"][0]
    equal((statement["SourcePolicyId"], statement["StartPosition"]["Line"], statement["EndPosition"]["Line"]), ("PolicyInputList.1", 8, 13))
    iam.create_user(UserName="simulated")
    iam.put_user_policy(UserName="simulated", PolicyName="rights", PolicyDocument=text)
    iam.attach_user_policy(UserName="simulated", PolicyArn=READ_ONLY)
    source = f"arn:aws:iam::{ACCOUNT}:user/simulated"
    answer = iam.simulate_principal_policy(PolicySourceArn=source, ActionNames=["bedrock:InvokeModel"], ResourceArns=[TITAN, CLAUDE])
    equal({r["EvalResourceName"]: r["EvalResourceDecision"] for r in answer["EvaluationResults"][0]["ResourceSpecificResults"]}, {TITAN: "allowed", CLAUDE: "implicitDeny"})
    answer = iam.simulate_principal_policy(PolicySourceArn=source, ActionNames=["bedrock:ListFoundationModels", "bedrock:CreateGuardrail"])
    equal(results(answer), [("bedrock:ListFoundationModels", "allowed"), ("bedrock:CreateGuardrail", "implicitDeny")])
    mfa = policy("bedrock:*", Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}})
    answer = iam.simulate_custom_policy(PolicyInputList=[mfa], ActionNames=["bedrock:InvokeModel"])
    equal(answer["EvaluationResults"][0]["MissingContextValues"], ["aws:MultiFactorAuthPresent"])
    given = [{"ContextKeyName": "aws:MultiFactorAuthPresent", "ContextKeyType": "boolean", "ContextKeyValues": ["true"]}]
    equal(results(iam.simulate_custom_policy(PolicyInputList=[mfa], ActionNames=["bedrock:InvokeModel"], ContextEntries=given)), [("bedrock:InvokeModel", "allowed")])
    equal(iam.get_context_keys_for_custom_policy(PolicyInputList=[mfa])["ContextKeyNames"], ["aws:MultiFactorAuthPresent"])
    assert "aws:CalledViaLast" in iam.get_context_keys_for_principal_policy(PolicySourceArn=source)["ContextKeyNames"]
    contains(refused("InvalidInput", iam.simulate_custom_policy, PolicyInputList=["{"], ActionNames=["bedrock:InvokeModel"])["Error"]["Message"], "PolicyInputList.member.1")
    refused("NoSuchEntity", iam.simulate_principal_policy, PolicySourceArn=source + "s", ActionNames=["bedrock:InvokeModel"])


@case
def identity_providers():
    made = iam.create_open_id_connect_provider(Url="https://token.example.com/ci", ClientIDList=["sts.amazonaws.com"], ThumbprintList=["a" * 40], Tags=[{"Key": "team", "Value": "ml"}])
    arn = made["OpenIDConnectProviderArn"]
    equal(arn, f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.example.com/ci")
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="app")
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="sts.amazonaws.com")
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=["b" * 40])
    got = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    equal((got["Url"], got["ClientIDList"], got["ThumbprintList"]), ("token.example.com/ci", ["app"], ["b" * 40]))
    assert {"Arn": arn} in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    refused("EntityAlreadyExists", iam.create_open_id_connect_provider, Url="https://token.example.com/ci")
    refused("InvalidInput", iam.create_open_id_connect_provider, Url="http://token.example.com")
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    refused("NoSuchEntity", iam.get_open_id_connect_provider, OpenIDConnectProviderArn=arn)


@case
def service_linked_roles():
    made = iam.create_service_linked_role(AWSServiceName="bedrock.amazonaws.com")["Role"]
    equal(made["Path"], "/aws-service-role/bedrock.amazonaws.com/")
    refused("UnmodifiableEntity", iam.delete_role, RoleName=made["RoleName"])
    task = iam.delete_service_linked_role(RoleName=made["RoleName"])["DeletionTaskId"]
    equal(iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"], "SUCCEEDED")


main()
