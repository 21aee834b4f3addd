#!/usr/bin/env python3
"""Counts words in the plugin `store`, over the Redis protocol, without a library.

    echo "to be or not to be" | examples/scripts/word_count.py --port 5000

It sends all requests at once and then reads all replies. With redis-py, a `Session` is
`redis.Redis(port=5000, protocol=3, decode_responses=True).pipeline()`.
"""

import argparse
import socket
import sys


class Session:
    """A connection that speaks RESP2."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.replies = self.socket.makefile("rb")

    def send(self, requests):
        """Sends requests, each a list of words, in one write."""
        data = bytearray()
        for words in requests:
            data += b"*%d\r\n" % len(words)
            for word in words:
                word = word.encode()
                data += b"$%d\r\n%s\r\n" % (len(word), word)
        self.socket.sendall(data)

    def reply(self):
        """Returns the next reply: an integer, a text, None or a list."""
        line = self.replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the host closed the connection")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise RuntimeError(rest)
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        if kind == b"$":
            length = int(rest)
            return None if length < 0 else self.replies.read(length + 2)[:-2].decode()
        raise RuntimeError(f"unknown reply {line!r}")


def main():
    options = argparse.ArgumentParser(description="Counts words in the plugin store.")
    options.add_argument("--port", type=int, default=5000)
    port = options.parse_args().port
    words = sys.stdin.read().split()
    session = Session(port)
    session.send(["incr", f"word:{word}"] for word in words)
    counts = {word: session.reply() for word in words}
    for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        print(f"{count:6} {word}")


if __name__ == "__main__":
    main()
