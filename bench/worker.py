#!/usr/bin/env python3
"""A worker in Python without any library: `echo TEXT` replies TEXT.

It is served by the host, and driven by the benchmark through two pipes alone, which shows what the
interpreter takes.
"""

import json
import sys

HELLO = {
    "dropin": 1,
    "name": "worker",
    "version": "1.0",
    "concurrency": 64,
    "commands": [{"name": "echo", "usage": "TEXT", "help": "Replies TEXT."}],
}


def answer(message):
    """Returns the answer to a line of the host, or None."""
    if "dropin" in message:
        return HELLO
    if "call" in message:
        return {"id": message["id"], "ok": message["args"][0]}
    return None


for line in sys.stdin:
    reply = answer(json.loads(line))
    if reply is not None:
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()
