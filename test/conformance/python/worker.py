"""The command loop that the Python client programs share: one JSON command a line on standard input, one JSON answer a
line on standard output. The protocol itself is described in ../README.md."""

import base64
import json
import sys


class Unsupported(Exception):
    """An operation that this client has no means for; the driver reports it as such."""


def data(text):
    """Bytes from their base64 form; None stays None."""
    return None if text is None else base64.b64decode(text)


def text(value):
    """The base64 form of bytes; None stays None."""
    return None if value is None else base64.b64encode(value).decode()


def argument(name, fallback):
    """The value of `--name VALUE` on the command line, or the fallback."""
    flag = f"--{name}"
    return sys.argv[sys.argv.index(flag) + 1] if flag in sys.argv else fallback


def next_offsets(records):
    """Per partition, the offset that follows the last of these records."""
    following = {}
    for record in records:
        following[record["partition"]] = record["offset"] + 1
    return following


def serve(operations):
    """Answers commands with `operations[command["op"]](command)` until standard input ends."""
    for line in sys.stdin:
        if not line.strip():
            continue
        command = json.loads(line)
        try:
            if command["op"] not in operations:
                raise Unsupported(f"no operation {command['op']}")
            answer = {"id": command["id"], "ok": True, **(operations[command["op"]](command) or {})}
        except Unsupported as reason:
            answer = {"id": command["id"], "ok": False, "unsupported": str(reason)}
        except Exception as error:  # every failure is an answer: the driver judges it
            answer = {"id": command["id"], "ok": False, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
