"""Measures a call through two pipes: a plugin of dropin.py, a minimal loop, and a bare echo.

    python3 round_trip.py [CALLS]

The caller is a minimal loop too. Each takes its turn in five rounds; a figure is the median of the
rounds.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

MODULE = """
import dropin
plugin = dropin.Plugin("p")
@plugin.command
def greet(who: str) -> str:
    return "hello, " + who
plugin.run()
"""
THREADS = MODULE.replace('"p"', '"p", concurrency=8')
MINIMAL = r"""
import json, sys
source, sink = sys.stdin.buffer, sys.stdout.buffer
for line in source:
    message = json.loads(line)
    reply = {"id": message["id"], "ok": "hello, " + message["args"][0]}
    sink.write(json.dumps(reply).encode() + b"\n")
    sink.flush()
"""
ECHO = """
import os
while line := os.read(0, 65536):
    os.write(1, line)
"""
CONTESTANTS = {
    "bare echo": ECHO,
    "minimal loop": MINIMAL,
    "dropin.py": MODULE,
    "dropin.py, concurrency 8": THREADS,
}
ROUNDS = 5


def measure(code: str, calls: int) -> tuple[float, float]:
    """Returns the median time of a call and the processor time of one, in microseconds."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0,
    ) as process:  # fmt: skip
        assert process.stdin and process.stdout
        to, back = process.stdin.fileno(), process.stdout.fileno()
        times = []
        for number in range(calls):
            session = '{"id":3,"peer":"127.0.0.1:53412","name":"","role":"admin"}'
            call = f'{{"id":{number},"call":"greet","args":["Ada"],"session":{session}}}\n'.encode()
            start = time.perf_counter_ns()
            os.write(to, call)
            os.read(back, 65536)
            times.append(time.perf_counter_ns() - start)
        process.stdin.close()
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
    return statistics.median(times) / 1000, (used.ru_utime + used.ru_stime) * 1e6 / calls


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    rounds = [
        {name: measure(code, calls) for name, code in CONTESTANTS.items()} for _ in range(ROUNDS)
    ]
    for name in CONTESTANTS:
        middle = statistics.median(one[name][0] for one in rounds)
        used = statistics.median(one[name][1] for one in rounds)
        print(f"{name:26} {middle:6.1f} us a call, {used:6.1f} us of processor time")


if __name__ == "__main__":
    main()
