"""That somebody opens what is sealed, on record before they see it."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from permissions.database import StateDatabase
from permissions.setup.layout import StateLayout
from permissions.setup.own_log import own_log
from permissions.trace import own_checkpoint
from permissions.trace.entry import TraceEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.setup.config import BrokerConfig


async def record_access(
    config: BrokerConfig,
    *,
    by: str,
    call: str,
    entries: Sequence[int],
    responder: str,
    reason: str,
) -> None:
    """Records who opens which entries of a call, with which responder's key, and why.

    Raises:
        SigningError: the log's key is not here.
        TraceError: a broker writes the log, or it cannot be written.
        StateError: the database cannot be used.
    """
    body = {"by": by, "call": call, "entries": list(entries), "responder": responder}
    entry = TraceEntry("access", "", body=body, contents={"reason": reason.encode()})
    async with (
        StateDatabase(StateLayout(config.state).database, [own_checkpoint.SCHEMA]) as state,
        own_log(config, state, mode="command", body={"build": version("wardline")}) as log,
    ):
        await log.append([entry], barrier="durable")
