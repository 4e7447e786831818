"""A full governed call of a tool that does nothing: all eleven steps, signed and on disk."""

from __future__ import annotations

import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import anyio
from measure import Timed, WrongAnswerError, main, timed_async
from work import WORKSPACE

from permissions.sessions.open import open_session
from permissions.setup.config import PdpConfig, TraceConfig
from permissions.setup.factory import open_broker
from permissions.tools.call import ToolCall
from wardline import (
    BrokerConfig,
    Completed,
    PathArg,
    tool,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

POLICY = Path(__file__).parent / "policy"
CALLS = 1_500
CALLERS = 64


@tool(effect="read", impact="low", output="trusted")
async def read_file(path: Annotated[str, PathArg("read")], host: str | None = None) -> str:
    """Does nothing, so that what is measured is the broker."""
    return "done" if path and host is None else "wrong"


@asynccontextmanager
async def governed(
    *, evidence: Literal["buffered", "durable"], policies: Path | None
) -> AsyncIterator[Callable[[int], Awaitable[bool]]]:
    """A call through a broker whose state is on this disk."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        config = BrokerConfig(
            state=Path(folder) / "state",
            workspace=Path(WORKSPACE),
            pdp=PdpConfig(policies=policies),
            trace=TraceConfig(evidence=evidence),
        )
        async with (
            open_broker(config, [read_file]) as broker,
            open_session(broker, agent="bench", roles=["analyst"]) as session,
        ):

            async def call(_: int) -> bool:
                asked = ToolCall("read_file", {"path": "/workspace/a.txt"})
                answer = await broker.call(session, asked)
                return isinstance(answer, Completed) and answer.value == "done"

            yield call


def alone(
    evidence: Literal["buffered", "durable"], policies: Path | None = POLICY
) -> Callable[[], Timed]:
    """One caller, one call after the other."""

    async def run() -> Timed:
        async with governed(evidence=evidence, policies=policies) as call:
            return await timed_async(call, CALLS)

    return lambda: anyio.run(run)


def together() -> Timed:
    """Many callers at once, who share signatures and syncs."""

    async def run() -> Timed:
        latencies: list[int] = []
        async with governed(evidence="durable", policies=POLICY) as call:
            await timed_async(call, CALLERS)

            async def caller() -> None:
                for index in range(CALLS // 16):
                    before = time.perf_counter_ns()
                    if not await call(index):
                        raise WrongAnswerError("one of many callers was answered wrongly")
                    latencies.append(time.perf_counter_ns() - before)

            started = time.perf_counter_ns()
            async with anyio.create_task_group() as callers:
                for _ in range(CALLERS):
                    callers.start_soon(caller)
            return Timed(latencies, time.perf_counter_ns() - started)

    return anyio.run(run)


if __name__ == "__main__":
    main(
        {
            "buffered": alone("buffered"),
            "durable": alone("durable"),
            "durable-together": together,
            "shipped": alone("durable", policies=None),
        }
    )
