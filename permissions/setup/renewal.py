"""Going on after a log was damaged, restored or lost: a new log that names the old one.

What is there of the old log is moved aside as it is, and nothing of it is believed. The first
entry of the new one says which log it follows, how far that went by what the broker remembers,
and how much of it still verifies; signed like everything else.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

from permissions.database import StateDatabase
from permissions.errors import TraceError, TraceWriteError
from permissions.files import make_folder, sync_folder
from permissions.setup.layout import StateLayout, log_signer, vault_key
from permissions.setup.own_log import LOG_NAME, log_memories, writer_of
from permissions.trace import own_checkpoint
from permissions.trace.checkpoint import parse_checkpoint
from permissions.trace.log import open_log
from permissions.trace.own_checkpoint import DatabaseMemory
from permissions.trace.reader import log_origin
from permissions.trace.store import Store, segments
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from permissions.model import JsonObject
    from permissions.setup.config import BrokerConfig
    from permissions.signing.keys import Signer
    from permissions.trace.own_checkpoint import CheckpointMemory


class Renewed(NamedTuple):
    """The new log, what it says of the old one, and where that was moved to."""

    origin: str
    follows: JsonObject
    set_aside: Path | None


async def renew_log(config: BrokerConfig) -> Renewed:
    """Moves the log aside and begins a new one that follows it. No broker may be open.

    Raises:
        SigningError: the log's key is gone (move its public half away to make another), or a
            key cannot be used.
        TraceWriteError: a broker writes the log, or a file cannot be moved or written.
        StateError: the database cannot be used.
    """
    layout = StateLayout(config.state)
    layout.make(config.workspace)
    async with StateDatabase(layout.database, [own_checkpoint.SCHEMA]) as state:
        database = DatabaseMemory(state)
        known = await _known([database])
        moved = _set_aside(layout)
        signer = log_signer(config)
        memories = log_memories(config, state, signer)
        known |= await _known(memories)
        follows = _facts(moved, signer, known)
        async with open_log(
            layout.trace,
            name=LOG_NAME,
            origin=config.trace.origin,
            signer=signer,
            kek=vault_key(config),
            config={"build": version("wardline")},
            follows=follows,
            writer=writer_of(config, "command"),
        ) as log:
            pass
        checkpoint = verify_trace(layout.trace, key=signer.public).checkpoint
        if checkpoint is None:
            raise TraceWriteError("the new log holds no signed checkpoint")
        for memory in memories:
            await memory.keep(checkpoint)
    return Renewed(log.origin, follows, moved)


async def _known(memories: list[DatabaseMemory] | list[CheckpointMemory]) -> dict[str, str]:
    found = {each.source: await each.last() for each in memories}
    return {source: note for source, note in found.items() if note is not None}


def _set_aside(layout: StateLayout) -> Path | None:
    """Moves the trace folder away, unless there is nothing in it."""
    store = Store(layout.trace, holder=f"pid {os.getpid()} renews the log")
    try:
        if not segments(layout.trace) and not list(layout.trace.glob("vault.keys*")):
            return None
        folder = layout.root / "set-aside"
        target = folder / f"trace-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        make_folder(folder)
        layout.trace.rename(target)
        make_folder(layout.trace)
        sync_folder(folder)
        sync_folder(layout.root)
    except OSError as err:
        raise TraceWriteError(f"the log cannot be moved aside: {err}") from err
    else:
        return target
    finally:
        store.close()


def _facts(moved: Path | None, signer: Signer, known: Mapping[str, str]) -> JsonObject:
    """What is known of the old log: by the farthest checkpoint kept, and by what is left."""
    kept = max(map(parse_checkpoint, known.values()), key=lambda each: each.size, default=None)
    origin, size, reason = None, 0, "nothing of it was left"
    if moved is not None and segments(moved):
        try:
            report = verify_trace(moved, key=signer.public, known=known)
        except TraceError as err:
            reason = str(err)
        else:
            origin, size = log_origin(moved), report.integrity.size
            reason = report.integrity.reason or "it verifies, and was set aside all the same"
    return {
        "origin": kept.origin if kept is not None else origin,
        "kept": None if kept is None else kept.size,
        "root": None if kept is None else kept.root.hex(),
        "verified": size,
        "reason": reason[:500],
        "folder": None if moved is None else moved.name,
    }
