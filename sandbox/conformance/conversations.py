"""Commands that are spoken with while they run: what every backend keeps of it.

A registry of its own, for these run once per backend and not behind each wrapper.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from sandbox.conformance.harness import (
    cancelled_when_seen,
    ended,
    mark_of_ours,
    same,
    survivors,
    true,
)
from sandbox.conversation import Conversation
from sandbox.job import CommandJob
from sandbox.profile import MEBIBYTE, SandboxProfile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from sandbox.protocol import Sandbox
    from sandbox.result import ExecResult

CONVERSATION_CHECKS: dict[str, Callable[[Sandbox], Awaitable[None]]] = {}
"""Every check by its name."""

SECONDS = 60.0

LOUD = """
import sys
for line in sys.stdin.buffer:
    sys.stdout.buffer.write(line.upper())
    sys.stdout.buffer.flush()
sys.stderr.write("over")
"""
DEAF = "import os, time; os.close(0); print('deaf', flush=True); time.sleep(0.5); print('done')"
FLOOD = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
GREEDY = "import sys\nsys.stdin.readline()\nheld = bytearray(400 * 1024 * 1024)\nprint('held')"


def check(
    function: Callable[[Sandbox], Awaitable[None]],
) -> Callable[[Sandbox], Awaitable[None]]:
    """Puts a check into the registry."""
    CONVERSATION_CHECKS[function.__name__] = function
    return function


class Talk:
    """One conversation: the far ends, and the result once it has ended."""

    def __init__(
        self, say: MemoryObjectSendStream[bytes], heard: MemoryObjectReceiveStream[bytes]
    ) -> None:
        self.say = say
        self._heard = heard
        self.results: list[ExecResult] = []

    async def hear(self, size: int) -> bytes:
        """So many bytes, or fewer when it ends."""
        found = b""
        async for data in self._heard:
            found += data
            if len(found) >= size:
                break
        return found


@asynccontextmanager
async def talking(
    sandbox: Sandbox, code: str, profile: SandboxProfile | None = None
) -> AsyncIterator[Talk]:
    """Speaks with a program; on leaving, its end has been waited for."""
    say, said = anyio.create_memory_object_stream[bytes](0)
    hears, heard = anyio.create_memory_object_stream[bytes](0)
    talk = Talk(say, heard)

    async def run() -> None:
        async with hears, said:
            result = await sandbox.run(
                CommandJob(("python3", "-c", code)),
                profile or SandboxProfile(wall_seconds=SECONDS),
                conversation=Conversation(said, hears),
            )
        talk.results.append(result)

    async with heard, anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        async with say:
            yield talk


@check
async def a_command_is_spoken_with_while_it_runs(sandbox: Sandbox) -> None:
    """Each line is answered before the next is said, whatever its size, until the input ends."""
    async with talking(sandbox, LOUD) as talk:
        for text in (b"one\n", b"x" * 300_000 + b"\n", b"three\n"):
            await talk.say.send(text)
            same("answer", await talk.hear(len(text)), text.upper())
        await talk.say.aclose()
        same("after the end", await talk.hear(1), b"")

    (result,) = talk.results
    ended(result, "ok")
    same("of stderr the end is kept", (result.stdout, result.stderr), (b"", b"over"))


@check
async def one_that_closed_its_input_is_spoken_to_in_vain(sandbox: Sandbox) -> None:
    """Nothing breaks, and its output goes on."""
    async with talking(sandbox, DEAF) as talk:
        first = await talk.hear(5)
        await talk.say.send(b"y" * 200_000)
        await talk.say.aclose()
        rest = await talk.hear(6)

    same("output", first + rest, b"deaf\ndone\n")
    ended(talk.results[0], "ok")


@check
async def a_flood_is_held_up_by_who_does_not_listen(sandbox: Sandbox) -> None:
    """Nothing is kept of what nobody takes, and time is still up."""
    profile = SandboxProfile(wall_seconds=4, output_bytes=1000)
    async with talking(sandbox, FLOOD, profile) as talk:
        true("it floods", len(await talk.hear(300_000)) >= 300_000)

    ended(talk.results[0], "timeout")
    same("kept", talk.results[0].stdout, b"")


@check
async def a_limit_ends_it_and_is_told(sandbox: Sandbox) -> None:
    """Memory beyond the profile's, in the middle of a conversation."""
    profile = SandboxProfile(wall_seconds=SECONDS, memory_bytes=128 * MEBIBYTE)
    async with talking(sandbox, GREEDY, profile) as talk:
        await talk.say.send(b"go\n")
        same("it ends unheard", await talk.hear(1), b"")

    true("verdict", talk.results[0].verdict in {"oom", "exit", "signal"})


@check
async def giving_up_leaves_nothing(sandbox: Sandbox) -> None:
    """Cancelled while the command runs."""
    mark = mark_of_ours()
    code = f"import os; os.execvp('sleep', ['sleep', '{mark}'])"

    async def run() -> None:
        async with talking(sandbox, code) as talk:
            await talk.hear(1)

    await cancelled_when_seen(run, mark)
    same("survivors", survivors(mark), [])
