"""Where a drill is played: the copy, the clock, and the runbook's steps as they are taken."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio

from permissions.approval.text import visible
from permissions.drills.result import Phase, Step
from permissions.errors import BrokerError
from permissions.model import Completed
from permissions.setup.factory import open_broker
from permissions.signing.keys import public_half
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence

    from permissions.broker.broker import PermissionBroker
    from permissions.drills.copy import InstallationCopy
    from permissions.drills.result import Result
    from permissions.model import CallResult
    from permissions.run.state import RunState
    from permissions.setup.config import BrokerConfig

COMMAND_SECONDS = 120.0
"""Longest wait for one command."""
SAID_CHARS = 300


class Stage:
    """One drill under way.

    Args:
        copy: what it is played on.
        result: what is written to.
        tell: is told of each step, for people who watch.
    """

    def __init__(
        self, copy: InstallationCopy, result: Result, tell: Callable[[Step], None]
    ) -> None:
        self.copy = copy
        self._result = result
        self._tell = tell
        self._phase: Phase = "detect"
        self._since = monotonic()

    @asynccontextmanager
    async def broker(
        self, tools: Iterable[object], config: BrokerConfig | None = None
    ) -> AsyncIterator[PermissionBroker]:
        """A broker on the copy."""
        async with open_broker(config or self.copy.config, tools) as opened:
            self._result.policies = opened.parts.pdp.revision
            yield opened

    def happened(self, what: str, *, prevented: bool = False) -> None:
        """The incident is there, or the policies prevented it; detection is timed from now on."""
        self._result.happened, self._result.prevented = what, prevented
        self._since = monotonic()

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Steps of one phase; it is timed from the end of the one before."""
        self._phase = name
        yield
        now = monotonic()
        spent = self._result.seconds
        spent[name] = spent.get(name, 0.0) + now - self._since
        self._since = now

    async def run(
        self,
        command: str,
        names: Mapping[str, str] | None = None,
        *,
        exits: int | None = 0,
        says: str = "",
    ) -> str:
        """Takes a step of the runbook, and gives what it printed.

        Args:
            command: as it stands in the runbook.
            names: what is put in for the words in capitals there.
            exits: the exit code it has to have; None for any.
            says: what has to stand in its output.
        """
        words = [_filled(word, names or {}) for word in shlex.split(command)]
        began = monotonic()
        with anyio.move_on_after(COMMAND_SECONDS):
            done = await self._process(words[1:])
            output = done.stdout.decode(errors="replace")
            everything = output + done.stderr.decode(errors="replace")
            worked = exits in (None, done.returncode) and says in everything
            said = _answer(everything, says)
            if exits is not None and done.returncode != exits:
                said = f"exit code {done.returncode}, not {exits}: {said}"
            elif not worked:
                said = f"{says!r} does not stand in it: {said}"
            self._note(Step(self._phase, "command", command, worked, monotonic() - began, said))
            return output
        said = f"no end after {COMMAND_SECONDS:g} s"
        self._note(
            Step(
                self._phase,
                "command",
                command,
                worked=False,
                seconds=COMMAND_SECONDS,
                said=said,
            )
        )
        return ""

    def check(self, what: str, *, holds: bool, said: str = "") -> None:
        """Notes a fact that has to hold."""
        self._note(Step(self._phase, "check", what, holds, 0.0, visible(said)[:SAID_CHARS]))

    async def approve(self, request: str, *people: str) -> None:
        """Has people say yes with the keys of the copy, by the real command; no step of it."""
        for name in people:
            key = f"file:{self.copy.key_of(name)}"
            await self.command("request", "approve", request, "--key", key)

    async def command(self, *words: str) -> str:
        """Runs a command that is no step of the runbook; gives what it printed."""
        return (await self._process(words)).stdout.decode(errors="replace")

    async def _process(self, words: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        return await anyio.run_process(
            [sys.executable, "-P", "-m", "permissions", *words],
            check=False,
            stdin=subprocess.DEVNULL,
            cwd=self.copy.folder,
            env=self.copy.environment(),
        )

    def voter(self, name: str) -> str:
        """An approver and the public half of their key, as `trace votes --key` takes it."""
        return f"{name}={public_half(self.copy.key_of(name))}"

    def _note(self, step: Step) -> None:
        self._result.steps.append(step)
        self._tell(step)


async def call(
    broker: PermissionBroker, session: RunState, tool: str, **arguments: Any
) -> CallResult:
    """One call of the drill's agent; a tool's own error ends the drill."""
    return await broker.call(session, ToolCall(tool, arguments))


def ran(result: CallResult) -> bool:
    """Whether it ran."""
    return isinstance(result, Completed)


def told(result: CallResult) -> str:
    """How it ended, for people."""
    return "it ran" if isinstance(result, Completed) else str(result)


def rows(printed: str) -> list[Any]:
    """The JSON lines that a command printed.

    Raises:
        BrokerError: they are none.
    """
    try:
        return [json.loads(line) for line in printed.splitlines()]
    except ValueError as err:
        raise BrokerError(
            f"a command printed no JSON: {visible(printed)[:SAID_CHARS]}"
        ) from err


def _filled(word: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        word = word.replace(name, value)
    return word


def _answer(output: str, says: str) -> str:
    """The first line that answers, else the first one."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    found = next((line for line in lines if says and says in line), lines[0] if lines else "")
    return visible(found)[:SAID_CHARS]
