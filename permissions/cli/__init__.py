"""The `wardline` command. Nouns, then verbs; one module per noun.

Results go to stdout, logs and progress to stderr. Exit codes: 0 yes, 1 failure, 2 wrong usage,
3 denied, 4 pending or expired, 5 integrity failure, 6 sandbox or decision point unavailable.
"""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> None:
    """Runs the command, and ends the process with its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["hook"] and "--help" not in words:
        # Started before each call of a coding agent: what the other commands need is not loaded,
        # and no failure ends with a code that lets the call pass.
        from permissions.coding.hook import main as hook

        hook(words[1:] or [""])
    from permissions.cli.root import app

    quiet_logs()
    app(args=arguments, prog_name="wardline")


def quiet_logs() -> None:
    """Sends the log to stderr, warnings and worse only, so that stdout holds results alone."""
    import logging

    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
