"""`wardline hook`: what a coding agent starts before each call."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from permissions.coding.hook import main


def hook(
    agent: Annotated[
        Literal["claude-code", "codex", "gemini", "cursor"],
        typer.Argument(help="Whose event comes on standard input."),
    ],
    *,
    ask: Annotated[
        bool,
        typer.Option(
            "--ask",
            help="Put a question that one person may answer to the agent's own prompt, where it"
            " has one. What is answered there is not on record.",
        ),
    ] = False,
    outcomes: Annotated[
        bool,
        typer.Option(
            "--outcomes",
            help="The agent starts this after each call, too, and tells what came of it.",
        ),
    ] = False,
) -> None:
    """Decide the call that a coding agent is about to make.

    Reads the event of the agent's hook as JSON, asks the daemon of the settings, or a helper of
    yours that the first hook starts and that ends when nothing is asked for ten minutes, and
    answers in the agent's form. After a call it records what came of it. `wardline init
    --coding-agent NAME` writes the agent's settings so that it is started. Whatever fails ends
    with exit code 2, with which the call is not made.

    \b
    Examples:
      $ wardline hook claude-code < event.json
      $ wardline hook cursor --ask < event.json
    """
    main([agent, *(["--ask"] if ask else []), *(["--outcomes"] if outcomes else [])])
