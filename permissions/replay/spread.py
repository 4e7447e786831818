"""A replay over several processes: each takes runs, one after the other, and gives what it found.

A run is never divided: what comes after its first change depends on it. So a log of one run is
replayed by one process.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from permissions.errors import BrokerError, TraceError
from permissions.replay.runs import RunReplayed, RunReplayer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

    from permissions.replay.runs import ReplaySetup

_PATIENCE_SECONDS = 10.0
_Work = tuple[str, int]
"""A run, and the number of its last entry."""


async def replay_here(
    setup: ReplaySetup, runs: Sequence[_Work], on_done: Callable[[RunReplayed], None]
) -> None:
    """Replays runs in this process.

    Raises:
        PolicyLoadError: the candidate must not be used.
        PdpUnavailableError: a decision point does not start.
        TraceError: the log cannot be read.
    """
    async with RunReplayer(setup) as replayer:
        for run, last in runs:
            on_done(await replayer.run(run, last))


def replayed_by(setup: ReplaySetup, runs: Sequence[_Work], jobs: int) -> Iterator[RunReplayed]:
    """Replays runs in `jobs` processes; they come in the order in which they are done. Blocking.

    Raises:
        TraceError: a process ended early, or reports an error; it says which.
    """
    context = multiprocessing.get_context("spawn")
    rest = iter(runs)
    busy: dict[int, Connection] = {}
    processes = []
    try:
        for _ in range(min(jobs, len(runs))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, setup), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            ours.send(next(rest))
            busy[ours.fileno()] = ours
        while busy:
            wait(busy.values())
            for number, each in list(busy.items()):
                if not each.poll():
                    continue
                yield _received(each)
                if (following := next(rest, None)) is None:
                    busy.pop(number).close()
                else:
                    each.send(following)
    finally:
        for each in busy.values():
            each.close()
        for process in processes:
            process.join(timeout=_PATIENCE_SECONDS)
            process.terminate()


def _received(connection: Connection) -> RunReplayed:
    try:
        found = connection.recv()
    except EOFError:
        raise TraceError("a process of the replay ended before it was done") from None
    if isinstance(found, str):
        raise TraceError(found)
    return found  # type: ignore[no-any-return]


def _work(connection: Connection, setup: ReplaySetup) -> None:
    """What each process does, until nothing more is sent."""
    anyio.run(_serve, connection, setup)


async def _serve(connection: Connection, setup: ReplaySetup) -> None:
    try:
        async with RunReplayer(setup) as replayer:
            while True:
                try:
                    run, last = await anyio.to_thread.run_sync(connection.recv)
                except EOFError:
                    return
                connection.send(await replayer.run(run, last))
    except BrokerError as err:
        connection.send(f"{type(err).__name__}: {err}"[:2000])
