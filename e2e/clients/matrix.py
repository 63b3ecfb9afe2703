"""What every Python client of the matrix asks and expects.

The harness chooses question and answer (matrix_test.go) and passes them in the
environment, so that all languages prove the same.
"""

import json
import math
import os

from cases import contains, equal

MODEL = os.environ["E2E_MODEL"]  # a chat model of Anthropic's family
MODERN = os.environ["E2E_MODERN_MODEL"]  # of the same family, with JSON schemas and token counting in the clients' tables
EMBEDDER = os.environ["E2E_EMBEDDER"]  # Titan Text Embeddings V2
ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
KEY = os.environ["E2E_KEY"]  # a bearer key
REGION = os.environ["AWS_REGION"]
SYSTEM = os.environ["E2E_SYSTEM"]
QUESTION = os.environ["E2E_QUESTION"]
ANSWER = os.environ["E2E_ANSWER"]  # whole reply to QUESTION under SYSTEM at temperature 0
INPUT_TOKENS = int(os.environ["E2E_INPUT_TOKENS"])  # of SYSTEM and QUESTION
OUTPUT_TOKENS = int(os.environ["E2E_OUTPUT_TOKENS"])  # of ANSWER
STOP = os.environ["E2E_STOP"]  # a part of ANSWER
BEFORE_STOP = os.environ["E2E_BEFORE_STOP"]  # what stands before STOP
UNKNOWN = "acme.gpt-0"  # nobody's model
BAD_KEY = "AKIAIOSFODNN7EXAMPLE"  # nobody's access key
BAD_SECRET = "x" * 40
CAT, KITTEN, TAX = "A cat sits on the mat.", "A kitten is lying on a rug.", "Quarterly tax returns are due in April."

TOOL, TOOL_TEXT = "get_weather", "Tells the weather of a city."
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
WEATHER = "What is the weather in Paris?"
CALL_ID, CALL, RESULT = "tooluse_e2e_1", {"city": "Paris", "unit": "celsius"}, "It is 21 degrees and sunny in Paris."


def fits(value):
    """Checks that a value fits SCHEMA."""
    assert isinstance(value, dict) and set(value) == {"city", "unit"}, value
    assert isinstance(value["city"], str) and value["unit"] in ("celsius", "fahrenheit"), value
    return str(value)


def called(name, value):
    """Checks a call of TOOL."""
    equal(name, TOOL)
    return fits(value)


def answered(text):
    """Checks the answer to RESULT."""
    contains(text, "21")
    return repr(text)


def joined(parts):
    """Checks that a tool's input came in parts; returns it."""
    parts = [p for p in parts if p]
    assert len(parts) > 3, parts
    return json.loads("".join(parts))


def similar(cat, kitten, tax, dimensions=1024):
    """Checks the vectors of CAT, KITTEN and TAX."""

    def cosine(a, b):
        equal(len(a), dimensions)
        return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    near, far = cosine(cat, kitten), cosine(cat, tax)
    assert near > far + 0.2, (near, far)
    return f"near {near:.2f}, far {far:.2f}"


def streamed(parts):
    """Checks that ANSWER came in pieces as the model made it."""
    parts = [p for p in parts if p]
    equal("".join(parts), ANSWER)
    assert len(parts) > 3, parts
    return f"{len(parts)} parts"


def counted(usage_in, usage_out):
    """Checks the token counts of QUESTION and ANSWER."""
    equal((usage_in, usage_out), (INPUT_TOKENS, OUTPUT_TOKENS))
    return f"{usage_in} + {usage_out}"


def names(error, *parts):
    """Checks what an error says, its causes included; returns its class."""
    text, link = "", error
    while link is not None:
        text, link = f"{text} {link}", link.__cause__ or link.__context__
    contains(text, *parts)
    return type(error).__name__
