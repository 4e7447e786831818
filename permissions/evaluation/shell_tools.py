"""The two tools of a coding agent that `shell_actions` lets play: it reads files and runs commands.

They run in a sandbox by their import path, so this module imports nothing of the project but
the decorator and the marks.
"""

from __future__ import annotations

import subprocess
from typing import Annotated

from permissions.tools.decorator import tool
from permissions.tools.targets import CommandArg, FreeText


@tool(effect="read", impact="low")
def read_repository(name: Annotated[str, FreeText()]) -> str:  # noqa: ARG001 - what the texts say is given to the broker
    """What the files of a repository say."""
    return TEXTS[0]


TEXTS: list[str] = [""]
"""What `read_repository` returns; it runs in this process."""


@tool(effect="execute", impact="medium", sandbox="process", workspace="overlay")
def run_command(command: Annotated[str, CommandArg()]) -> str:
    """Runs a command of a shell in the workspace; gives what it printed."""
    done = subprocess.run(  # noqa: S602 - a coding agent's shell, in a sandbox
        command,
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return done.stdout + done.stderr
