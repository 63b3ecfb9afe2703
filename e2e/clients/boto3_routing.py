"""boto3 with prompt routers, an alias, and regions."""

import json

import boto3
from botocore.exceptions import ClientError

from cases import case, contains, equal, main, raises

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
SONNET = "anthropic.claude-3-5-sonnet-20240620-v1:0"
NOVA = "amazon.nova-lite-v1:0"
EASY = "What is the capital of France?"
HARD = "Prove step by step that there are infinitely many primes, and compare two proofs."


def bedrock(region="us-east-1"):
    return boto3.client("bedrock", region_name=region)


def runtime(region="us-east-1"):
    return boto3.client("bedrock-runtime", region_name=region)


def say(text):
    return [{"role": "user", "content": [{"text": text}]}]


def code(call):
    try:
        call()
    except ClientError as e:
        return e.response["Error"]["Code"]
    return None


def model(name):
    return {"modelArn": "arn:aws:bedrock:us-east-1::foundation-model/" + name}


@case
def default_routers_are_listed():
    names = [r["promptRouterArn"].split("/")[1] for r in bedrock().list_prompt_routers(type="default")["promptRouterSummaries"]]
    equal(names, ["anthropic.claude:1", "meta.llama:1", "amazon.nova:1"])


@case
def a_router_sends_hard_prompts_to_the_stronger_model():
    router = next(r for r in bedrock().list_prompt_routers()["promptRouterSummaries"] if "claude" in r["promptRouterArn"])
    for prompt, wanted in ((EASY, HAIKU), (HARD, SONNET)):
        answer = runtime().converse(modelId=router["promptRouterArn"], messages=say(prompt))
        contains(answer["trace"]["promptRouter"]["invokedModelId"], wanted)
        stream = runtime().converse_stream(modelId=router["promptRouterArn"], messages=say(prompt))["stream"]
        metadata = [e["metadata"] for e in stream if "metadata" in e]
        contains(metadata[0]["trace"]["promptRouter"]["invokedModelId"], wanted)
        body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "messages": [{"role": "user", "content": prompt}]}
        native = runtime().invoke_model(modelId=router["promptRouterArn"], body=json.dumps(body), trace="ENABLED")
        contains(json.load(native["body"])["amazon-bedrock-trace"]["promptRouter"]["invokedModelId"], wanted)


@case
def a_router_of_ones_own_lives():
    made = bedrock().create_prompt_router(
        promptRouterName="mine", models=[model(HAIKU), model(SONNET)], fallbackModel=model(SONNET),
        routingCriteria={"responseQualityDifference": 100}, tags=[{"key": "team", "value": "a"}],
    )["promptRouterArn"]
    got = bedrock().get_prompt_router(promptRouterArn=made)
    equal((got["type"], got["status"], got["promptRouterName"]), ("custom", "AVAILABLE", "mine"))
    equal(bedrock().list_tags_for_resource(resourceARN=made)["tags"], [{"key": "team", "value": "a"}])
    answer = runtime().converse(modelId=made, messages=say(HARD))
    contains(answer["trace"]["promptRouter"]["invokedModelId"], HAIKU)
    again = lambda: bedrock().create_prompt_router(  # noqa: E731
        promptRouterName="mine", models=[model(HAIKU), model(SONNET)], fallbackModel=model(SONNET), routingCriteria={"responseQualityDifference": 1}
    )
    equal(code(again), "ConflictException")
    equal(code(lambda: bedrock("us-west-2").get_prompt_router(promptRouterArn=made)), "ResourceNotFoundException")
    bedrock().delete_prompt_router(promptRouterArn=made)
    equal(code(lambda: runtime().converse(modelId=made, messages=say(EASY))), "ResourceNotFoundException")


@case
def an_alias_stands_for_its_model():
    answer = runtime().converse(modelId="my-chat", messages=say(EASY))
    equal(answer["ResponseMetadata"]["HTTPStatusCode"], 200)


@case
def regions_offer_what_they_have():
    def offered(region):
        return {m["modelId"]: m for m in bedrock(region).list_foundation_models()["modelSummaries"]}

    east, west, frankfurt = (offered(r) for r in ("us-east-1", "us-west-2", "eu-central-1"))
    equal(len(east) > len(west) > len(frankfurt) > 10, True)
    equal("meta.llama3-1-8b-instruct-v1:0" in frankfurt, False)
    equal(frankfurt[NOVA]["inferenceTypesSupported"], ["INFERENCE_PROFILE"])
    equal(code(lambda: runtime("eu-central-1").converse(modelId="meta.llama3-1-8b-instruct-v1:0", messages=say(EASY))), "ValidationException")
    equal(code(lambda: runtime("eu-central-1").converse(modelId=NOVA, messages=say(EASY))), "ValidationException")
    runtime("eu-central-1").converse(modelId="eu." + NOVA, messages=say(EASY))
    profile = bedrock("eu-central-1").get_inference_profile(inferenceProfileIdentifier="eu." + NOVA)
    equal([m["modelArn"].split(":")[3] for m in profile["models"]], ["eu-central-1"])


@case
def other_regions_are_refused():
    error = raises(ClientError, runtime("ap-south-1").converse, modelId=HAIKU, messages=say(EASY))
    contains(str(error), "InvalidSignatureException", "us-east-1, us-west-2, eu-central-1")
    boto3.client("iam").list_users()


main()
