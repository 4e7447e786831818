"""The same call as in `calls`, with the broker as a daemon: one caller, and 64 in four processes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from calls import POLICY, read_file
from measure import MOST_CALLS, Timed, WrongAnswerError, main, timed_async
from work import WORKSPACE

from permissions.service.dial import UnixDial
from permissions.service.remote import RemoteBroker
from permissions.sessions.open import open_session
from permissions.tools.call import ToolCall
from wardline import Completed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from permissions.service.remote import RemoteRun

CALLS = 1_500
PROCESSES, CALLERS = 4, 16


@contextmanager
def serving(evidence: str) -> Iterator[Path]:
    """The daemon, as a process of its own; gives its socket."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        settings = Path(folder) / "wardline.toml"
        settings.write_text(
            f'workspace = "{WORKSPACE}"\nstate = "{folder}/state"\n'
            f'[pdp]\npolicies = "{POLICY}"\n[trace]\nevidence = "{evidence}"\n'
            '[service]\ntools = ["calls"]\n'
        )
        socket = Path(folder) / "state" / "broker.sock"
        daemon = subprocess.Popen(
            [sys.executable, "-m", "permissions", "serve"],
            env={
                "WARDLINE_CONFIG": str(settings),
                "PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[2]}",
                "HOME": folder,
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not socket.exists():
                if daemon.poll() is not None:
                    raise RuntimeError("the daemon did not start")
                time.sleep(0.02)
            yield socket
        finally:
            daemon.terminate()
            daemon.wait()


async def _asked(broker: RemoteBroker, session: RemoteRun) -> bool:
    answer = await broker.call(session, ToolCall("read_file", {"path": "/workspace/a.txt"}))
    return isinstance(answer, Completed) and answer.value == "done"


def alone(evidence: str) -> Timed:
    """One caller, one call after the other."""

    async def run(socket: Path) -> Timed:
        broker = RemoteBroker(UnixDial(socket), [read_file])
        async with open_session(broker, agent="bench", roles=["analyst"]) as session:  # type: ignore[arg-type]

            async def call(_: int) -> bool:
                return await _asked(broker, session)  # type: ignore[arg-type]

            return await timed_async(call, CALLS)

    with serving(evidence) as socket:
        return anyio.run(run, socket)


def together() -> Timed:
    """Four processes of sixteen callers."""
    each = max(1, min(6_000, MOST_CALLS) // (PROCESSES * CALLERS))
    with serving("durable") as socket:
        program = [sys.executable, __file__, "client", str(socket), str(each)]
        clients = [subprocess.Popen(program, stdout=subprocess.PIPE) for _ in range(PROCESSES)]
        answers = [client.communicate()[0] for client in clients]
    found = [json.loads(answer) for answer in answers]
    # From the first call to the last: the start of a Python is no part of one.
    took = max(one["ended"] for one in found) - min(one["began"] for one in found)
    return Timed([latency for one in found for latency in one["latencies"]], took)


async def _client(socket: Path, calls: int) -> None:
    broker = RemoteBroker(UnixDial(socket), [read_file])
    latencies: list[int] = []

    async def caller(session: RemoteRun) -> None:
        for _ in range(calls):
            before = time.monotonic_ns()
            if not await _asked(broker, session):
                raise WrongAnswerError("one of many callers was answered wrongly")
            latencies.append(time.monotonic_ns() - before)

    async with open_session(broker, agent="bench", roles=["analyst"]) as session:  # type: ignore[arg-type]
        await _asked(broker, session)  # type: ignore[arg-type]
        began = time.monotonic_ns()
        async with anyio.create_task_group() as tasks:
            for _ in range(CALLERS):
                tasks.start_soon(caller, session)
        ended = time.monotonic_ns()
    said = {"latencies": latencies, "began": began, "ended": ended}
    sys.stdout.write(json.dumps(said) + "\n")


CASES: dict[str, Callable[[], Timed]] = {
    "buffered": lambda: alone("buffered"),
    "durable": lambda: alone("durable"),
    "durable-64": together,
}

if __name__ == "__main__":
    if sys.argv[1] == "client":
        anyio.run(_client, Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main(CASES)
