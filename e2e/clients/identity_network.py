"""boto3, unchanged, through the doors of a server. It runs as the root of the
account, on the plain door of this machine.

PRIVATE, AUTHORITY, CERTIFICATE: a private endpoint vpce-0a1b2c3d that wants a
certificate of its clients, who signed its own, and such a certificate. Its policy
allows to invoke, to list and sts. OFFICE: a door for another network. PROXIED: the
port of a door that is reached as bedrock.example.com through a proxy.
"""

import json
import os
import socket

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError, SSLError

from cases import case, contains, equal, main, raises

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
ONCE = {"retries": {"total_max_attempts": 1}}
PRIVATE = dict(endpoint_url=os.environ["PRIVATE"], verify=os.environ["AUTHORITY"])
WITH = Config(client_cert=os.environ["CERTIFICATE"], **ONCE)

iam = boto3.client("iam")


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, **more):
    return {"Effect": "Allow", "Action": action, "Resource": "*", **more}


class User:
    def __init__(self, name):
        self.name = name
        iam.create_user(UserName=name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        self.session = boto3.Session(aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])

    def may(self, *statements):
        iam.put_user_policy(UserName=self.name, PolicyName="only", PolicyDocument=policy(*statements))

    def local(self):
        return self.session.client("bedrock-runtime", config=Config(**ONCE))

    def private(self):
        return self.session.client("bedrock-runtime", config=WITH, **PRIVATE)


def says(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except ClientError as error:
        equal(error.response["Error"]["Code"], "AccessDeniedException")
        return error.response["Error"]["Message"]
    return ""


def ask(runtime):
    return says(runtime.converse, modelId=HAIKU, messages=[{"role": "user", "content": [{"text": "Hello."}]}])


@case
def a_private_endpoint_wants_a_certificate():
    who = lambda config: boto3.client("sts", config=config, **PRIVATE).get_caller_identity()["Arn"]
    contains(who(WITH), ":root")
    # The alert about it, or a closed connection when the client wrote before it read.
    error = raises((SSLError, HTTPClientError), who, Config(**ONCE))
    untrusting = dict(PRIVATE, verify=True)
    raises(SSLError, boto3.client("sts", config=WITH, **untrusting).get_caller_identity)
    return str(error).splitlines()[0][:160]


@case
def policies_know_the_door():
    """One user, two doors: what each condition lets through."""
    ana = User("door-ana")
    local, private = ana.local(), ana.private()
    table = {}
    for name, condition in {
        "SourceVpce": {"StringEquals": {"aws:SourceVpce": "vpce-0a1b2c3d"}},
        "SourceVpce, another": {"StringEquals": {"aws:SourceVpce": "vpce-1"}},
        "SourceVpc": {"StringEquals": {"aws:SourceVpc": "vpc-0a1b2c3d"}},
        "SecureTransport": {"Bool": {"aws:SecureTransport": "true"}},
        "no SecureTransport": {"Bool": {"aws:SecureTransport": "false"}},
        "SourceIp": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}},
        "SourceIp, another": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        "VpcSourceIp": {"IpAddress": {"aws:VpcSourceIp": "127.0.0.0/8"}},
    }.items():
        ana.may(allow("bedrock:InvokeModel", Condition=condition))
        table[name] = ("-" if ask(local) else "local") + " " + ("-" if ask(private) else "private")
    equal(table, {
        "SourceVpce": "- private",
        "SourceVpce, another": "- -",
        "SourceVpc": "- private",
        "SecureTransport": "- private",
        "no SecureTransport": "local -",
        "SourceIp": "local -",  # a private endpoint has no public address
        "SourceIp, another": "- -",
        "VpcSourceIp": "- private",
    })
    return str(table)


@case
def an_endpoint_policy_binds_everybody():
    root = boto3.client("bedrock", config=WITH, **PRIVATE)
    equal(says(root.list_inference_profiles), "")
    contains(says(root.get_foundation_model, modelIdentifier=HAIKU), "no VPC endpoint policy allows the bedrock:GetFoundationModel action")
    equal(says(boto3.client("bedrock").get_foundation_model, modelIdentifier=HAIKU), "")
    ben = User("door-ben")
    contains(ask(ben.private()), "no identity-based policy allows")  # it gives nothing


@case
def who_is_not_on_the_list_is_cut_off():
    error = raises(ConnectionClosedError, boto3.client("sts", endpoint_url=os.environ["OFFICE"], config=Config(**ONCE)).get_caller_identity)
    return str(error).split(" from")[0]


def from_afar(client, **headers):
    """Adds headers as a proxy does: after the client has signed."""

    def add(request, **_):
        for name, value in headers.items():
            request.headers[name.replace("_", "-")] = value

    client.meta.events.register("before-send", add)
    return client


@case
def only_a_proxy_tells_where_a_call_is_from():
    cyd = User("door-cyd")
    name, port = "bedrock.example.com", int(os.environ["PROXIED"])
    find = socket.getaddrinfo  # the name leads to this machine, as DNS would say
    socket.getaddrinfo = lambda host, *a, **k: find("127.0.0.1" if host == name else host, *a, **k)
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost," + name
    behind = lambda **h: from_afar(cyd.session.client("bedrock-runtime", endpoint_url=f"http://{name}:{port}", config=Config(**ONCE)), **h)
    direct = lambda **h: from_afar(cyd.local(), **h)
    cyd.may(allow("bedrock:InvokeModel", Condition={"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}))
    assert ask(behind()), "the proxy itself is not in that network"
    equal(ask(behind(X_Forwarded_For="203.0.113.9")), "")
    equal(ask(behind(X_Forwarded_For="192.0.2.1, 203.0.113.9")), "")  # what stands before it, anybody may have written
    assert ask(behind(X_Forwarded_For="203.0.113.9, 192.0.2.1"))
    assert ask(direct(X_Forwarded_For="203.0.113.9")), "a stranger is believed"
    assert ask(direct(Forwarded="for=203.0.113.9"))
    cyd.may(allow("bedrock:InvokeModel", Condition={"Bool": {"aws:SecureTransport": "true"}}))
    equal(ask(behind(X_Forwarded_For="203.0.113.9", X_Forwarded_Proto="https")), "")
    assert ask(behind(X_Forwarded_For="203.0.113.9", X_Forwarded_Proto="http"))
    assert ask(direct(X_Forwarded_Proto="https"))
    # The door has a name; a signature over any other one is refused.
    other = cyd.session.client("sts", endpoint_url=f"http://127.0.0.1:{port}", config=Config(**ONCE))
    error = raises(ClientError, other.get_caller_identity)
    equal((error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]), ("SignatureDoesNotMatch", 403))
    return error.response["Error"]["Message"]


main()
