"""Reads `go test -json` from standard input, prints what a person wants to see
and fails when a test failed, none ran, or one was skipped.

    go test -json ./... | results.py FILE        writes the counts to FILE
    results.py --total DIR                       adds up the files of DIR
"""

import json
import pathlib
import sys


def total(folder):
    passed = failed = 0
    for f in sorted(pathlib.Path(folder).iterdir()):
        p, n = map(int, f.read_text().split())
        passed, failed = passed + p, failed + n
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def read(out, allow_skips):
    passed, failed, skipped = 0, [], []
    output = {}
    for line in sys.stdin:
        try:
            ev = json.loads(line)
        except ValueError:  # a build error
            print(line, end="")
            continue
        test = ev.get("Test")
        name = ev.get("Package", ev.get("ImportPath", "")) + (" " + test if test else "")
        action = ev["Action"]
        if action in ("output", "build-output"):
            output.setdefault(name, []).append(ev.get("Output", ""))
        elif action == "pass":
            if test:
                passed += 1
            else:
                print(f"ok   {name} {ev.get('Elapsed', 0):.1f}s", flush=True)
            output.pop(name, None)
        elif action in ("fail", "build-fail"):
            failed.append(name)
            print(f"FAIL {name}", flush=True)
            print("".join(output.pop(name, [])), end="", flush=True)
        elif action == "skip" and test:
            skipped.append(name)
            print(f"SKIP {name}: {''.join(output.pop(name, []))}", end="", flush=True)
    pathlib.Path(out).write_text(f"{passed} {len(failed)}")
    if skipped and not allow_skips:
        print(f"{len(skipped)} tests were skipped; this machine must run them all")
        return 1
    return 1 if failed or not passed else 0


def main(args):
    if args[0] == "--total":
        return total(args[1])
    allow = args[0] == "--allow-skips"
    return read(args[-1], allow)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
