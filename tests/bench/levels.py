"""A full governed call at each level of custody: a second disk, a witness, further signatures."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from callers import CALLS
from calls import POLICY, read_file
from measure import Timed, main, timed_async
from work import WORKSPACE

from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig, PdpConfig, TraceConfig, WitnessConfig
from permissions.setup.factory import open_broker
from permissions.signing.keys import generate
from permissions.tools.call import ToolCall
from permissions.trace.checkpoint import vkey
from wardline import Completed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

ORIGIN = "bench.example/log"


@contextmanager
def witness(folder: Path) -> Iterator[WitnessConfig]:
    """`wardline witness` on this machine, a process of its own."""
    key = vkey(ORIGIN, generate(folder / "log.pem").public)
    argv = [sys.executable, "-m", "permissions", "witness", "--name", "bench.example/w"]
    argv += ["--log", key, "--state", str(folder / "witness"), "--port", "0"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = dict(process.stdout.readline().rsplit(" ", 1) for _ in range(3))
        yield WitnessConfig(url=said["listening on"].strip(), key=said["verifier key"])
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def governed(trace: dict[str, Any]) -> AsyncIterator[Callable[[int], Awaitable[bool]]]:
    """A call through a broker whose record is kept so."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as made:
        folder = Path(made)
        with witness(folder) as asked:
            more: dict[str, Any] = {"key": f"file:{folder / 'log.pem'}", "origin": ORIGIN}
            if trace.get("evidence") == "replicated":
                more["replica"] = folder / "replica"
            if trace.get("evidence") == "witnessed":
                more["witnesses"] = {"w": asked}
            config = BrokerConfig(
                state=folder / "state",
                workspace=Path(WORKSPACE),
                pdp=PdpConfig(policies=POLICY),
                trace=TraceConfig(**more, **trace),
            )
            async with (
                open_broker(config, [read_file]) as broker,
                open_session(broker, agent="bench", roles=["analyst"]) as session,
            ):

                async def call(_: int) -> bool:
                    given = ToolCall("read_file", {"path": "/workspace/a.txt"})
                    answer = await broker.call(session, given)
                    return isinstance(answer, Completed) and answer.value == "done"

                yield call


def timed(**trace: Any) -> Callable[[], Timed]:
    """One caller, one call after the other."""

    async def run() -> Timed:
        async with governed(trace) as call:
            return await timed_async(call, CALLS)

    return lambda: anyio.run(run)


if __name__ == "__main__":
    main(
        {
            "durable": timed(evidence="durable"),
            "replicated": timed(evidence="replicated"),
            "witnessed": timed(evidence="witnessed"),
            "epochs": timed(evidence="durable", epoch_hours=24),
            "post-quantum": timed(evidence="durable", post_quantum=True),
        }
    )
