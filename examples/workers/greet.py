#!/usr/bin/env python3
import dropin

plugin = dropin.Plugin("greet", version="1.0")

@plugin.command
def greet(who: str = "world") -> str:
    "A greeting."
    return f"hello, {who}"

plugin.run()
