"""A client of NATS services. Prints each answer as lines of a path and a value, and a blank line.

    nats_client.py URL call SUBJECT PAYLOAD...   calls an endpoint with each payload
    nats_client.py URL ask SUBJECT COUNT         asks, and waits for so many answers
"""

import asyncio
import json
import sys

import nats
from nats.errors import NoRespondersError

# The longest wait for an answer, in seconds.
LIMIT = 30


def show(answer, path=""):
    """Prints an answer; the endpoints are named by their names."""
    if isinstance(answer, list):
        answer = {item["name"]: item for item in answer}
    if isinstance(answer, dict):
        for key, value in answer.items():
            show(value, f"{path}.{key}" if path else key)
        if not path:
            print(flush=True)
    else:
        print(path, answer)


async def call(connection, subject, payloads):
    for payload in payloads:
        try:
            message = await connection.request(subject, payload.encode(), timeout=LIMIT)
        except NoRespondersError:
            show({"no-responders": "yes"})
            continue
        show({"reply": message.data.decode(), **(message.headers or {})})


async def ask(connection, subject, count):
    inbox = connection.new_inbox()
    answers = await connection.subscribe(inbox)
    await connection.publish(subject, b"", reply=inbox)
    for _ in range(int(count)):
        show(json.loads((await answers.next_msg(timeout=LIMIT)).data))


async def main(url, action, subject, *rest):
    connection = await nats.connect(url)
    if action == "call":
        await call(connection, subject, rest)
    else:
        await ask(connection, subject, *rest)
    await connection.close()


asyncio.run(main(*sys.argv[1:]))
