"""outcrop's commands that draw: in a terminal, and in a pipe.

OUTCROP: the command line of outcrop on the server's installation, as JSON."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios

from cases import case, contains, equal, main

COMMAND = json.loads(os.environ["OUTCROP"])
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
SMOLLM = "huggingface.smollm2-135m-instruct-v1:0"
ASK = ["compare", "--models", f"{SMOLLM},{HAIKU}", "--max-tokens", "12", "--temperature", "0", "Name a rock."]
CLEAR = "\x1b[J"


def line(*args):
    return [COMMAND[0], *args, *COMMAND[1:]]


def pipe(*args):
    return subprocess.run(line(*args), check=True, capture_output=True, text=True).stdout


def terminal(*args, stop=None):
    """What a terminal of 100 columns gets; with stop, until that part came, then Ctrl-C."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    # The command gets the terminal as its own, so that Ctrl-C reaches it.
    command = subprocess.Popen(line(*args), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                               preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # the other end is gone
            break
        if not piece:
            break
        seen += piece
        if stop and seen.count(stop.encode()) == 3:
            os.write(ours, b"\x03")
            stop = None
    os.close(ours)
    equal(command.wait(), 0)
    return seen.decode().replace("\r\n", "\n")


@case
def compare_in_a_terminal():
    seen = terminal(*ASK)
    final = seen[seen.rindex(CLEAR) + len(CLEAR):].split("\n")
    head, first = final[0], final[1]
    equal(head.split(" │ "), [f"{SMOLLM:<47}", HAIKU])
    left, right = first.split(" │ ")
    assert left.strip() and right.strip(), first
    assert all(len(row) <= 100 for row in final), final
    contains(seen, "TOKENS/S", HAIKU + " is a stand-in: smollm2-135m-instruct answered.")
    assert seen.count(CLEAR) > 1, "drawn once, so nothing streamed"
    return f"drawn {seen.count(CLEAR)} times"


@case
def compare_in_a_pipe():
    seen = pipe(*ASK)
    rows = seen.split("\n")
    equal({row.split(" | ")[0] for row in rows[: rows.index("")]}, {SMOLLM, HAIKU})
    answers = json.loads(pipe(*ASK, "--json"))
    equal([a["model"] for a in answers], [SMOLLM, HAIKU])
    for a in answers:
        assert 1 <= a["output_tokens"] <= 12 and a["input_tokens"] > 12 and 0 < a["first_token_ms"] <= a["total_ms"], a
    assert answers[0]["cost_usd"] is None and answers[1]["cost_usd"] > 0, answers


@case
def ps_tells_of_the_model():
    pipe(*ASK)
    [chat] = [p for p in json.loads(pipe("ps", "--json")) if p["mode"] == "chat" and p["weightsId"] == "smollm2-135m-instruct"]
    equal(chat["state"], "READY")
    assert chat["processId"] > 1 and chat["slots"] >= 1 and chat["queueLength"] >= 0, chat
    off = chat["memoryEstimateBytes"] / chat["memoryBytes"]
    assert 0.5 < off < 2, chat
    seen = pipe("ps")
    contains(seen, "smollm2-135m-instruct", "ready", "MEMORY/EST")
    assert all(len(row) <= 100 for row in seen.split("\n")), seen
    return f"measured {chat['memoryBytes'] >> 20} MiB, estimated {chat['memoryEstimateBytes'] >> 20} MiB"


@case
def ps_watches_until_ctrl_c():
    seen = terminal("ps", "--watch", "--interval", "200ms", stop="RESTARTS")
    assert seen.count("\x1b[H\x1b[2J") >= 3, seen


if __name__ == "__main__":
    main()
