"""Erasing what a log holds of runs, and keeping it from being erased.

An erasure is recorded first and done then: who wanted it, of which runs, and the ids of the keys
that go. When it is cut off in between, a verifier says that a key is still there, and doing it
again finishes it. Proofs over the log hold on; only the contents are noise.

Copies are reached by their keys: those of folders that are named, and all that were made of the
log alone. A copy that holds `vault.keys` and the vault's key keeps everything; `erase` says which
folders it was done in, and cannot know of others.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

import anyio.to_thread

from permissions import run_keys
from permissions.database import StateDatabase
from permissions.errors import ConfigError, TraceError
from permissions.setup.layout import StateLayout, log_signer
from permissions.setup.own_log import own_log
from permissions.trace import own_checkpoint
from permissions.trace.entry import TraceEntry
from permissions.trace.snapshot import restate_keys
from permissions.trace.store import Store
from permissions.trace.vault import destroy_keys, key_ids

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from permissions.setup.config import BrokerConfig
    from permissions.trace.reader import RecordedEntry

_RUNS_IN_AN_ENTRY = 200
MAX_REASON = 2000
_DAY_US = 24 * 3600 * 1_000_000


@dataclass(slots=True)
class RecordedRun:
    """What a log says of a run in the clear.

    Attributes:
        people: ids of its subject and of everyone it acted for.
        last: time of its last entry, microseconds since 1970 UTC.
        sent: runs of sub-agents it sent, which may hold what it holds.
    """

    run: str
    people: set[str] = field(default_factory=set)
    last: int = 0
    held: bool = False
    sent: set[str] = field(default_factory=set)


def recorded_runs(entries: Iterable[RecordedEntry]) -> dict[str, RecordedRun]:
    """Every run of a log, by its id."""
    runs: dict[str, RecordedRun] = {}
    for entry in entries:
        if entry.type == "hold":
            for name in entry.body.get("runs", ()):
                runs.setdefault(name, RecordedRun(name)).held = bool(entry.body.get("held"))
        if not entry.run:
            continue
        found = runs.setdefault(entry.run, RecordedRun(entry.run))
        found.last = max(found.last, entry.time)
        if entry.type == "run.start":
            subject = entry.body["subject"]
            behalf = subject["properties"].get("on_behalf_of")
            acts = subject["properties"].get("act", ())
            named = [subject["id"], behalf, *(each["id"] for each in acts)]
            found.people |= {str(each).removeprefix("user:") for each in named if each}
        elif entry.type == "delegation":
            found.sent.add(str(entry.body["sent"]))
    return runs


def with_sent(names: Iterable[str], runs: dict[str, RecordedRun]) -> list[str]:
    """These runs and those of the sub-agents they sent, each once, in the order of the log."""
    waiting, chosen = list(names), set()
    while waiting:
        name = waiting.pop()
        if name in runs and name not in chosen:
            chosen.add(name)
            waiting += runs[name].sent
    return [name for name in runs if name in chosen]


def chosen_runs(
    runs: dict[str, RecordedRun],
    *,
    named: Collection[str] = (),
    subject: str | None = None,
    older_than_days: int | None = None,
    now: int,
) -> list[str]:
    """Which runs are meant; those on hold are left out of what age alone chooses.

    Raises:
        ConfigError: a run is not in the log, or is on hold.
    """
    if unknown := sorted(set(named) - runs.keys()):
        raise ConfigError(f"the log has no run {unknown[0][:80]!r}")
    names = list(named)
    if subject is not None:
        names += [run.run for run in runs.values() if subject in run.people]
    found = with_sent(names, runs)
    if held := [name for name in found if runs[name].held]:
        raise ConfigError(
            f"run {held[0][:80]!r} is on hold ({len(held)} of {len(found)}); release it first:"
            " wardline trace hold --release"
        )
    if older_than_days is not None:
        limit = now - older_than_days * _DAY_US
        found += [
            run.run
            for run in runs.values()
            if run.last < limit and not run.held and run.run not in found
        ]
    return found


async def erase(
    config: BrokerConfig,
    runs: Sequence[str],
    *,
    reason: str,
    by: str,
    copies: Sequence[Path] = (),
) -> int:
    """Records that these runs are erased, and destroys their keys; gives how many keys went.

    Args:
        config: the settings of the log.
        runs: which; from `chosen_runs`.
        reason: why, sealed in the record.
        by: who wants it, in the clear.
        copies: further folders with a `vault.keys` of this log.

    Raises:
        TraceWriteError: a broker writes the log; or the keys cannot be destroyed, so do it again.
        TraceError: a copy has no keys file.
        SigningError: a key cannot be used.
    """
    layout = StateLayout(config.state)
    folders = [layout.trace, *copies]
    for copy in copies:
        if not (copy / "vault.keys").is_file():
            raise TraceError(f"{copy} holds no vault.keys of this log")
    keys = key_ids(layout.trace, set(runs))
    entries = []
    for at in range(0, len(runs), _RUNS_IN_AN_ENTRY):
        part = list(runs[at : at + _RUNS_IN_AN_ENTRY])
        ids = sorted(key for run in part for key in keys.get(run, ()))
        body = {"runs": part, "keys": ids, "by": by, "copies": len(copies)}
        entries.append(TraceEntry("erase", "", body=body, contents={"reason": reason.encode()}))
    await _record(config, entries)

    def destroy() -> int:
        store = Store(layout.trace, holder=f"pid {os.getpid()} erases")
        try:
            gone = sum(destroy_keys(folder, set(runs)) for folder in folders)
            restate_keys(layout.trace, log_signer(config))
            return gone
        finally:
            store.close()

    async with StateDatabase(layout.database, [own_checkpoint.SCHEMA]) as state:
        for run in runs:  # what people were shown, and results of calls with a key
            await run_keys.erase(state, run)
    return await anyio.to_thread.run_sync(destroy)


async def hold(
    config: BrokerConfig, runs: Sequence[str], *, held: bool, reason: str, by: str
) -> None:
    """Records that these runs must not be erased, or may be again.

    Raises:
        TraceWriteError: a broker writes the log.
        SigningError: a key cannot be used.
    """
    entry = TraceEntry(
        "hold",
        "",
        body={"runs": list(runs), "held": held, "by": by},
        contents={"reason": reason.encode()},
    )
    await _record(config, [entry])


async def _record(config: BrokerConfig, entries: list[TraceEntry]) -> None:
    path = StateLayout(config.state).database
    async with (
        StateDatabase(path, [own_checkpoint.SCHEMA]) as state,
        own_log(config, state, mode="command", body={"build": version("wardline")}) as log,
    ):
        await log.append(entries, barrier="durable")
