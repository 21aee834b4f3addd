"""Dropin plugins in Python: a decorator makes a function a command of a Dropin host.

    #!/usr/bin/env python3
    import dropin

    plugin = dropin.Plugin("greet", version="1.0")

    @plugin.command
    def greet(who: str = "world") -> str:
        "A greeting."
        return f"hello, {who}"

    plugin.run()

Put this file and the plugin into the host's plugins folder, and `chmod +x` the plugin. The host
starts it, and clients can call `greet Ada`. `./greet.py greet Ada` calls it without a host.

Parameters are the command's arguments: `str`, `int`, `float` or `bytes`. A default makes one
optional, and `*rest` takes any number. A first parameter of the type `Request` gets the call:
its session, its time, whether it was cancelled, and a way to report progress. A reply is any JSON
value, or `bytes`. `raise Error("no such person")` is an error for the caller.

A command that changes the state declares it: `@plugin.command(writes=True)`. The host journals
these commands, and replays them after a crash.

The module is one file, needs Python 3.9 or newer, and nothing else.
"""

from __future__ import annotations

import base64
import inspect
import json
import logging
import math
import os
import re
import select
import sys
import threading
import time
import types
from collections import deque
from pathlib import Path
from typing import (
    Any,
    Callable,
    Iterator,
    NamedTuple,
    Optional,
    TypeVar,
    Union,
    get_args,
    get_origin,
    overload,
)

__all__ = ["Call", "Cancelled", "Error", "LogHandler", "Plugin", "Request", "Session", "Test"]
__version__ = "0.1.0"

_F = TypeVar("_F", bound=Callable[..., object])

_PROTOCOL = 1
_MOST_CONCURRENT = 1024
# Bytes of one read from the host.
_CHUNK = 1 << 16
# Seconds after which a thread that waits beside a reading one tries to read itself.
_TURN = 0.05
# On Windows no call waits for a pipe with a time limit.
_CAN_WAIT_FOR_INPUT = os.name == "posix"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_INTEGER = re.compile(r"-?[0-9]+")
_LEVELS = ((40, "error"), (30, "warn"), (20, "info"), (10, "debug"))


class Error(Exception):
    """An error for the caller. Nothing is logged.

    `kind` is a word that programs can test for: 1 to 32 of A-Z 0-9 _.
    """

    def __init__(self, text: str, kind: str = "ERR") -> None:
        super().__init__(text)
        self.text = text
        self.kind = kind


class Cancelled(Error):
    """The error of a call that was cancelled, of the kind CANCELLED."""

    def __init__(self, text: str = "the command was cancelled") -> None:
        super().__init__(text, "CANCELLED")


class Session(NamedTuple):
    """The session that a call comes from. A text that the host did not send is empty.

    In a replay `id` is 0, `peer` is `0.0.0.0:0` and `role` is `admin`.
    """

    id: int = 0
    """Its number, never reused while the host runs."""
    peer: str = ""
    """The client's address."""
    name: str = ""
    """The name that the client has set."""
    key: str = ""
    """The name of the key that it logged in with."""
    role: str = ""
    """`user` or `admin`."""


class Request:
    """One call of a command."""

    __slots__ = (
        "_args", "_cancelled", "_connection", "_event", "_session", "_time", "command", "id",
    )  # fmt: skip

    def __init__(self, connection: _Connection, number: int, message: dict[str, Any]) -> None:
        self._connection = connection
        self._args: list[Any] = message.get("args") or []
        self._session: Any = message.get("session")
        self._time: Any = message.get("time")
        self._cancelled = False
        self._event: Optional[threading.Event] = None
        self.id = number
        """The host's number of this call."""
        self.command: str = message["call"]
        """The name of the command."""

    @property
    def args(self) -> list[str]:
        """The arguments. Raises an error for the caller where one is not UTF-8."""
        return [_text(value, f"argument {place}") for place, value in enumerate(self._args, 1)]

    @property
    def raw_args(self) -> list[bytes]:
        """The arguments as bytes."""
        return [_bytes(value, f"argument {place}") for place, value in enumerate(self._args, 1)]

    @property
    def session(self) -> Session:
        """The session that the call comes from."""
        facts = self._session if isinstance(self._session, dict) else {}
        return Session(**{name: facts[name] for name in Session._fields if name in facts})

    @property
    def time(self) -> float:
        """The time of the call, in seconds since 1970, like `time.time()`.

        A command that writes uses it in place of the clock: in a replay it is the time of the first
        run, so that the same state results. It has milliseconds, and may go back when the clock is
        set. In a call of any other command it is the present time, at each use.
        """
        # A whole number of milliseconds; as in Rust, 0 is the present time.
        if type(self._time) is int and self._time > 0:
            return self._time / 1000
        return time.time()

    @property
    def cancelled(self) -> bool:
        """Whether the reply is no longer needed: a long command returns early then.

        It costs about as much as a system call.
        """
        return self._cancelled or self._connection.wait(self, 0)

    def check_cancelled(self) -> None:
        """Raises `Cancelled` once the call is cancelled, for use between two pieces of work."""
        if self.cancelled:
            raise Cancelled

    def wait(self, seconds: float) -> bool:
        """Waits. Returns True as soon as the call is cancelled, False when the time is over.

        In a replay, where the session is 0, the time has passed: it returns False at once.
        """
        if self.session.id == 0:
            return False
        return self._cancelled or self._connection.wait(self, max(seconds, 0))

    def progress(self, done: int, total: int = 0, text: str = "") -> None:
        """Reports progress to the client: `done` of `total`, 0 where the total is unknown."""
        report: list[object] = [max(int(done), 0), max(int(total), 0)]
        if text:
            report.append(_clean(text))
        self._connection.send({"id": self.id, "progress": report})


class Plugin:
    """A plugin: its commands, its state, and the loop that serves a host.

    `concurrency` is the number of calls that may run at once, each in a thread. With 1 they run
    one after the other in the main thread.

    `state` is any JSON value that the commands change as `plugin.state`. The host carries it to
    the next version of the file, and over a restart. It survives a crash if the commands that
    change it declare `writes=True`. Without `state`, and without the hooks `save` and `restore`,
    the host carries nothing.
    """

    def __init__(
        self, name: str, version: str = "0", *, concurrency: int = 1, state: Any = None
    ) -> None:
        if not _NAME.fullmatch(name) or "." in name:
            raise ValueError(
                f"illegal plugin name {name!r}: 1 to 64 of a-z 0-9 - _, a letter or digit first"
            )
        if not 1 <= concurrency <= _MOST_CONCURRENT:
            raise ValueError(f"concurrency is {concurrency}, and not 1 to {_MOST_CONCURRENT}")
        self.name = name
        self.version = version
        self.concurrency = concurrency
        self.state: Any = state
        self.log = logging.getLogger(name)
        """A logger whose records go to the host's log."""
        self._commands: dict[str, _Command] = {}
        self._save: Optional[Callable[[], object]] = None
        self._restore: Optional[Callable[[Any], object]] = None
        self._keeps_state = state is not None
        self._connection: Optional[_Connection] = None
        # Held while the list changes and is sent, so that the last list sent is the newest.
        self._lock = threading.Lock()

    @property
    def data_dir(self) -> Path:
        """The plugin's own folder, which stays when the plugin is replaced."""
        return Path(os.environ.get("DROPIN_DATA_DIR", "."))

    @overload
    def command(self, function: _F, /) -> _F: ...

    @overload
    def command(
        self,
        name: Optional[str] = None,
        /,
        *,
        usage: Optional[str] = None,
        help: Optional[str] = None,
        writes: bool = False,
        idempotent: bool = False,
    ) -> Callable[[_F], _F]: ...

    def command(self, name: Any = None, /, **options: Any) -> Any:
        """Makes a function a command: `@plugin.command`, or `@plugin.command("name", ...)`.

        The name is the function's, the usage line comes from its parameters, the help is the first
        paragraph of its docstring.

        `writes` says that the command changes the state: the host runs these commands one at a
        time, journals them, and replays them after a crash. So their effect depends on the
        arguments, the state and `Request.time` alone, and an error changes nothing. `idempotent`
        says that to run the command twice is as good as to run it once.
        """
        if callable(name):
            return self.add_command(name)
        return lambda function: self.add_command(function, name, **options)

    def add_command(
        self,
        function: _F,
        name: Optional[str] = None,
        *,
        usage: Optional[str] = None,
        help: Optional[str] = None,
        writes: bool = False,
        idempotent: bool = False,
    ) -> _F:
        """Adds a command, also while the plugin serves. Returns the function."""
        command = _Command(function, name, usage, help, writes, idempotent)
        with self._lock:
            if command.name in self._commands:
                raise ValueError(f"there are two commands {command.name!r}")
            self._commands[command.name] = command
            self._send_commands()
        return function

    def remove_command(self, name: str) -> None:
        """Removes a command, also while the plugin serves. Calls of it that run go on.

        Raises KeyError where there is none.
        """
        with self._lock:
            del self._commands[name]
            self._send_commands()

    def save(self, function: Callable[[], object]) -> Callable[[], object]:
        """Makes a function the one that returns the state to keep: any JSON value."""
        self._save, self._keeps_state = function, True
        return function

    def restore(self, function: Callable[[Any], object]) -> Callable[[Any], object]:
        """Makes a function the one that gets the state back. An exception refuses the state."""
        self._restore, self._keeps_state = function, True
        return function

    def run(self) -> None:
        """Serves the host until the input ends, and the running calls with it.

        Standard output belongs to the protocol: from here on, whatever else writes to it, also a
        program that the plugin starts, writes to standard error, and so into the host's log.

        With arguments, `./greet.py greet Ada` calls the command and prints its reply.
        """
        if len(sys.argv) > 1:
            sys.exit(_run_once(self, sys.argv[1:]))
        if sys.stdin is not None and sys.stdin.isatty():
            usages = ", ".join(command.synopsis for command in self._commands.values())
            print(f"{self.name}: reads JSON lines of a Dropin host", file=sys.stderr)
            print(f"To call a command: {sys.argv[0]} COMMAND, of: {usages}", file=sys.stderr)
        source, sink = _take_standard_streams()
        root = logging.getLogger()
        if not root.handlers:
            root.addHandler(LogHandler(self))
            # The level that a program that configures nothing has.
            if root.level == logging.WARNING:
                root.setLevel(logging.INFO)
        try:
            _Connection(self, source, sink).serve()
        except KeyboardInterrupt:
            sys.exit(130)

    def _describe(self) -> list[dict[str, object]]:
        return [command.describe() for command in self._commands.values()]

    def _send_commands(self) -> None:
        connection = self._connection
        if connection is not None and connection.greeted:
            connection.send({"commands": self._describe()})

    def _hello(self, connection: _Connection) -> None:
        with self._lock:
            connection.send(
                {
                    "dropin": _PROTOCOL,
                    "name": self.name,
                    "version": self.version,
                    "concurrency": self.concurrency,
                    "features": ["state"] if self._keeps_state else [],
                    "commands": self._describe(),
                }
            )
            connection.greeted = True

    def _call(self, request: Request) -> object:
        command = self._commands.get(request.command)
        if command is None:
            raise Error(f"unknown command '{request.command}'")
        return command.call(request)

    def _saved(self) -> object:
        return self.state if self._save is None else self._save()

    def _restored(self, state: Any) -> None:
        if self._restore is None:
            self.state = state
        else:
            self._restore(state)


class LogHandler(logging.Handler):
    """Sends log records to the host. `Plugin.run` installs it where `logging` has no handler."""

    def __init__(self, plugin: Plugin) -> None:
        super().__init__()
        self._plugin = plugin

    def emit(self, record: logging.LogRecord) -> None:
        """Sends one record; those of a logger other than the plugin's begin with its name."""
        try:
            connection, text = self._plugin._connection, self.format(record)
            if connection is not None:
                if record.name not in (self._plugin.name, "root"):
                    text = f"{record.name}: {text}"
                connection.log(_level(record.levelno), text)
        except Exception:
            self.handleError(record)


def _level(number: int) -> str:
    return next((name for least, name in _LEVELS if number >= least), "trace")


# Usage lines and parameters


class _Parameter(NamedTuple):
    """A parameter of a command's function that is an argument of the command."""

    name: str
    convert: Callable[[Any, str], object]


class _Command:
    """A function, and how the arguments of a call become its own."""

    def __init__(
        self,
        function: Callable[..., object],
        name: Optional[str],
        usage: Optional[str],
        help: Optional[str],
        writes: bool,
        idempotent: bool,
    ) -> None:
        self.function = function
        self.name: str = function.__name__ if name is None else name
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"illegal command name {self.name!r}: 1 to 64 of a-z 0-9 . - _,"
                " a letter or digit first"
            )
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"command {self.name!r} is an async function: use asyncio.run in it")
        self.help = _one_line(_first_paragraph(function) if help is None else help)
        self.flags = {"writes": writes, "idempotent": idempotent}
        self._read_parameters()
        self._read_usage(usage)

    @property
    def synopsis(self) -> str:
        """The name and the usage line."""
        return f"{self.name} {self.usage}".rstrip()

    def describe(self) -> dict[str, object]:
        """Returns the command as the host is told of it."""
        facts: dict[str, object] = {"name": self.name, "usage": self.usage, "help": self.help}
        facts.update({flag: True for flag, is_set in self.flags.items() if is_set})
        return facts

    def call(self, request: Request) -> object:
        """Calls the function with the arguments of a request."""
        args = request._args
        if not self.least <= len(args) <= self.most:
            raise Error(
                f"wrong number of arguments for '{self.name}' command, usage: {self.synopsis}"
            )
        if self.takes_request and not self.takes_arguments:
            return self.function(request)
        values: list[object] = [request] if self.takes_request else []
        known = len(self.parameters)
        for index, arg in enumerate(args):
            parameter = self.parameters[index] if index < known else self.rest
            if parameter is not None:
                values.append(parameter.convert(arg, parameter.name))
        return self.function(*values)

    def _read_parameters(self) -> None:
        """Takes the arguments of the command from the parameters of the function."""
        self.takes_request = False
        self.parameters: list[_Parameter] = []
        self.rest: Optional[_Parameter] = None
        words: list[str] = []
        for index, parameter in enumerate(inspect.signature(self.function).parameters.values()):
            kind, is_optional = parameter.kind, parameter.default is not parameter.empty
            wanted = self._type_of(parameter)
            if index == 0 and (wanted is Request or (wanted, parameter.name) == (None, "request")):
                self.takes_request = True
                continue
            if kind is parameter.VAR_KEYWORD or (kind is parameter.KEYWORD_ONLY and is_optional):
                continue
            if kind is parameter.KEYWORD_ONLY:
                raise TypeError(f"command {self.name!r}: {parameter.name} needs a default")
            convert = _CONVERSIONS.get(wanted)
            if convert is None:
                raise TypeError(
                    f"command {self.name!r}: an argument cannot become {parameter.annotation}:"
                    f" make {parameter.name} str, int, float or bytes"
                )
            name = parameter.name.upper()
            if kind is parameter.VAR_POSITIONAL:
                self.rest = _Parameter(name, convert)
                words.append(f"[{name}..]")
            else:
                self.parameters.append(_Parameter(name, convert))
                words.append(f"[{name}]" if is_optional else name)
        self.usage = " ".join(words)
        self.takes_arguments = bool(words)
        self.least, self.most = _bounds(self.usage)

    def _read_usage(self, usage: Optional[str]) -> None:
        """Takes the usage line of the author, which has to fit the parameters."""
        if usage is None:
            return
        usage = _one_line(usage)
        least, most = _bounds(usage)
        if self.takes_arguments and not self.least <= least <= most <= self.most:
            raise TypeError(
                f"command {self.name!r}: the usage line '{usage}' does not fit the parameters,"
                f" which are '{self.usage}'"
            )
        if not self.takes_arguments and not self.takes_request and most > 0:
            raise TypeError(f"command {self.name!r}: the function takes no argument of '{usage}'")
        self.usage, self.least, self.most = usage, least, most

    def _type_of(self, parameter: inspect.Parameter) -> object:
        """Returns the type of a parameter, X for Optional[X], or None where none is written."""
        wanted: Any = parameter.annotation
        if wanted is parameter.empty:
            return None
        if isinstance(wanted, str):
            # The text of an annotation, as `from __future__ import annotations` leaves it.
            scope = getattr(inspect.unwrap(self.function), "__globals__", {})
            try:
                wanted = eval(wanted, scope)
            except Exception as error:
                raise TypeError(
                    f"command {self.name!r}: cannot read the type {parameter.annotation!r} of"
                    f" {parameter.name}: {error}"
                ) from error
        if get_origin(wanted) in (Union, getattr(types, "UnionType", Union)):
            types_of_it = [one for one in get_args(wanted) if one is not type(None)]
            return types_of_it[0] if len(types_of_it) == 1 else wanted
        return wanted


def _first_paragraph(function: Callable[..., object]) -> str:
    return (inspect.getdoc(function) or "").split("\n\n")[0]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _bounds(usage: str) -> tuple[int, float]:
    """Returns the smallest and the largest number of arguments that a usage line allows."""

    def refuse(reason: str) -> ValueError:
        return ValueError(f"the usage line '{usage}' cannot be read: {reason}")

    least, words = 0, usage.split()
    is_optional = is_repeated = False
    for word in words:
        shape = re.fullmatch(r"(\[)?[^][.]+(\.\.)?(?(1)\])", word)
        if shape is None:
            raise refuse("an argument is NAME, NAME.., [NAME] or [NAME..]")
        if is_repeated:
            raise refuse("nothing may follow a repeated one")
        if is_optional and not shape[1]:
            raise refuse("only optional ones may follow an optional one")
        is_optional, is_repeated = bool(shape[1]), bool(shape[2])
        least += not is_optional
    return least, math.inf if is_repeated else len(words)


def _bytes(arg: Any, name: str) -> bytes:
    if isinstance(arg, str):
        return arg.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(arg["base64"], validate=True)
    except (KeyError, TypeError, ValueError):
        raise Error(f"{name} is neither a text nor base64") from None


def _text(arg: Any, name: str) -> str:
    if isinstance(arg, str):
        return arg
    try:
        return _bytes(arg, name).decode()
    except UnicodeDecodeError:
        raise Error(f"{name} is not valid UTF-8") from None


def _integer(arg: Any, name: str) -> int:
    text = _text(arg, name)
    try:
        # int() accepts blanks and underscores too.
        if _INTEGER.fullmatch(text):
            return int(text)
    except ValueError:
        pass
    raise Error(f"{name} is not an integer: {_short(text)}")


def _float(arg: Any, name: str) -> float:
    text = _text(arg, name)
    try:
        number = float(text)
        if math.isfinite(number) and "_" not in text and text == text.strip():
            return number
    except ValueError:
        pass
    raise Error(f"{name} is not a number: {_short(text)}")


def _short(text: str) -> str:
    return f"'{text}'" if len(text) <= 40 else f"'{text[:40]}...'"


_CONVERSIONS: dict[object, Callable[[Any, str], object]] = {
    None: _text,
    str: _text,
    int: _integer,
    float: _float,
    bytes: _bytes,
}


# The protocol


def _refuse_type(value: object) -> object:
    raise TypeError(f"a reply cannot contain {type(value).__name__}")


_decode = json.JSONDecoder().raw_decode
# Made once: json.dumps makes an encoder for each call with options.
_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_refuse_type
).encode


def _take_standard_streams() -> tuple[int, int]:
    """Returns descriptors of the protocol, and points 0 at nothing and 1 at standard error.

    The programs that the plugin starts inherit 0 and 1, so they can neither read what the host
    sends nor write between its lines.
    """
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if sys.stdout is not None:
        # With what was printed before.
        sys.stdout.flush()
        reconfigure = getattr(sys.stdout, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)
    return source, sink


class _Connection:
    """The conversation with one host, over two descriptors.

    With a concurrency of 1, one thread reads and calls. A running call reads what comes when it
    asks whether it was cancelled, so that no second thread delays a plain call. Otherwise threads
    take turns.
    """

    def __init__(self, plugin: Plugin, source: int, sink: int) -> None:
        self.greeted = False
        self._plugin = plugin
        self._source, self._sink = source, sink
        self._ended = False
        # The beginning of a line whose end has not come yet.
        self._parts: list[bytes] = []
        self._jobs: deque[Callable[[], None]] = deque()
        # Calls without a reply, for their cancellation.
        self._requests: dict[int, Request] = {}
        self._read_lock, self._write_lock = threading.Lock(), threading.Lock()
        self._event_lock = threading.Lock()
        is_alone = plugin.concurrency == 1 and _CAN_WAIT_FOR_INPUT
        self._pool = None if is_alone else _Pool(plugin.concurrency, self._read)

    def serve(self) -> None:
        """Serves until the input ends and all calls have."""
        self._plugin._connection = self
        try:
            if self._pool is not None:
                self._pool.serve()
            while not self._ended or self._jobs:
                while self._jobs:
                    self._jobs.popleft()()
                if not self._ended:
                    with self._read_lock:
                        self._read()
        finally:
            self._plugin._connection = None

    def send(self, message: object) -> None:
        """Sends one message."""
        self._write(_encode(message))

    def log(self, level: str, text: str) -> None:
        """Sends a line for the host's log."""
        self.send({"log": level, "text": _clean(text)})

    def wait(self, request: Request, seconds: float) -> bool:
        """Waits until the request is cancelled or the time is over. Returns the former."""
        end = time.monotonic() + seconds
        while not request._cancelled:
            left = max(end - time.monotonic(), 0)
            if self._pool is not None:
                self._wait_for_event(request, left)
            elif self._read_lock.acquire(blocking=False):
                try:
                    if not self._ended and select.select([self._source], [], [], left)[0]:
                        self._read()
                        continue
                finally:
                    self._read_lock.release()
                # Only where the input has ended is any time left: nothing more can come.
                time.sleep(max(end - time.monotonic(), 0))
            else:
                # Another thread of this call reads. If it stops, this one has to take over.
                self._wait_for_event(request, min(left, _TURN))
            if time.monotonic() >= end:
                break
        return request._cancelled

    def _wait_for_event(self, request: Request, seconds: float) -> None:
        if seconds > 0:
            with self._event_lock:
                if request._event is None:
                    request._event = threading.Event()
                    if request._cancelled:
                        request._event.set()
            request._event.wait(seconds)

    def _cancel(self, request: Request) -> None:
        with self._event_lock:
            request._cancelled = True
            if request._event is not None:
                request._event.set()

    def _read(self) -> bool:
        """Reads once, and takes the lines that are complete. Returns False once nothing comes."""
        if self._ended:
            return False
        try:
            chunk = os.read(self._source, _CHUNK)
        except ConnectionError:
            chunk = b""
        if not chunk:
            self._ended = True
        self._parts.append(chunk)
        if chunk and b"\n" not in chunk:
            return True
        lines = b"".join(self._parts).split(b"\n")
        self._parts = [] if self._ended else [lines.pop()]
        for line in lines:
            if line:
                self._take(line)
        return True

    def _take(self, line: bytes) -> None:
        """Takes one line: at once, or as a job for the thread that calls."""
        try:
            text = line.decode().strip()
            message, end = _decode(text)
            if end != len(text) or not isinstance(message, dict):
                raise ValueError("it is no object")
        except (ValueError, RecursionError) as error:
            self.log("warn", f"a line of the host is no message: {error}")
            return
        number = message.get("id")
        if type(number) is int:
            if type(message.get("call")) is str:
                call = self._requests[number] = Request(self, number, message)
                self._do(lambda: self._answer(number, lambda: self._plugin._call(call)))
            elif "save" in message:
                self._do_beside(lambda: self._answer(number, self._plugin._saved, is_state=True))
            elif "restore" in message:
                state = message["restore"]
                self._do_beside(lambda: self._answer(number, lambda: self._plugin._restored(state)))
            else:
                self._fail(number, Error("unknown request"))
        elif "cancel" in message:
            target = message["cancel"]
            request = self._requests.get(target) if type(target) is int else None
            if request is not None:
                self._cancel(request)
        elif "dropin" in message:
            self._plugin._hello(self)

    def _do(self, job: Callable[[], None]) -> None:
        if self._pool is None:
            self._jobs.append(job)
        else:
            self._pool.do(job)

    def _do_beside(self, job: Callable[[], None]) -> None:
        """Does a job that must not wait for the calls that run."""
        if self._pool is None:
            self._jobs.append(job)
        else:
            self._pool.do_beside(job)

    def _answer(self, number: int, work: Callable[[], object], is_state: bool = False) -> None:
        """Does the work of a request and sends its reply."""
        try:
            value = work()
            if not is_state and isinstance(value, (bytes, bytearray, memoryview)):
                text = base64.b64encode(value).decode()
                line = f'{{"id":{number},"bytes":"{text}"}}'
            else:
                line = f'{{"id":{number},"ok":{_encode(value)}}}'
            data = line.encode()
        except Error as error:
            self._fail(number, error)
        except (Exception, SystemExit) as error:
            request = self._requests.get(number)
            what = "a request of the host" if request is None else request.command
            self._plugin.log.exception("%s failed", what)
            self._fail(number, Error(f"{type(error).__name__}: {error}"))
        else:
            self._requests.pop(number, None)
            self._write_bytes(data + b"\n")

    def _fail(self, number: int, error: Error) -> None:
        self._requests.pop(number, None)
        message = {"id": number, "error": _clean(error.text)}
        if error.kind != "ERR":
            message["kind"] = error.kind
        self.send(message)

    def _write(self, text: str) -> None:
        self._write_bytes(text.encode() + b"\n")

    def _write_bytes(self, data: bytes) -> None:
        try:
            with self._write_lock:
                written = os.write(self._sink, data)
                while written < len(data):
                    written += os.write(self._sink, memoryview(data)[written:])
        except OSError:
            # The host is gone: nobody waits for what runs.
            self._ended = True
            for request in list(self._requests.values()):
                self._cancel(request)


class _Pool:
    """Threads that take turns at reading, one at a time; each does itself the call that it has read.

    So a call does not pass from one thread to another. At most `size` calls run at once, while one
    more thread reads.
    """

    def __init__(self, size: int, read: Callable[[], bool]) -> None:
        self._size, self._read = size, read
        self._jobs: deque[Callable[[], None]] = deque()
        self._reading, self._lock = threading.Lock(), threading.Lock()
        # Guarded by the lock: calls that run, threads that read or wait to, and all threads.
        self._running = self._idle = 0
        self._threads: list[threading.Thread] = []

    def do(self, job: Callable[[], None]) -> None:
        """Does a job as soon as fewer than `size` run."""
        self._jobs.append(job)

    def do_beside(self, job: Callable[[], None]) -> None:
        """Does a job in a thread of its own."""
        self._start(job)

    def serve(self) -> None:
        """Returns when the input has ended and all jobs are done."""
        self._work()
        # A thread may start another one before it ends.
        while True:
            with self._lock:
                threads = [thread for thread in self._threads if thread.is_alive()]
            if not threads:
                return
            for thread in threads:
                thread.join()

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        with self._lock:
            thread.start()
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]

    def _work(self) -> None:
        job = self._next()
        while job is not None:
            job()
            with self._lock:
                self._running -= 1
            job = self._taken() or self._next()

    def _taken(self) -> Optional[Callable[[], None]]:
        """Returns a job that may run now, if there is one."""
        with self._lock:
            if not self._jobs or self._running == self._size:
                return None
            self._running += 1
            return self._jobs.popleft()

    def _next(self) -> Optional[Callable[[], None]]:
        """Returns the next job, or None where none will come."""
        with self._lock:
            self._idle += 1
        with self._reading:
            job = self._taken()
            while job is None and self._read():
                job = self._taken()
        with self._lock:
            self._idle -= 1
            is_needed = job is not None and self._idle == 0
        if is_needed:
            self._start(self._work)
        return job


def _clean(text: str) -> str:
    """Returns the text without what UTF-8 has no bytes for."""
    return text.encode("utf-8", "replace").decode()


# Tests


class Call:
    """A call that a `Test` has started."""

    def __init__(self, test: Test, number: int) -> None:
        self._test, self._number = test, number
        self._done = threading.Event()
        self._reply: dict[str, Any] = {}
        self.progress: list[tuple[int, int, str]] = []
        """The reports so far: done, total, text."""

    def cancel(self) -> None:
        """Asks the command to return early."""
        self._test._send({"cancel": self._number})

    def result(self, timeout: Optional[float] = 10) -> Any:
        """Waits for the reply and returns it; raises `Error` where it is one.

        Raises TimeoutError after `timeout` seconds; None is without a limit.
        """
        if not self._done.wait(timeout):
            raise TimeoutError(f"no reply within {timeout} s")
        if "error" in self._reply:
            raise Error(self._reply["error"], self._reply.get("kind", "ERR"))
        if "bytes" in self._reply:
            return base64.b64decode(self._reply["bytes"])
        return self._reply["ok"]

    def wait_for_progress(self, count: int = 1, timeout: float = 10) -> None:
        """Waits until the call has reported progress `count` times."""
        end = time.monotonic() + timeout
        while len(self.progress) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(self.progress)} of {count} reports within {timeout} s")
            time.sleep(0.001)


class Test:
    """A host for tests, in the same process. It speaks the protocol as a real host does.

        with dropin.Test(plugin) as test:
            assert test.call("greet", "Ada") == "hello, Ada"
    """

    # Not a class of tests, although its name begins like one.
    __test__ = False

    def __init__(self, plugin: Plugin, session: Optional[Session] = None) -> None:
        self._plugin = plugin
        self._session = session or Session(1, "127.0.0.1:1", "")
        self._calls: dict[int, Call] = {}
        self._greeted = threading.Event()
        self._lock = threading.Lock()
        self.hello: dict[str, Any] = {}
        """The plugin's first message."""
        self.commands: dict[str, dict[str, Any]] = {}
        """The commands by name, each with usage and help."""
        self.logs: list[tuple[str, str]] = []
        """The lines for the host's log so far: level, text."""
        self.time: Optional[float] = None
        """The time of calls from now on, in seconds since 1970; None is the present time.

        As with a real host, only commands that write get it.
        """

    def __enter__(self) -> Test:
        source, self._sink = os.pipe()
        self._source, sink = os.pipe()
        self._descriptors = (source, self._source, sink)
        connection = _Connection(self._plugin, source, sink)

        def serve() -> None:
            try:
                connection.serve()
            finally:
                os.close(sink)

        self._handler = LogHandler(self._plugin)
        logging.getLogger().addHandler(self._handler)
        self._level = self._plugin.log.level
        if self._level == logging.NOTSET:
            self._plugin.log.setLevel(logging.INFO)
        self._threads = [threading.Thread(target=work) for work in (serve, self._receive)]
        for thread in self._threads:
            thread.start()
        self._send({"dropin": _PROTOCOL, "features": ["cancel", "progress", "state"]})
        if not self._greeted.wait(10):
            raise TimeoutError("the plugin has sent no hello")
        return self

    def __exit__(self, *_: object) -> None:
        # As a host does: the end of its input ends a plugin, once its calls have ended.
        os.close(self._sink)
        for thread in self._threads:
            thread.join()
        for descriptor in self._descriptors[:2]:
            os.close(descriptor)
        logging.getLogger().removeHandler(self._handler)
        self._plugin.log.setLevel(self._level)

    def call(
        self, command: str, *args: Union[str, bytes, float], timeout: Optional[float] = 10
    ) -> Any:
        """Calls a command and returns its reply; raises `Error` where it is one."""
        return self.start(command, *args).result(timeout)

    def start(self, command: str, *args: Union[str, bytes, float]) -> Call:
        """Starts a call."""
        sent = [_sent(arg) for arg in args]
        message: dict[str, Any] = {"call": command, "args": sent}
        message["session"] = self._session._asdict()
        if self.commands.get(command, {}).get("writes"):
            message["time"] = round((time.time() if self.time is None else self.time) * 1000)
        return self._request(message)

    def save(self) -> Any:
        """Returns the state that the plugin saves."""
        return self._request({"save": True}).result()

    def restore(self, state: Any) -> None:
        """Hands a state to the plugin; raises `Error` where it refuses it."""
        self._request({"restore": state}).result()

    def _request(self, message: dict[str, Any]) -> Call:
        with self._lock:
            number = len(self._calls) + 1
            call = self._calls[number] = Call(self, number)
        self._send({"id": number, **message})
        return call

    def _send(self, message: dict[str, Any]) -> None:
        data = _encode(message).encode() + b"\n"
        with self._lock:
            while data:
                data = data[os.write(self._sink, data) :]

    def _receive(self) -> None:
        for message in self._messages():
            if "dropin" in message:
                self.hello = message
            if "commands" in message:
                self.commands = {one["name"]: one for one in message["commands"]}
                self._greeted.set()
            elif "log" in message:
                self.logs.append((message["log"], message["text"]))
            elif "progress" in message:
                done, total, *text = message["progress"]
                self._calls[message["id"]].progress.append((done, total, "".join(text)))
            elif "id" in message:
                call = self._calls[message["id"]]
                call._reply = message
                call._done.set()

    def _messages(self) -> Iterator[dict[str, Any]]:
        with open(self._source, "rb", closefd=False) as lines:
            for line in lines:
                yield json.loads(line)


def _sent(arg: Union[str, bytes, float]) -> object:
    """Returns an argument as a host sends it."""
    if isinstance(arg, bytes):
        try:
            return arg.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(arg).decode()}
    return str(arg)


def _run_once(plugin: Plugin, words: list[str]) -> int:
    """Calls a command without a host and prints its reply. Returns the exit status."""
    with Test(plugin) as test:
        try:
            # Arguments that are no text reach Python as surrogates.
            reply = test.call(words[0], *map(os.fsencode, words[1:]), timeout=None)
        except Error as error:
            print(f"error: {error.text}", file=sys.stderr)
            return 1
    if isinstance(reply, bytes):
        sys.stdout.buffer.write(reply)
    else:
        print(reply if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False))
    return 0
