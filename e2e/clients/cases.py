"""Runs the cases of a client script and prints one line of JSON for each.

A case is a function marked with @case. It passes when it returns; what it
returns is shown. lacks() names what a client has no way to ask for. Arguments:
a regular expression of the names to run.
"""

import json
import re
import sys
import time
import traceback

CASES = []
LACKS = []


def case(function):
    CASES.append(function)
    return function


def lacks(reason, *names):
    """The client itself has no way to do these, for this reason."""
    LACKS.extend((name, reason) for name in names)


def raises(kind, function, *args, **kwargs):
    """Calls the function, which must fail with this class; returns the error."""
    try:
        result = function(*args, **kwargs)
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}, but {result}")


def equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def contains(text, *parts):
    for part in parts:
        assert part in text, f"{part!r} is not in {text!r}"


def main(**about):
    """Runs the cases. What is told about the client is printed first."""
    pattern = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
    ran = 0
    if about:
        print(json.dumps({"about": about}), flush=True)
    for name, reason in LACKS:
        print(json.dumps({"name": name, "lacks": reason}), flush=True)
    for function in CASES:
        if not pattern.search(function.__name__):
            continue
        ran += 1
        result = {"name": function.__name__, "error": ""}
        begin = time.monotonic()
        try:
            result["detail"] = str(function() or "")
        except Exception:
            result["error"] = traceback.format_exc()
        result["seconds"] = round(time.monotonic() - begin, 2)
        print(json.dumps(result), flush=True)
    print(json.dumps({"done": ran}), flush=True)
