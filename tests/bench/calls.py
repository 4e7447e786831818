"""A full governed call of a tool that does nothing: all eleven steps, signed and on disk."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from callers import Evidence, cases
from measure import main
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


@tool(effect="read", impact="low", output="trusted")
async def read_file(path: Annotated[str, PathArg("read")], host: str | None = None) -> str:
    """Does nothing, so that what is measured is the broker."""
    return "done" if path and host is None else "wrong"


@asynccontextmanager
async def governed(
    *, evidence: Evidence, policies: Path | None
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


if __name__ == "__main__":
    main(cases(governed, POLICY))
