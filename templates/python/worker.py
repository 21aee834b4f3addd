#!/usr/bin/env python3
"""{{project-name}}: a Dropin plugin."""

import dropin

plugin = dropin.Plugin("{{project-name}}", version="0.1.0")


# The parameters are the command's arguments: `who` may be left out. The docstring is its help.
@plugin.command("{{project-name}}.hello")
def hello(request: dropin.Request, who: str = "you") -> str:
    """A greeting."""
    # Into the host's log, under the plugin's name.
    plugin.log.info("%s says hello", request.session.peer)
    if not who:
        raise dropin.Error("WHO must not be empty")
    return f"hello, {who}"


@plugin.command("{{project-name}}.mean", usage="NUMBER..")
def mean(*numbers: float) -> float:
    """The mean of the numbers."""
    return sum(numbers) / len(numbers)


if __name__ == "__main__":
    plugin.run()
