"""A command server with a thread for each client, as it is written in Python: the shape that this
project had at first. It speaks as much of the Redis protocol as the load generator needs.

Usage: original.py; it prints the port that it has found."""

import socket
import threading
import time


def nop():
    return b"+OK\r\n"


def ping():
    return b"+PONG\r\n"


def echo(text):
    return b"$%d\r\n%s\r\n" % (len(text), text)


def sleep(millis):
    time.sleep(int(millis) / 1000)
    return b"+OK\r\n"


def command():
    return b"*0\r\n"


def config(*_):
    return b"*0\r\n"


COMMANDS = {b.__name__.encode(): b for b in (nop, ping, echo, sleep, command, config)}


def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, connection.makefile("rb") as received:
        try:
            while header := received.readline():
                arguments = []
                for _ in range(int(header[1:])):
                    length = int(received.readline()[1:])
                    arguments.append(received.read(length))
                    received.readline()
                run = COMMANDS.get(arguments[0].lower())
                reply = run(*arguments[1:]) if run else b"-ERR unknown command\r\n"
                connection.sendall(reply)
        except (OSError, ValueError):
            pass


listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(listener.getsockname()[1], flush=True)
while True:
    client, _ = listener.accept()
    threading.Thread(target=serve, args=(client,), daemon=True).start()
