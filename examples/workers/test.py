#!/usr/bin/env python3
"""Has the same conversation with every worker in this folder: `python3 test.py`.

It speaks the protocol itself, without a host. A worker whose language is not installed is skipped;
with DROPIN_TEST_ALL it fails.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
SDK = HERE.parent.parent / "sdk" / "python"
LIMIT = 20
SESSION = {"id": 3, "peer": "127.0.0.1:53412", "name": "", "role": "admin"}


class Worker:
    """A running worker, and the lines that it has sent."""

    def __init__(self, command, folder):
        environment = {**os.environ, "PYTHONPATH": str(SDK), "DROPIN_DATA_DIR": folder}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=folder
        )
        # One that hangs ends, and with it the read that waits for it.
        self.limit = threading.Timer(LIMIT, self.process.kill)
        self.limit.start()
        self.number = 0

    def send(self, *lines):
        for line in lines:
            data = line if isinstance(line, bytes) else json.dumps(line).encode()
            self.process.stdin.write(data + b"\n")
        self.process.stdin.flush()

    def receive(self):
        line = self.process.stdout.readline()
        if not line.endswith(b"\n"):
            raise AssertionError(f"the worker has ended, or did not answer within {LIMIT} s")
        return json.loads(line)

    def request(self, **message):
        self.number += 1
        self.send({"id": self.number, **message})
        reply = self.receive()
        assert reply.pop("id") == self.number
        return reply

    def call(self, command, *args):
        return self.request(call=command, args=args, session=SESSION)

    def end(self):
        """Ends the input. Returns what still comes, and the exit status."""
        self.process.stdin.close()
        rest = [json.loads(line) for line in self.process.stdout]
        self.process.stdout.close()
        status = self.process.wait(LIMIT)
        self.limit.cancel()
        return rest, status


class Conversation:
    """The tests of each worker. `self.start` starts it and `self.name` is its name."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        command = self.command(folder.name)
        if command is None:
            if "DROPIN_TEST_ALL" in os.environ:
                self.fail(f"what {self.name} needs is not installed")
            self.skipTest("not installed")
        self.worker = Worker(command, folder.name)
        self.addCleanup(self.worker.limit.cancel)
        self.addCleanup(self.worker.process.kill)

    def tearDown(self):
        if not self.worker.process.stdin.closed:
            self.assertEqual(self.worker.end(), ([], 0))

    def call(self, command, *args):
        return self.worker.call(f"{self.name}.{command}", *args)

    def test_hello_names_plugin_and_commands(self):
        self.worker.send({"dropin": 1, "features": ["cancel", "progress", "state", "later"]})
        hello = self.worker.receive()
        self.assertEqual((hello["dropin"], hello["name"]), (1, self.name))
        self.assertEqual(hello["features"], ["state"])
        usages = [(one["name"], one.get("usage", "")) for one in hello["commands"]]
        expected = [("greet", "[WHO]"), ("add", "A B"), ("count", ""), ("slow", "SECONDS")]
        self.assertEqual(usages, [(f"{self.name}.{name}", usage) for name, usage in expected])

    def test_commands_reply(self):
        self.assertEqual(self.call("greet"), {"ok": "hello, world"})
        for who in ("Ada", "", "ä \u2028 \U0001f600", 'a"b\\c/d\n\t\x7f\0', "x" * 300_000):
            self.assertEqual(self.call("greet", who), {"ok": f"hello, {who}"})
        self.assertEqual(self.call("add", "40", "2"), {"ok": 42})
        self.assertEqual(self.call("add", "-40", "0"), {"ok": -40})
        large = "123456789012345"
        self.assertEqual(self.call("add", large, large), {"ok": 2 * int(large)})
        self.assertEqual(self.call("slow", "0.01"), {"progress": [1, 10]})
        steps = [self.worker.receive() for _ in range(9)]
        self.assertEqual([step["progress"] for step in steps], [[n, 10] for n in range(2, 11)])
        self.assertEqual(self.worker.receive(), {"id": self.worker.number, "ok": "done"})

    def test_wrong_arguments_get_an_error(self):
        for wrong in ("x", "", " 1", "1.5", "1e3", "1\n", {"base64": "/w=="}):
            for args in ((wrong, "1"), ("1", wrong)):
                self.assertIn("error", self.call("add", *args), wrong)
        self.assertIn("error", self.call("greet", {"base64": "/w=="}))
        self.assertIn("error", self.call("slow", "soon"))
        self.assertIn("error", self.call("other"))
        self.assertIn("error", self.worker.request(later=True))

    def test_state_is_saved_and_restored(self):
        self.assertEqual(self.call("count"), {"ok": 1})
        self.assertEqual(self.call("count"), {"ok": 2})
        self.assertEqual(self.worker.request(save=True), {"ok": 2})
        self.assertEqual(self.worker.request(restore=41), {"ok": None})
        self.assertEqual(self.call("count"), {"ok": 42})
        self.assertEqual(self.worker.request(save=True), {"ok": 42})

    def test_running_call_is_cancelled(self):
        self.assertEqual(self.call("slow", "10")["progress"], [1, 10])
        number = self.worker.number
        self.worker.send({"cancel": 99}, {"cancel": number})
        reply = self.worker.receive()
        while "progress" in reply:
            self.assertLess(reply["progress"][0], 10)
            reply = self.worker.receive()
        expected = {"error": "the command was cancelled", "kind": "CANCELLED"}
        self.assertEqual(reply, {"id": number, **expected})
        # It serves on.
        self.assertEqual(self.call("greet"), {"ok": "hello, world"})

    def test_lines_that_mean_nothing_are_survived(self):
        self.worker.send(
            b"", b"rubbish", b"[]", b"5", b'"text"', b"null", b"{", b"{}", b'{"later":1}',
            b'{"id":1,}', b'{"cancel":5}', b'{"a":[[[{"b":[1,2.5e3,true,null,"\\u00e9"]}]]]}',
        )  # fmt: skip
        command = f"{self.name}.greet"
        self.worker.send({"later": {"id": 9}, "id": 7, "call": command, "args": ["\n"], "x": [{}]})
        reply = self.worker.receive()
        while "log" in reply:
            reply = self.worker.receive()
        self.assertEqual(reply, {"id": 7, "ok": "hello, \n"})

    def test_calls_finish_at_the_end_of_input(self):
        command = f"{self.name}.slow"
        for number in (1, 2):
            self.worker.send({"id": number, "call": command, "args": ["0.05"]})
        rest, status = self.worker.end()
        replies = sorted(reply["id"] for reply in rest if reply.get("ok") == "done")
        self.assertEqual((replies, status), ([1, 2], 0))


def worker(name, file, *needed, build=None):
    """Makes the tests of one worker."""

    def command(_, folder):
        if not all(map(shutil.which, needed)):
            return None
        if build is None:
            return [needed[0], str(HERE / file)]
        target = BUILT / name
        if not target.exists():
            subprocess.run([*build, "-o", str(target), str(HERE / file)], check=True)
        return [str(target)]

    return type(name, (Conversation, unittest.TestCase), {"name": name, "command": command})


# Compiled once, and removed with the object.
_folder = tempfile.TemporaryDirectory()
BUILT = Path(_folder.name)

PySdk = worker("py-sdk", "py-sdk.py", sys.executable)
Py = worker("py", "py.py", sys.executable)
Node = worker("node", "node.js", "node")
Perl = worker("perl", "perl.pl", "perl")
Go = worker("go", "go.go", "go", build=["go", "build"])
C = worker("c", "c.c", "cc", build=["cc", "-O2", "-Wall", "-Werror"])


class Pages(unittest.TestCase):
    """The pages show the plugin that is tested here."""

    def test_pages_show_the_example(self):
        code = (HERE / "greet.py").read_text("utf-8")
        for page in ("docs/workers.md", "sdk/python/README.md"):
            text = (HERE.parent.parent / page).read_text("utf-8")
            self.assertIn(f"```python\n{code}```\n", text)

    def test_example_greets(self):
        environment = {**os.environ, "PYTHONPATH": str(SDK)}
        command = [sys.executable, str(HERE / "greet.py"), "greet", "Ada"]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=LIMIT)
        self.assertEqual((done.stdout.decode().strip(), done.returncode), ("hello, Ada", 0))


class Bash(unittest.TestCase):
    """The script is run once for each call."""

    def run_it(self, command, *args):
        if shutil.which("bash") is None:
            self.skipTest("not installed")
        words = ["bash", str(HERE / "bash.sh"), *args]
        environment = {**os.environ, "DROPIN_COMMAND": command}
        done = subprocess.run(words, env=environment, capture_output=True, timeout=LIMIT)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_commands_reply(self):
        self.assertEqual(self.run_it("bash.greet"), (0, "hello, world\n", ""))
        self.assertEqual(self.run_it("bash.greet", "a  *"), (0, "hello, a  *\n", ""))
        self.assertEqual(self.run_it("bash.add", "40", "2"), (0, "42\n", ""))
        self.assertEqual(self.run_it("bash.add", "-40", "0"), (0, "-40\n", ""))

    def test_wrong_arguments_get_an_error(self):
        for wrong in ("x", "", " 1", "1.5", "08", "a[$(date)]", "9" * 19):
            for args in ((wrong, "1"), ("1", wrong)):
                error = "value is not an integer or out of range\n"
                self.assertEqual(self.run_it("bash.add", *args), (1, "", error))


if __name__ == "__main__":
    unittest.main()
