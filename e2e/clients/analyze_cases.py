"""boto3's accessanalyzer, unchanged, against the server: analyzers and their
findings, checks of policies, and policies made from activity. It runs as the root
of the account."""

import json

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from cases import case, contains, equal, main, raises

CLAUDE = "anthropic.claude-v2"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"

once = Config(retries={"total_max_attempts": 1})
analyzer = boto3.client("accessanalyzer", config=once)
iam = boto3.client("iam", config=once)
ACCOUNT = boto3.client("sts").get_caller_identity()["Account"]
REGION = analyzer.meta.region_name
OUTSIDE = "outside"
IDLE = "idle"


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def trust(principal, **more):
    return policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more})


OWN = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


def refused(code, function, *args, **kwargs):
    error = raises(ClientError, function, *args, **kwargs)
    equal(error.response["Error"]["Code"], code)
    return error.response


def session(user):
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return boto3.Session(aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])


def own(method, path, body=None, of=boto3.Session()):
    """A call of Outcrop's own API, signed as botocore signs: status and answer."""
    data = json.dumps(body) if body is not None else None
    headers = {"Content-Type": "application/json"} if data else {}
    request = AWSRequest(method=method, url=analyzer.meta.endpoint_url + path, data=data, headers=headers)
    SigV4Auth(of.get_credentials().get_frozen_credentials(), "outcrop", REGION).add_auth(request)
    response = URLLib3Session().send(request.prepare())
    return response.status_code, json.loads(response.text)


def invoke(of, model=CLAUDE):
    body = {"prompt": "\n\nHuman: Hi\n\nAssistant:", "max_tokens_to_sample": 4}
    if model == HAIKU:
        body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 4, "messages": [{"role": "user", "content": "Hi"}]}
    of.client("bedrock-runtime", config=once).invoke_model(modelId=model, body=json.dumps(body))


@case
def analyzers():
    arn = analyzer.create_analyzer(analyzerName=OUTSIDE, type="ACCOUNT", tags={"team": "security"})["arn"]
    equal(arn, f"arn:aws:access-analyzer:{REGION}:{ACCOUNT}:analyzer/{OUTSIDE}")
    error = refused("ConflictException", analyzer.create_analyzer, analyzerName=OUTSIDE, type="ACCOUNT")
    equal((error["resourceId"], error["resourceType"]), (OUTSIDE, "Analyzer"))
    refused("ServiceQuotaExceededException", analyzer.create_analyzer, analyzerName="second", type="ACCOUNT")
    refused("ValidationException", analyzer.create_analyzer, analyzerName="org", type="ORGANIZATION")
    unused = {"unusedAccess": {"unusedAccessAge": 30}}
    refused("ValidationException", analyzer.create_analyzer, analyzerName=IDLE, type="ACCOUNT_UNUSED_ACCESS", configuration={"unusedAccess": {"unusedAccessAge": 366}})
    idle = analyzer.create_analyzer(analyzerName=IDLE, type="ACCOUNT_UNUSED_ACCESS", configuration=unused)["arn"]
    got = analyzer.get_analyzer(analyzerName=IDLE)["analyzer"]
    equal((got["arn"], got["status"], got["configuration"]), (idle, "ACTIVE", unused))
    equal([a["name"] for a in analyzer.list_analyzers()["analyzers"]], [IDLE, OUTSIDE])
    equal([a["name"] for a in analyzer.list_analyzers(type="ACCOUNT")["analyzers"]], [OUTSIDE])
    pages = analyzer.get_paginator("list_analyzers").paginate(PaginationConfig={"PageSize": 1})
    equal([a["name"] for page in pages for a in page["analyzers"]], [IDLE, OUTSIDE])
    changed = {"unusedAccess": {"unusedAccessAge": 60}}
    equal(analyzer.update_analyzer(analyzerName=IDLE, configuration=changed)["configuration"], changed)
    analyzer.tag_resource(resourceArn=arn, tags={"stage": "dev"})
    analyzer.untag_resource(resourceArn=arn, tagKeys=["team"])
    equal(analyzer.list_tags_for_resource(resourceArn=arn)["tags"], {"stage": "dev"})
    error = refused("ResourceNotFoundException", analyzer.get_analyzer, analyzerName="nothing")
    equal(error["resourceId"], "nothing")
    # Nobody used anything for 60 days, since nothing is that old.
    equal(analyzer.list_findings_v2(analyzerArn=idle)["findings"], [])


@case
def external_access():
    arn = analyzer.get_analyzer(analyzerName=OUTSIDE)["analyzer"]["arn"]
    for name, principal in {"own": OWN, "partner": {"AWS": "444455556666"}, "everybody": "*"}.items():
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(principal, Condition={"StringEquals": {"sts:ExternalId": "secret"}}))
    pages = analyzer.get_paginator("list_findings_v2").paginate(analyzerArn=arn, sort={"attributeName": "resource"}, PaginationConfig={"PageSize": 1})
    found = [f for page in pages for f in page["findings"]]
    equal([f["resource"].split("/")[1] for f in found], ["everybody", "partner"])
    equal({(f["findingType"], f["status"], f["resourceType"], f["resourceOwnerAccount"]) for f in found}, {("ExternalAccess", "ACTIVE", "AWS::IAM::Role", ACCOUNT)})
    details = analyzer.get_finding_v2(analyzerArn=arn, id=found[1]["id"])["findingDetails"][0]["externalAccessDetails"]
    equal((details["principal"], details["isPublic"], details["action"]), ({"AWS": "444455556666"}, False, ["sts:AssumeRole"]))
    equal(details["condition"], {"sts:ExternalId": "secret"})
    public = analyzer.list_findings_v2(analyzerArn=arn, filter={"isPublic": {"eq": ["true"]}})["findings"]
    equal([f["id"] for f in public], [found[0]["id"]])
    iam.update_assume_role_policy(RoleName="partner", PolicyDocument=trust(OWN))
    refused("ResourceNotFoundException", analyzer.get_finding_v2, analyzerArn=arn, id=found[1]["id"])
    iam.delete_role(RoleName="everybody")
    equal(analyzer.list_findings_v2(analyzerArn=arn)["findings"], [])


@case
def resource_policies():
    arn = analyzer.get_analyzer(analyzerName=OUTSIDE)["analyzer"]["arn"]
    bedrock = boto3.client("bedrock", config=once)
    model = f"arn:aws:bedrock:{REGION}::foundation-model/{CLAUDE}"
    statement = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::444455556666:root"}, "Action": "bedrock:InvokeModel", "Resource": model}
    bedrock.put_resource_policy(resourceArn=model, resourcePolicy=policy(statement))
    found = analyzer.list_findings_v2(analyzerArn=arn, filter={"resource": {"contains": ["foundation-model"]}})["findings"]
    equal([(f["resource"], f["resourceType"]) for f in found], [(model, "AWS::Bedrock::FoundationModel")])
    bedrock.delete_resource_policy(resourceArn=model)
    equal(analyzer.list_findings_v2(analyzerArn=arn)["findings"], [])


@case
def validate_policy():
    text = policy(allow(["bedrock:InvokeModle", "bedrock:InvokeModel"], "arn:aws:bedrock:*::foundation-model/*"), allow("*"))
    findings = analyzer.validate_policy(policyDocument=text, policyType="IDENTITY_POLICY")["findings"]
    equal([(f["findingType"], f["issueCode"]) for f in findings], [("ERROR", "INVALID_ACTION"), ("SECURITY_WARNING", "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE")])
    location = findings[0]["locations"][0]
    equal(location["path"], [{"value": "Statement"}, {"index": 0}, {"value": "Action"}, {"index": 0}])
    equal(text[location["span"]["start"]["offset"] : location["span"]["end"]["offset"]], '"bedrock:InvokeModle"')
    equal(analyzer.validate_policy(policyDocument="{", policyType="IDENTITY_POLICY")["findings"][0]["issueCode"], "JSON_SYNTAX_ERROR")
    equal(analyzer.validate_policy(policyDocument=json.dumps({"Statement": allow("bedrock:InvokeModel")}), policyType="IDENTITY_POLICY")["findings"][0]["issueCode"], "MISSING_VERSION")
    equal(analyzer.validate_policy(policyDocument=policy(allow("bedrock:InvokeModel")), policyType="IDENTITY_POLICY")["findings"], [])
    equal(analyzer.validate_policy(policyDocument=trust(OWN), policyType="RESOURCE_POLICY", validatePolicyResourceType="AWS::IAM::AssumeRolePolicyDocument")["findings"], [])


@case
def checks():
    narrow, wide = policy(allow("bedrock:InvokeModel")), policy(allow("bedrock:Invoke*"))
    same = analyzer.check_no_new_access(newPolicyDocument=narrow, existingPolicyDocument=wide, policyType="IDENTITY_POLICY")
    equal((same["result"], same["reasons"]), ("PASS", []))
    more = analyzer.check_no_new_access(newPolicyDocument=wide, existingPolicyDocument=narrow, policyType="IDENTITY_POLICY")
    equal((more["result"], more["reasons"][0]["statementIndex"]), ("FAIL", 0))
    contains(more["reasons"][0]["description"], "bedrock:Invoke*")
    stream = [{"actions": ["bedrock:InvokeModelWithResponseStream"]}]
    equal(analyzer.check_access_not_granted(policyDocument=narrow, access=stream, policyType="IDENTITY_POLICY")["result"], "PASS")
    equal(analyzer.check_access_not_granted(policyDocument=wide, access=stream, policyType="IDENTITY_POLICY")["result"], "FAIL")
    role = "AWS::IAM::AssumeRolePolicyDocument"
    equal(analyzer.check_no_public_access(policyDocument=trust(OWN), resourceType=role)["result"], "PASS")
    equal(analyzer.check_no_public_access(policyDocument=trust("*"), resourceType=role)["result"], "FAIL")
    error = refused("InvalidParameterException", analyzer.check_no_public_access, policyDocument=narrow, resourceType=role)
    contains(error["Error"]["Message"], "policyDocument", "Principal")


@case
def generated_policy():
    """What a user did becomes the user's policy: all of it works, and no more."""
    iam.create_user(UserName="worker")
    iam.attach_user_policy(UserName="worker", PolicyArn="arn:aws:iam::aws:policy/AmazonBedrockFullAccess")
    worker = session("worker")
    bedrock = worker.client("bedrock", config=once)
    invoke(worker)
    bedrock.list_foundation_models()
    refused("AccessDenied", worker.client("iam", config=once).list_users)
    arn = f"arn:aws:iam::{ACCOUNT}:user/worker"
    job = analyzer.start_policy_generation(policyGenerationDetails={"principalArn": arn})["jobId"]
    made = analyzer.get_generated_policy(jobId=job)
    equal((made["jobDetails"]["status"], made["generatedPolicyResult"]["properties"]["principalArn"]), ("SUCCEEDED", arn))
    text = made["generatedPolicyResult"]["generatedPolicies"][0]["policy"]
    equal(sorted(a for s in json.loads(text)["Statement"] for a in s["Action"]), ["bedrock:InvokeModel", "bedrock:ListFoundationModels"])
    contains(text, f"arn:aws:bedrock:{REGION}::foundation-model/{CLAUDE}")
    equal(analyzer.validate_policy(policyDocument=text, policyType="IDENTITY_POLICY")["findings"], [])
    equal([g["jobId"] for g in analyzer.list_policy_generations(principalArn=arn)["policyGenerations"]], [job])
    iam.detach_user_policy(UserName="worker", PolicyArn="arn:aws:iam::aws:policy/AmazonBedrockFullAccess")
    iam.put_user_policy(UserName="worker", PolicyName="used", PolicyDocument=text)
    invoke(worker)
    bedrock.list_foundation_models()
    refused("AccessDeniedException", invoke, worker, HAIKU)
    refused("AccessDeniedException", bedrock.get_foundation_model, modelIdentifier=CLAUDE)
    refused("AccessDeniedException", bedrock.list_inference_profiles)
    error = refused("ValidationException", analyzer.start_policy_generation, policyGenerationDetails={"principalArn": arn + "x"})
    equal(error["reason"], "fieldValidationFailed")


@case
def permissions():
    """Each operation needs its permission, on the analyzer and by its tags."""
    iam.create_user(UserName="auditor")
    statement = allow(["access-analyzer:Get*", "access-analyzer:List*"], Condition={"StringEquals": {"aws:ResourceTag/stage": "dev"}})
    iam.put_user_policy(UserName="auditor", PolicyName="read", PolicyDocument=policy(statement))
    auditor = session("auditor").client("accessanalyzer", config=once)
    auditor.get_analyzer(analyzerName=OUTSIDE)
    arn = f"arn:aws:access-analyzer:{REGION}:{ACCOUNT}:analyzer/{OUTSIDE}"
    auditor.list_findings_v2(analyzerArn=arn)
    refused("AccessDeniedException", auditor.get_analyzer, analyzerName=IDLE)
    error = refused("AccessDeniedException", auditor.delete_analyzer, analyzerName=OUTSIDE)
    contains(error["Error"]["Message"], "access-analyzer:DeleteAnalyzer", arn)
    refused("AccessDeniedException", auditor.validate_policy, policyDocument="{}", policyType="IDENTITY_POLICY")
    refused("AccessDeniedException", auditor.create_analyzer, analyzerName="x", type="ACCOUNT")


@case
def ready_roles():
    """A role of a template is one that its principal can assume, and no other."""
    status, templates = own("GET", "/outcrop/role-templates")
    names = [t["templateName"] for t in templates["roleTemplates"]]
    equal((status, names), (200, ["MLEngineer", "DataScientist", "ApplicationDeveloper", "Operations"]))
    for name in ("dev", "nobody"):
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="assume", PolicyDocument=policy(allow(["sts:AssumeRole", "outcrop:*"])))
    dev, nobody = session("dev"), session("nobody")
    body = {"roleName": "chat", "trustedPrincipal": f"arn:aws:iam::{ACCOUNT}:user/dev"}
    path = "/outcrop/role-templates/ApplicationDeveloper/roles"
    status, error = own("POST", path, body, of=nobody)
    equal(status, 403)
    contains(error["message"], "iam:CreateRole", ":role/chat")
    status, made = own("POST", path, body)
    equal((status, made["roleArn"]), (201, f"arn:aws:iam::{ACCOUNT}:role/chat"))
    equal(own("POST", path, body)[0], 409)
    equal(own("POST", "/outcrop/role-templates/King/roles", body)[0], 404)
    refused("AccessDenied", nobody.client("sts", config=once).assume_role, RoleArn=made["roleArn"], RoleSessionName="chat")
    c = dev.client("sts", config=once).assume_role(RoleArn=made["roleArn"], RoleSessionName="chat")["Credentials"]
    chat = boto3.Session(aws_access_key_id=c["AccessKeyId"], aws_secret_access_key=c["SecretAccessKey"], aws_session_token=c["SessionToken"])
    invoke(chat)
    refused("AccessDenied", chat.client("iam", config=once).list_users)


@case
def model_access():
    """Nobody of this account had to accept anything, so there is nothing to approve."""
    equal(own("GET", f"/outcrop/accounts/{ACCOUNT}/model-access"), (200, {"models": []}))
    status, error = own("POST", f"/outcrop/accounts/444455556666/model-access/{HAIKU}/approve")
    equal(status, 404)
    contains(error["message"], "CreateFoundationModelAgreement")


@case
def deleted():
    for name in (OUTSIDE, IDLE):
        analyzer.delete_analyzer(analyzerName=name)
        refused("ResourceNotFoundException", analyzer.delete_analyzer, analyzerName=name)
    equal(analyzer.list_analyzers()["analyzers"], [])


main()
