#!/usr/bin/env python3
"""A worker in Python with the module dropin.py of sdk/python."""

import dropin

plugin = dropin.Plugin("py-sdk", version="1.0", state=0)


@plugin.command("py-sdk.greet")
def greet(who: str = "world") -> str:
    """A greeting."""
    return f"hello, {who}"


@plugin.command("py-sdk.add")
def add(a: int, b: int) -> int:
    """The sum of two integers."""
    return a + b


@plugin.command("py-sdk.count", writes=True)
def count() -> int:
    """How often it was called."""
    plugin.state += 1
    return plugin.state


@plugin.command("py-sdk.slow")
def slow(request: dropin.Request, seconds: float) -> str:
    """Takes its time, reports progress, and can be cancelled."""
    for step in range(1, 11):
        if request.wait(seconds / 10):
            raise dropin.Cancelled
        request.progress(step, 10)
    return "done"


plugin.run()
