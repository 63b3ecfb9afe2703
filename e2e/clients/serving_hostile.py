"""boto3 asks a program in the engine's place what it reaches.

HOW: "confined" or "free"; SOCKET: somebody's unix socket; DATA, CONFIG: the server's.
"""

import json
import os
from urllib.parse import urlsplit

import boto3

from cases import case, equal, main

PREY = {
    "Listener": urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc,
    "Files": [os.path.join(os.environ["DATA"], "outcrop.db"), os.path.join(os.environ["DATA"], "root.key"), os.environ["CONFIG"]],
    "Socket": os.environ["SOCKET"],
}
# What it does wherever nothing confines it.
FREE = ["connect to the server", "connect to another's socket", "listen on a port", "read the server's environment", "read users",
        "keep a file of its own", "start a program", "signal the server", "read outcrop.db", "read root.key"]


@case
def what_it_reaches():
    answer = boto3.client("bedrock-runtime").converse(
        modelId="huggingface.smollm2-135m-instruct-v1:0", messages=[{"role": "user", "content": [{"text": "hunt " + json.dumps(PREY)}]}]
    )
    found = json.loads(answer["output"]["message"]["content"][0]["text"])
    reached = sorted(name for name, denied in found["Attempts"].items() if not denied)
    if os.environ["HOW"] == "free":
        equal(sorted(set(FREE) - set(reached)), [])
        return f"it does {len(reached)} of {len(found['Attempts'])} things"
    equal(reached, [])
    assert set(found["Env"]) <= {"HOME", "LANG", "LC_ALL", "LLAMA_SERVER_ROUTER_PORT", "PATH", "TMPDIR"}, found["Env"]
    assert found["Home"] != os.path.expanduser("~root"), found["Home"]
    return "; ".join(f"{name}: {denied.rsplit(': ', 1)[-1]}" for name, denied in sorted(found["Attempts"].items())) + f"; variables: {sorted(found['Env'])}"


main()
