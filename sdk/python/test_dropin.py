"""Tests of dropin.py: `python3 -m unittest` in this folder."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Any, Callable, Optional, Union

import dropin

HERE = Path(__file__).parent
LIMIT = 20
# A sleep that only a cancellation ends.
LONG = 600


def made(function: Callable[..., object], **options: Any) -> dropin.Plugin:
    """Returns a plugin with one command, `it`."""
    plugin = dropin.Plugin("made")
    plugin.add_command(function, "it", **options)
    return plugin


class Case(unittest.TestCase):
    def assert_error(self, text: str, work: Callable[[], object], kind: str = "ERR") -> None:
        with self.assertRaises(dropin.Error) as caught:
            work()
        self.assertEqual((caught.exception.text, caught.exception.kind), (text, kind))


class Declarations(Case):
    def test_command_describes_itself_by_its_function(self) -> None:
        plugin = dropin.Plugin("greet", version="1.0")

        @plugin.command
        def greet(who: str = "world") -> str:
            """A greeting
            of two lines.

            More.
            """
            return f"hello, {who}"

        with dropin.Test(plugin) as test:
            self.assertEqual(
                test.hello,
                {
                    "dropin": 1,
                    "name": "greet",
                    "version": "1.0",
                    "concurrency": 1,
                    "features": [],
                    "commands": [
                        {"name": "greet", "usage": "[WHO]", "help": "A greeting of two lines."}
                    ],
                },
            )
            self.assertEqual(test.call("greet"), "hello, world")
            self.assertEqual(test.call("greet", "Ada"), "hello, Ada")
        self.assertEqual(greet("Bob"), "hello, Bob")

    def test_options_replace_what_the_function_says(self) -> None:
        plugin = dropin.Plugin("p")

        @plugin.command("p.mean", usage=" NUMBER.. ", help="The\nmean.", writes=True, idempotent=True)
        def mean(request: dropin.Request, *numbers: float) -> float:
            "Something else."
            return sum(numbers) / len(numbers)

        with dropin.Test(plugin) as test:
            about = test.commands["p.mean"]
            self.assertEqual((about["usage"], about["help"]), ("NUMBER..", "The mean."))
            self.assertTrue(about["writes"] and about["idempotent"])
            self.assertEqual(test.call("p.mean", 1, 2, 4.5), 2.5)
            wrong = "wrong number of arguments for 'p.mean' command, usage: p.mean NUMBER.."
            self.assert_error(wrong, lambda: test.call("p.mean"))

    def test_usage_line_follows_the_parameters(self) -> None:
        def all_kinds(
            request: dropin.Request, first: int, second: str = "", *rest: bytes, loud: str = ""
        ) -> None: ...

        def plain(one, two=None): ...  # type: ignore[no-untyped-def]

        def untyped_request(request): ...  # type: ignore[no-untyped-def]

        def maybe(number: Optional[int] = None) -> None: ...

        usages: dict[Callable[..., object], str] = {
            all_kinds: "FIRST [SECOND] [REST..]",
            plain: "ONE [TWO]",
            untyped_request: "",
            maybe: "[NUMBER]",
        }
        for function, usage in usages.items():
            with dropin.Test(made(function)) as test:
                self.assertEqual(test.commands["it"]["usage"], usage)

    def test_illegal_declarations_are_refused(self) -> None:
        def bad_type(it: list[str]) -> None: ...

        def two_types(it: Union[str, int]) -> None: ...

        def unknown_type(it: Nowhere) -> None: ...  # type: ignore[name-defined] # noqa: F821

        def keyword(*, it: str) -> None: ...

        async def coroutine() -> None: ...

        for function in (bad_type, two_types, unknown_type, keyword, coroutine):
            with self.assertRaises(TypeError, msg=function.__name__):
                made(function)

        def two(first: str, second: str = "") -> None: ...

        for usage in ("", "A B C", "A..", "[A]"):
            with self.assertRaises(TypeError, msg=usage):
                made(two, usage=usage)
        with self.assertRaises(TypeError):
            made(lambda: None, usage="A")

        def free(request: dropin.Request) -> None: ...

        for usage in ("[A] B", "A.. B", "[A", "A]", "..", "[]", "A...", "a.b"):
            with self.assertRaises(ValueError, msg=usage):
                made(free, usage=usage)
        for name in ("", "Echo", "a b", "é", ".x", "a\n", "x" * 65):
            with self.assertRaises(ValueError, msg=name):
                dropin.Plugin("p").add_command(free, name)
        for name in ("", "Greet", "a.b", "é"):
            with self.assertRaises(ValueError, msg=name):
                dropin.Plugin(name)
        for concurrency in (0, 1025):
            with self.assertRaises(ValueError):
                dropin.Plugin("p", concurrency=concurrency)
        plugin = made(free)
        with self.assertRaises(ValueError):
            plugin.add_command(free, "it")


class Arguments(Case):
    def test_arguments_become_the_types_of_parameters(self) -> None:
        def kinds(text: str, whole: int, real: float, raw: bytes, *rest: int) -> list[object]:
            return [text, whole, real, raw.decode(), *rest]

        with dropin.Test(made(kinds)) as test:
            reply = test.call("it", "ä", "-7", "1e3", "raw", "1", "2")
            self.assertEqual(reply, ["ä", -7, 1000.0, "raw", 1, 2])
            for text in ("", "x", "1.5", "+1", " 1", "1_0", "٣"):
                self.assert_error(
                    f"WHOLE is not an integer: '{text}'",
                    lambda text=text: test.call("it", "", text, "1", ""),  # type: ignore[misc]
                )
            for text in ("", "x", "nan", "inf", "1_0", " 1", "1e999"):
                self.assert_error(
                    f"REAL is not a number: '{text}'",
                    lambda text=text: test.call("it", "", "1", text, ""),  # type: ignore[misc]
                )
            long = "9" * 5000 + "x"
            shown = f"WHOLE is not an integer: '{'9' * 40}...'"
            self.assert_error(shown, lambda: test.call("it", "", long, 1, ""))
            self.assert_error(
                "REST is not an integer: 'x'", lambda: test.call("it", "", 1, 1, "", 1, "x")
            )

    def test_bytes_travel_unchanged_both_ways(self) -> None:
        every = bytes(range(256))
        with dropin.Test(made(lambda data: data[::-1], usage="DATA")) as test:
            self.assert_error("DATA is not valid UTF-8", lambda: test.call("it", every))

        def back(data: bytes) -> bytes:
            return data[::-1]

        with dropin.Test(made(back)) as test:
            self.assertEqual(test.call("it", every), every[::-1])
            self.assertEqual(test.call("it", "text"), b"txet")
            wrong = test._request({"call": "it", "args": [{"base64": "?"}]})
            self.assert_error("DATA is neither a text nor base64", wrong.result)

    def test_request_has_arguments_and_session(self) -> None:
        seen: list[dropin.Request] = []

        def look(request: dropin.Request) -> None:
            seen.append(request)
            request.args

        session = dropin.Session(3, "127.0.0.1:53412", "bob", "laptop", "admin")
        with dropin.Test(made(look, usage="[A..]"), session) as test:
            test.call("it", "ä", 5)
            self.assertEqual((seen[0].command, seen[0].args), ("it", ["ä", "5"]))
            self.assertEqual((seen[0].raw_args, seen[0].session), (["ä".encode(), b"5"], session))
            not_text = "argument 2 is not valid UTF-8"
            self.assert_error(not_text, lambda: test.call("it", "a", b"\xff"))
            test._request({"call": "it", "new": 1, "session": {"id": 9, "new": 2}}).result()
            self.assertEqual(seen[2].session, dropin.Session(9))
            test._request({"call": "it"}).result()
            self.assertEqual((seen[3].args, seen[3].session), ([], dropin.Session()))

    def test_request_has_the_time_of_the_call(self) -> None:
        with dropin.Test(made(lambda request: request.time, writes=True)) as test:
            # What the host sends, in milliseconds, is what the command sees, in seconds.
            call = test._request({"call": "it", "time": 1796014800123})
            self.assertEqual(call.result(), 1796014800.123)
            test.time = 1796014800.001
            self.assertEqual(test.call("it"), 1796014800.001)
            test.time = None
            before = int(time.time())
            self.assertTrue(before <= test.call("it") <= time.time() + 1)

    def test_call_without_a_time_has_the_present(self) -> None:
        with dropin.Test(made(lambda request: request.time)) as test:
            # A command that does not write gets none.
            test.time = 5
            for message in ({}, {"time": None}, {"time": 0}, {"time": -1}, {"time": "x"}):
                before = time.time()
                now = test._request({"call": "it", **message}).result()
                self.assertTrue(before <= now <= time.time(), message)
            self.assertGreaterEqual(test.call("it"), before)


class Replies(Case):
    def test_every_json_value_is_a_reply(self) -> None:
        values: list[object] = [
            None, True, 0, -(2**63), 1.5, "", "ä\n\u2028", [1, [None]], {"a": {"b": 1}},
        ]  # fmt: skip
        left = iter(values)
        with dropin.Test(made(lambda: next(left))) as test:
            for value in values:
                self.assertEqual(test.call("it"), value)

    def test_impossible_replies_become_errors(self) -> None:
        texts = {
            "TypeError: a reply cannot contain bytes": [b""],
            "TypeError: a reply cannot contain object": object(),
            "ValueError: Out of range float values are not JSON compliant": float("nan"),
        }
        for text, value in texts.items():
            with dropin.Test(made(lambda value=value: value)) as test:
                with self.assertRaises(dropin.Error) as caught:
                    test.call("it")
                # Newer versions of Python add the value.
                self.assertTrue(caught.exception.text.startswith(text), caught.exception.text)
        with dropin.Test(made(lambda: "\udcff")) as test:
            with self.assertRaisesRegex(dropin.Error, "UnicodeEncodeError"):
                test.call("it")

    def test_error_reaches_the_caller_with_its_kind(self) -> None:
        def fail(kind: str) -> None:
            raise dropin.Error("no such person \udcff", kind)

        with dropin.Test(made(fail)) as test:
            self.assert_error("no such person ?", lambda: test.call("it", "LENT"), "LENT")
            self.assert_error("no such person ?", lambda: test.call("it", "ERR"))
            self.assertEqual(test.logs, [])
            self.assert_error("unknown command 'other'", lambda: test.call("other"))

    def test_exception_is_an_error_and_a_traceback(self) -> None:
        def divide() -> float:
            return 1 / 0

        with dropin.Test(made(divide)) as test:
            self.assert_error("ZeroDivisionError: division by zero", lambda: test.call("it"))
            ((level, text),) = test.logs
            self.assertEqual(level, "error")
            self.assertTrue(text.startswith("it failed\nTraceback"), text)
            self.assertIn("in divide", text)
        with dropin.Test(made(lambda: sys.exit("bye"))) as test:
            self.assert_error("SystemExit: bye", lambda: test.call("it"))
            self.assert_error("SystemExit: bye", lambda: test.call("it"))


class States(Case):
    def test_state_is_saved_and_restored(self) -> None:
        for concurrency in (1, 3):
            plugin = dropin.Plugin("p", state={"count": 0}, concurrency=concurrency)

            @plugin.command(writes=True)
            def count() -> int:
                plugin.state["count"] += 1
                return int(plugin.state["count"])

            with dropin.Test(plugin) as test:
                self.assertEqual(test.hello["features"], ["state"])
                test.call("count")
                self.assertEqual(test.save(), {"count": 1})
                test.restore({"count": 41})
                self.assertEqual(test.call("count"), 42)

    def test_replay_results_in_the_same_state(self) -> None:
        plugin = dropin.Plugin("p", state={})

        @plugin.command(writes=True)
        def see(request: dropin.Request, name: str) -> None:
            plugin.state[name] = request.time

        session = {"id": 0, "peer": "0.0.0.0:0", "name": "", "role": "admin"}
        record = {"call": "see", "args": ["Ada"], "time": 1796014800123, "session": session}
        states = []
        for _ in range(2):
            with dropin.Test(plugin) as test:
                test.restore({"Bob": 1.5})
                test._request(record).result()
                states.append(test.save())
        self.assertEqual(states, [{"Bob": 1.5, "Ada": 1796014800.123}] * 2)

    def test_wait_takes_no_time_in_a_replay(self) -> None:
        plugin = dropin.Plugin("p", state=0)

        @plugin.command(writes=True)
        def rest(request: dropin.Request) -> bool:
            return request.wait(600)

        with dropin.Test(plugin, dropin.Session(0, "0.0.0.0:0", "")) as test:
            self.assertEqual(test.call("rest"), False)

    def test_hooks_replace_the_plain_state(self) -> None:
        plugin = dropin.Plugin("p")
        seen: list[int] = []

        @plugin.save
        def save() -> object:
            return sorted(seen)

        @plugin.restore
        def restore(state: Any) -> None:
            if not isinstance(state, list):
                raise dropin.Error("it is no list")
            seen.extend(state)

        with dropin.Test(plugin) as test:
            self.assertEqual(test.hello["features"], ["state"])
            test.restore([2, 1])
            self.assertEqual(test.save(), [1, 2])
            self.assert_error("it is no list", lambda: test.restore(5))

    def test_save_does_not_wait_for_running_calls(self) -> None:
        plugin = dropin.Plugin("p", state=5, concurrency=2)
        plugin.add_command(sleep)
        with dropin.Test(plugin) as test:
            calls = [test.start("sleep") for _ in range(2)]
            for call in calls:
                call.wait_for_progress()
            self.assertEqual(test.save(), 5)
            for call in calls:
                call.cancel()


def sleep(request: dropin.Request) -> str:
    """Returns when it is cancelled."""
    request.progress(1, 2, "asleep")
    return "cancelled" if request.wait(LONG) else "slept"


class Calls(Case):
    def test_cancellation_ends_a_wait(self) -> None:
        for concurrency in (1, 2):
            plugin = dropin.Plugin("p", concurrency=concurrency)
            plugin.add_command(sleep)
            with dropin.Test(plugin) as test:
                call = test.start("sleep")
                call.wait_for_progress()
                call.cancel()
                self.assertEqual(call.result(), "cancelled")
                self.assertEqual(call.progress, [(1, 2, "asleep")])

    def test_cancellation_is_seen_by_a_busy_call(self) -> None:
        def busy(request: dropin.Request) -> None:
            request.progress(1, -5, "\udcff")
            while True:
                request.check_cancelled()

        for concurrency in (1, 2):
            plugin = dropin.Plugin("p", concurrency=concurrency)
            plugin.add_command(busy)
            with dropin.Test(plugin) as test:
                call = test.start("busy")
                call.wait_for_progress()
                call.cancel()
                self.assert_error("the command was cancelled", call.result, "CANCELLED")
                self.assertEqual(call.progress, [(1, 0, "?")])

    def test_cancellation_reaches_the_right_call(self) -> None:
        plugin = dropin.Plugin("p", concurrency=2)
        plugin.add_command(sleep)
        with dropin.Test(plugin) as test:
            first, second = test.start("sleep"), test.start("sleep")
            second.cancel()
            self.assertEqual(second.result(), "cancelled")
            self.assertFalse(first._done.is_set())
            first.cancel()
            self.assertEqual(first.result(), "cancelled")

    def test_call_that_waits_its_turn_can_be_cancelled(self) -> None:
        plugin = dropin.Plugin("p")
        plugin.add_command(sleep)
        with dropin.Test(plugin) as test:
            first, second = test.start("sleep"), test.start("sleep")
            first.wait_for_progress()
            second.cancel()
            first.cancel()
            self.assertEqual((first.result(), second.result()), ("cancelled", "cancelled"))
            # The call is over, and an unknown one never was.
            first.cancel()
            dropin.Call(test, 99).cancel()

    def test_wait_ends_with_its_time(self) -> None:
        for concurrency in (1, 2):
            plugin = dropin.Plugin("p", concurrency=concurrency)
            plugin.add_command(lambda request: request.wait(0.01), "wait")
            plugin.add_command(lambda request: request.wait(-1), "past")
            with dropin.Test(plugin) as test:
                self.assertIs(test.call("wait"), False)
                self.assertIs(test.call("past"), False)

    def test_thread_of_a_call_sees_its_cancellation(self) -> None:
        def threaded(request: dropin.Request) -> list[bool]:
            seen: list[bool] = []
            threads = [
                threading.Thread(target=lambda: seen.append(request.wait(LONG))) for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            request.progress(1)
            for thread in threads:
                thread.join()
            return seen

        with dropin.Test(made(threaded)) as test:
            call = test.start("it")
            call.wait_for_progress()
            call.cancel()
            self.assertEqual(call.result(), [True] * 4)

    def test_thread_of_a_call_takes_over_the_reading(self) -> None:
        seen: list[bool] = []

        def hand_over(request: dropin.Request) -> None:
            lock = request._connection._read_lock
            first = threading.Thread(target=request.wait, args=[0.2])
            first.start()
            while first.is_alive() and not lock.locked():
                pass
            second = threading.Thread(target=lambda: seen.append(request.wait(LONG)))
            second.start()
            first.join()
            request.progress(1)
            second.join()

        with dropin.Test(made(hand_over)) as test:
            call = test.start("it")
            call.wait_for_progress()
            call.cancel()
            call.result()
        self.assertEqual(seen, [True])

    def test_answered_calls_leave_nothing(self) -> None:
        for concurrency in (1, 2):
            plugin = dropin.Plugin("p", concurrency=concurrency)
            plugin.add_command(lambda number: 1 / int(number), "it", usage="NUMBER")
            with dropin.Test(plugin) as test:
                for number in (1, 2, 0):
                    call = test.start("it", number)
                    call._done.wait(LIMIT)
                assert plugin._connection
                self.assertEqual(plugin._connection._requests, {})

    def test_calls_run_at_once_up_to_the_concurrency(self) -> None:
        meeting, lock, running, most = threading.Barrier(3), threading.Lock(), [0], [0]

        def count(request: dropin.Request) -> None:
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            request.wait(0.001)
            with lock:
                running[0] -= 1

        plugin = dropin.Plugin("p", concurrency=3)
        plugin.add_command(lambda: meeting.wait(LIMIT) >= 0, "meet")
        with dropin.Test(plugin) as test:
            for _ in range(3):
                calls = [test.start("meet") for _ in range(3)]
                self.assertEqual([call.result() for call in calls], [True] * 3)
        plugin.add_command(count)
        with dropin.Test(plugin) as test:
            # More than a host sends at once.
            for call in [test.start("count") for _ in range(200)]:
                call.result()
        self.assertEqual((most, running), ([3], [0]))

    def test_calls_run_one_by_one_without_concurrency(self) -> None:
        main = threading.Lock()

        def alone() -> bool:
            with main:
                return not main.acquire(blocking=False)

        with dropin.Test(made(alone)) as test:
            calls = [test.start("it") for _ in range(50)]
            self.assertEqual([call.result() for call in calls], [True] * 50)
        threads = {threading.get_ident()}

        def where() -> None:
            threads.add(threading.get_ident())

        with dropin.Test(made(where)) as test:
            test.call("it")
            test.call("it")
        self.assertEqual(len(threads), 2)

    def test_commands_change_while_it_serves(self) -> None:
        plugin = dropin.Plugin("p")

        @plugin.command
        def grow(name: str) -> None:
            plugin.add_command(lambda: name, name, help="New.")

        @plugin.command
        def shrink(name: str) -> None:
            plugin.remove_command(name)

        with dropin.Test(plugin) as test:
            test.call("grow", "leaf")
            self.assertEqual(test.commands["leaf"], {"name": "leaf", "usage": "", "help": "New."})
            self.assertEqual(test.call("leaf"), "leaf")
            test.call("shrink", "leaf")
            self.assertEqual(list(test.commands), ["grow", "shrink"])
            self.assert_error("unknown command 'leaf'", lambda: test.call("leaf"))
            self.assert_error("KeyError: 'leaf'", lambda: test.call("shrink", "leaf"))


class Logs(Case):
    def test_records_reach_the_host(self) -> None:
        plugin = dropin.Plugin("p")

        @plugin.command
        def speak() -> None:
            plugin.log.info("%s words", 2)
            plugin.log.error("bad \udcff")
            logging.warning("of the root")
            logging.getLogger("library").critical("of another")
            plugin.log.debug("below the level")

        with dropin.Test(plugin) as test:
            test.call("speak")
            self.assertEqual(
                test.logs,
                [
                    ("info", "2 words"),
                    ("error", "bad ?"),
                    ("warn", "of the root"),
                    ("error", "library: of another"),
                ],
            )

    def test_levels_have_the_names_of_the_host(self) -> None:
        levels = {50: "error", 40: "error", 30: "warn", 20: "info", 10: "debug", 5: "trace"}
        for number, name in levels.items():
            self.assertEqual(dropin._level(number), name)


class Processes(Case):
    """The plugin as a program, as a host starts it."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "it.py")

    def start(self, code: str, *args: str, **options: Any) -> subprocess.Popen[bytes]:
        body = f"import dropin, logging, os, sys\nplugin = dropin.Plugin('it')\n{code}\n"
        self.path.write_text(f"{body}plugin.run()\n", "utf-8")
        environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONUTF8": "1"}
        # With it, what is printed before `run` is sent at once, and no longer the module's to move.
        environment.pop("PYTHONUNBUFFERED", None)
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, str(self.path), *args],
            stdin=pipe, stdout=pipe, stderr=pipe, env=environment, **options,
        )  # fmt: skip

        def end() -> None:
            process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def talk(self, code: str, *messages: object) -> tuple[list[dict[str, Any]], str]:
        """Sends messages, ends the input, and returns the answers and standard error."""
        process = self.start(code)
        data = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
        out, errors = process.communicate(data, LIMIT)
        self.assertEqual(process.returncode, 0, errors)
        return [json.loads(line) for line in out.splitlines()], errors.decode()

    def test_strays_on_standard_output_break_nothing(self) -> None:
        code = """
print("before", flush=False)
@plugin.command
def stray():
    print("by print")
    os.write(1, b"by descriptor\\n")
    os.system("echo by program")
    return "fine"
"""
        replies, errors = self.talk(code, {"dropin": 1}, {"id": 1, "call": "stray"})
        self.assertEqual(replies[0]["name"], "it")
        self.assertEqual(replies[1:], [{"id": 1, "ok": "fine"}])
        lines = [line.strip() for line in errors.splitlines()]
        self.assertEqual(lines, ["before", "by print", "by descriptor", "by program"])

    def test_program_of_a_command_cannot_read_the_input(self) -> None:
        code = """
import subprocess
@plugin.command
def child():
    return subprocess.run([sys.executable, "-c", "import sys; sys.stdin.read()"]).returncode
"""
        process = self.start(code)
        assert process.stdin and process.stdout
        # One that waits for the input's end hangs, for it does not come.
        limit = threading.Timer(LIMIT, process.stdin.close)
        limit.start()
        self.addCleanup(limit.cancel)
        process.stdin.write(b'{"id":1,"call":"child"}\n')
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), b'{"id":1,"ok":0}\n')
        self.assertFalse(process.stdin.closed)

    def test_running_calls_finish_at_the_end_of_input(self) -> None:
        for concurrency in (1, 4):
            code = f"""
plugin.concurrency = {concurrency}
@plugin.command
def wait(request):
    return request.wait(0.05)
"""
            calls = [{"id": number, "call": "wait"} for number in range(4)]
            replies, _ = self.talk(code, *calls)
            replies.sort(key=lambda reply: int(reply["id"]))
            self.assertEqual(replies, [{"id": number, "ok": False} for number in range(4)])

    def test_lines_that_mean_nothing_are_survived(self) -> None:
        code = "plugin.add_command(lambda: 1, 'one')"
        process = self.start(code)
        lines = [
            b"rubbish", b"\xff", b"[1]", b"5", b"{}", b'{"future":1}', b"[" * 100_000, b"",
            b'{"id":"x","call":"one"}', b'{"id":1,"future":1}', b'{"id":2,"call":5}',
            b'{"cancel":77}', b'{"cancel":[]}',
            b'{"id":3,"call":"one","args":null,"new":[]} ', b'{"id":4,"call":"one"}\r',
        ]  # fmt: skip
        # The last line has no end.
        out, errors = process.communicate(b"\n".join(lines) + b'\n{"id":5,"call":"one"}', LIMIT)
        replies = [json.loads(line) for line in out.splitlines()]
        warnings = [reply for reply in replies if "log" in reply]
        self.assertEqual({reply["log"] for reply in warnings}, {"warn"})
        self.assertEqual(len(warnings), 5)
        unknown = "unknown request"
        self.assertEqual(
            [reply for reply in replies if "id" in reply],
            [
                {"id": 1, "error": unknown},
                {"id": 2, "error": unknown},
                {"id": 3, "ok": 1},
                {"id": 4, "ok": 1},
                {"id": 5, "ok": 1},
            ],
        )
        self.assertEqual((process.returncode, errors), (0, b""))

    def test_list_of_commands_is_not_sent_before_the_hello(self) -> None:
        code = """
@plugin.command
def grow():
    plugin.add_command(lambda: 1, "leaf")
"""
        replies, _ = self.talk(code, {"id": 1, "call": "grow"})
        self.assertEqual(replies, [{"id": 1, "ok": None}])

    def test_large_messages_pass_both_ways(self) -> None:
        code = """
@plugin.command
def echo(data: bytes) -> bytes:
    return data
"""
        text = "x" * 5_000_000
        replies, _ = self.talk(code, {"id": 1, "call": "echo", "args": [text]})
        self.assertEqual(len(replies[0]["bytes"]), (len(text) + 2) // 3 * 4)

    def test_logging_reaches_the_host_without_setup(self) -> None:
        code = """
@plugin.command
def speak():
    plugin.log.info("mine")
    logging.getLogger("library").debug("not shown")
"""
        replies, errors = self.talk(code, {"id": 1, "call": "speak"})
        self.assertEqual(replies, [{"log": "info", "text": "mine"}, {"id": 1, "ok": None}])
        self.assertEqual(errors, "")

    def test_logging_of_the_author_stays_as_it_is(self) -> None:
        code = """
logging.basicConfig(level="DEBUG", format="%(message)s")
plugin.add_command(lambda: plugin.log.debug("mine"), "speak")
"""
        replies, errors = self.talk(code, {"id": 1, "call": "speak"})
        self.assertEqual((replies, errors.split()), ([{"id": 1, "ok": None}], ["mine"]))

    def test_call_ends_when_the_host_is_gone(self) -> None:
        code = f"""
@plugin.command
def report(request):
    for number in range({LONG * 100}):
        request.progress(number)
        if request.wait(0.01):
            return
"""
        for concurrency in (1, 2):
            process = self.start(f"plugin.concurrency = {concurrency}{code}")
            assert process.stdin and process.stdout
            process.stdin.write(b'{"id":1,"call":"report"}\n')
            process.stdin.close()
            self.assertIn(b"progress", process.stdout.readline())
            process.stdout.close()
            self.assertEqual(process.wait(LIMIT), 0)
            process.stdin = process.stdout = None

    def test_arguments_call_a_command(self) -> None:
        code = """
@plugin.command
def greet(who: str = "world") -> str:
    return f"hello, {who}"
plugin.add_command(lambda: [1, None], "list")
plugin.add_command(lambda: b"\\xff", "raw")
"""
        for words, output in {
            ("greet", "Ada"): b"hello, Ada\n", ("list",): b"[1, null]\n", ("raw",): b"\xff",
        }.items():  # fmt: skip
            out, errors = self.start(code, *words).communicate(timeout=LIMIT)
            self.assertEqual((out.replace(b"\r", b""), errors), (output, b""))
        process = self.start(code, "other")
        self.assertEqual(process.communicate(timeout=LIMIT)[1].split(b"\n")[0].strip(),
                         b"error: unknown command 'other'")  # fmt: skip
        self.assertEqual(process.returncode, 1)

    @unittest.skipUnless(os.name == "posix", "it sends a signal")
    def test_interrupt_ends_it_without_a_traceback(self) -> None:
        process = self.start("plugin.add_command(lambda: 1, 'one')")
        assert process.stdin and process.stdout
        process.stdin.write(b'{"id":1,"call":"one"}\n')
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.communicate(timeout=LIMIT), (b"", b""))
        self.assertEqual(process.returncode, 130)


if __name__ == "__main__":
    unittest.main()
