"""The same call as in `calls`, with the broker as a daemon: one caller, and 64 in four processes."""

from __future__ import annotations

import json
import socket
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

from permissions.broker.ports import now_us
from permissions.service.dial import Credentials, dial_of
from permissions.service.remote import RemoteBroker
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.daemon import tokens_of
from permissions.tools.call import ToolCall
from wardline import Completed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from permissions.service.remote import RemoteRun

CALLS = 1_500
PROCESSES, CALLERS = 4, 16


@contextmanager
def serving(evidence: str, transport: str = "unix") -> Iterator[tuple[str, str]]:
    """The daemon, as a process of its own; gives its address, and a token for it (or none)."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        settings = Path(folder) / "wardline.toml"
        settings.write_text(
            f'workspace = "{WORKSPACE}"\nstate = "{folder}/state"\n'
            f'[pdp]\npolicies = "{POLICY}"\n[trace]\nevidence = "{evidence}"\n'
            '[service]\ntools = ["calls"]\n'
        )
        address, token = f"unix:{folder}/state/broker.sock", ""
        if transport == "tcp":
            with socket.create_server(("127.0.0.1", 0)) as free:
                where = f"127.0.0.1:{free.getsockname()[1]}"
            with settings.open("a") as file:
                file.write(f'tcp = "{where}"\n[service.clients.bench]\n')
                file.write('agents = ["*"]\nroles = ["*"]\n')
            address, token = (
                f"tcp://{where}",
                anyio.run(_token_for, BrokerConfig.load(settings)),
            )
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
            while not _listens(address):
                if daemon.poll() is not None:
                    raise RuntimeError("the daemon did not start")
                time.sleep(0.02)
            yield address, token
        finally:
            daemon.terminate()
            daemon.wait()


async def _token_for(config: BrokerConfig) -> str:
    async with tokens_of(config) as tokens:
        now = now_us()
        return (await tokens.create("bench", now=now, expires=now + 10**10))[1]


def _listens(address: str) -> bool:
    if address.startswith("unix:"):
        with socket.socket(socket.AF_UNIX) as trial:
            return trial.connect_ex(address.removeprefix("unix:")) == 0
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    with socket.socket() as trial:
        return trial.connect_ex((host, int(port))) == 0


def broker_at(address: str, token: str) -> RemoteBroker:
    """The daemon, as its client has it."""
    return RemoteBroker(dial_of(address, Credentials(token or None)), [read_file])


async def asked(broker: RemoteBroker, session: RemoteRun) -> bool:
    """One call; it is an error to be answered otherwise."""
    answer = await broker.call(session, ToolCall("read_file", {"path": "/workspace/a.txt"}))
    if isinstance(answer, Completed) and answer.value == "done":
        return True
    raise WrongAnswerError(f"a caller was answered wrongly: {answer}"[:500])


def alone(evidence: str, transport: str = "unix") -> Timed:
    """One caller, one call after the other."""

    async def run(address: str, token: str) -> Timed:
        broker = broker_at(address, token)
        async with open_session(broker, agent="bench", roles=["analyst"]) as session:  # type: ignore[arg-type]

            async def call(_: int) -> bool:
                return await asked(broker, session)  # type: ignore[arg-type]

            return await timed_async(call, CALLS)

    with serving(evidence, transport) as there:
        return anyio.run(run, *there)


def together(transport: str = "unix") -> Timed:
    """Four processes of sixteen callers."""
    each = max(1, min(6_000, MOST_CALLS) // (PROCESSES * CALLERS))
    with serving("durable", transport) as there:
        program = [sys.executable, __file__, "client", *there, str(each)]
        clients = [subprocess.Popen(program, stdout=subprocess.PIPE) for _ in range(PROCESSES)]
        answers = [client.communicate()[0] for client in clients]
    found = [json.loads(answer) for answer in answers]
    # From the first call to the last: the start of a Python is no part of one.
    took = max(one["ended"] for one in found) - min(one["began"] for one in found)
    return Timed([latency for one in found for latency in one["latencies"]], took)


async def _client(address: str, token: str, calls: int) -> None:
    broker = broker_at(address, token)
    latencies: list[int] = []

    async def caller(session: RemoteRun) -> None:
        for _ in range(calls):
            before = time.monotonic_ns()
            await asked(broker, session)
            latencies.append(time.monotonic_ns() - before)

    async with open_session(broker, agent="bench", roles=["analyst"]) as session:  # type: ignore[arg-type]
        await asked(broker, session)  # type: ignore[arg-type]
        began, used = time.monotonic_ns(), time.process_time_ns()
        async with anyio.create_task_group() as tasks:
            for _ in range(CALLERS):
                tasks.start_soon(caller, session)
        ended, used = time.monotonic_ns(), time.process_time_ns() - used
    said = {"latencies": latencies, "began": began, "ended": ended, "processor": used}
    sys.stdout.write(json.dumps(said) + "\n")


CASES: dict[str, Callable[[], Timed]] = {
    "buffered": lambda: alone("buffered"),
    "durable": lambda: alone("durable"),
    "durable-64": together,
    "tcp-durable": lambda: alone("durable", "tcp"),
    "tcp-durable-64": lambda: together("tcp"),
}

if __name__ == "__main__":
    if sys.argv[1] == "client":
        anyio.run(_client, sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main(CASES)
