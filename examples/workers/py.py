#!/usr/bin/env python3
"""A worker in Python without a module: the protocol in 90 lines."""

import json
import re
import sys
import threading

HELLO = {
    "dropin": 1,
    "name": "py",
    "version": "1.0",
    "concurrency": 8,
    "features": ["state"],
    "commands": [
        {"name": "py.greet", "usage": "[WHO]", "help": "A greeting."},
        {"name": "py.add", "usage": "A B", "help": "The sum of two integers."},
        {"name": "py.count", "usage": "", "help": "How often it was called.", "writes": True},
        {"name": "py.slow", "usage": "SECONDS", "help": "Takes its time; can be cancelled."},
    ],
}

count = 0
lock = threading.Lock()
cancels = {}  # The events of the calls that run, by their id.


def send(message):
    with lock:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def text(arg):
    if isinstance(arg, str):
        return arg
    raise ValueError("argument is not valid UTF-8")


def integer(arg):
    if not re.fullmatch("-?[0-9]+", text(arg)):
        raise ValueError("value is not an integer or out of range")
    return int(arg)


def answer(request, cancelled):
    global count
    if "save" in request:
        return count
    if "restore" in request:
        if not isinstance(request["restore"], int):
            raise ValueError("the state is no integer")
        count = request["restore"]
        return None
    command, args = request.get("call"), request.get("args", [])
    if command == "py.greet":
        return f"hello, {text(args[0]) if args else 'world'}"
    if command == "py.add":
        return integer(args[0]) + integer(args[1])
    if command == "py.count":
        with lock:
            count += 1
            return count
    if command == "py.slow":
        for step in range(1, 11):
            if cancelled.wait(float(text(args[0])) / 10):
                raise TimeoutError("the command was cancelled")
            send({"id": request["id"], "progress": [step, 10]})
        return "done"
    raise ValueError(f"unknown command '{command}'" if command else "unknown request")


def serve(request):
    number = request["id"]
    try:
        reply = {"id": number, "ok": answer(request, cancels[number])}
    except TimeoutError as error:
        reply = {"id": number, "error": str(error), "kind": "CANCELLED"}
    except Exception as error:
        reply = {"id": number, "error": str(error)}
    del cancels[number]
    send(reply)


for line in sys.stdin:
    try:
        message = json.loads(line)
    except ValueError:
        continue
    if not isinstance(message, dict):
        continue
    if "id" in message:
        cancels[message["id"]] = threading.Event()
        threading.Thread(target=serve, args=[message]).start()
    elif message.get("cancel") in cancels:
        cancels[message["cancel"]].set()
    elif "dropin" in message:
        send(HELLO)
# The end of the input. Python waits for the threads, and so for the calls that run.
