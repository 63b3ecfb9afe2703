"""boto3, unchanged, against a server whose picture models lie on a server of
OpenAI's images API, which makes noise of the seed.
"""

import base64
import json
import struct
import zlib

import boto3
from botocore.exceptions import ClientError

from cases import case, equal, main

runtime = boto3.client("bedrock-runtime")


def png(width, height, pixel):
    """A PNG in base64 of pixel(x, y) -> (red, green, blue)."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"".join(bytes(pixel(x, y)) for x in range(width)) for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")).decode()


ROCK = png(384, 384, lambda x, y: (16, 192, 32))
LEFT = png(384, 384, lambda x, y: (255, 255, 255) if x < 192 else (0, 0, 0))


def invoke(model, **body):
    answer = runtime.invoke_model(modelId=model, body=json.dumps(body))
    return json.loads(answer["body"].read())


def kind(data):
    data = base64.b64decode(data)
    if data.startswith(b"\x89PNG"):
        return "png", *struct.unpack(">II", data[16:24])
    if data.startswith(b"\xff\xd8"):
        return "jpeg", 0, 0
    return data[8:12].decode(), 0, 0


@case
def sdxl_and_its_seed():
    body = {"text_prompts": [{"text": "a rock"}, {"text": "people", "weight": -1}], "seed": 7, "steps": 20}
    first, again = invoke("stability.stable-diffusion-xl-v1", **body), invoke("stability.stable-diffusion-xl-v1", **body)
    equal(first["result"], "success")
    equal(kind(first["artifacts"][0]["base64"]), ("png", 1024, 1024))
    equal(first["artifacts"][0]["seed"], 7)
    equal(first["artifacts"][0]["base64"] == again["artifacts"][0]["base64"], True)


@case
def stable_image_in_every_format():
    for name, found in {"png": "png", "jpeg": "jpeg", "webp": "WEBP"}.items():
        answer = invoke("stability.stable-image-core-v1:1", prompt="a rock", output_format=name)
        equal(kind(answer["images"][0])[0], found)
        equal(answer["finish_reasons"], [None])


@case
def titan_makes_several():
    answer = invoke(
        "amazon.titan-image-generator-v2:0",
        taskType="TEXT_IMAGE",
        textToImageParams={"text": "a rock"},
        imageGenerationConfig={"numberOfImages": 2, "width": 512, "height": 512, "seed": 3},
    )
    equal([kind(i) for i in answer["images"]], [("png", 512, 512)] * 2)
    equal(answer["images"][0] == answer["images"][1], False)
    equal(answer["error"], None)


@case
def nova_canvas_inpaints():
    answer = invoke(
        "amazon.nova-canvas-v1:0",
        taskType="INPAINTING",
        inPaintingParams={"text": "a rock", "image": ROCK, "maskImage": LEFT},
    )
    equal(kind(answer["images"][0]), ("png", 384, 384))


@case
def a_task_that_cannot_be_done_is_named():
    try:
        invoke("amazon.nova-canvas-v1:0", taskType="INPAINTING", inPaintingParams={"image": ROCK, "maskPrompt": "the sky"})
    except ClientError as e:
        equal(e.response["Error"]["Code"], "ValidationException")
        equal("maskPrompt" in e.response["Error"]["Message"], True)
    else:
        raise AssertionError("made")


if __name__ == "__main__":
    main()
