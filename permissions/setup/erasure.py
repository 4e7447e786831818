"""Erasing what a log holds of runs, and keeping it from being erased.

An erasure is recorded first and done then: who wanted it, of which runs and kinds of contents, and
the ids of the keys that go. When it is cut off in between, a verifier says that a key is still there, and doing it
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
from permissions.trace.content_kinds import KINDS
from permissions.trace.entry import TraceEntry
from permissions.trace.key_lines import KEYS_FILE, destroy_keys, key_names, kinds_hold
from permissions.trace.snapshot import restate_keys
from permissions.trace.store import Store

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from permissions.setup.config import BrokerConfig
    from permissions.trace.content_kinds import ContentKind
    from permissions.trace.key_lines import KeyName
    from permissions.trace.reader import RecordedEntry

    Chosen = dict[str, tuple[ContentKind, ...]]
    """By run which kinds of its contents go; all when none is named."""

_RUNS_IN_AN_ENTRY = 100
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
) -> list[str]:
    """Which runs are meant, with those of the sub-agents they sent.

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
    return found


def expired(
    runs: dict[str, RecordedRun],
    there: Iterable[KeyName],
    *,
    days: int | None,
    kind_days: Mapping[ContentKind, int],
    now: int,
) -> Chosen:
    """What is older than the clocks let it be.

    Runs on hold are left out, and what has no key any more.

    Args:
        runs: of the log.
        there: the keys that are there.
        days: that a run is kept after its last entry; None for ever.
        kind_days: the same for kinds of its contents.
        now: microseconds since 1970 UTC.
    """
    kinds: dict[str, set[str]] = {}
    for key in there:
        kinds.setdefault(key.run, set()).add(key.kind)
    found: Chosen = {}
    for run in runs.values():
        held = kinds.get(run.run)
        if run.held or not held:
            continue
        age = now - run.last
        old = tuple(
            kind
            for kind in KINDS
            if kind in held and kind in kind_days and age > kind_days[kind] * _DAY_US
        )
        if days is not None and age > days * _DAY_US:
            found[run.run] = ()
        elif old:
            found[run.run] = old
    return found


def keys_there(
    config: BrokerConfig, runs: Collection[str], copies: Sequence[Path] = ()
) -> list[KeyName]:
    """The keys of these runs that are in the log's folder or in a copy.

    Raises:
        TraceError: a keys file cannot be read.
    """
    folders = [StateLayout(config.state).trace, *copies]
    return [name for folder in folders for name in key_names(folder, runs)]


async def erase(
    config: BrokerConfig,
    chosen: Chosen,
    *,
    reason: str,
    by: str,
    copies: Sequence[Path] = (),
) -> int:
    """Records that contents of runs are erased, and destroys their keys; gives how many went.

    A run of which anything was erased does not go on, since what it was is not known any more.

    Args:
        config: the settings of the log.
        chosen: from `chosen_runs` or `expired`.
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
        if not (copy / KEYS_FILE).is_file():
            raise TraceError(f"{copy} holds no {KEYS_FILE} of this log")
    parts = _parts(chosen)
    there = key_names(layout.trace, chosen)
    entries = [
        TraceEntry(
            "erase",
            "",
            body={
                "runs": runs,
                "kinds": list(kinds),
                "keys": sorted(
                    key.id for key in there if key.run in runs and kinds_hold(kinds, key.kind)
                ),
                "by": by,
                "copies": len(copies),
            },
            contents={"reason": reason.encode()},
        )
        for kinds, all_runs in parts.items()
        for runs in _in_entries(all_runs)
    ]
    await _record(config, entries)

    def destroy() -> int:
        store = Store(layout.trace, holder=f"pid {os.getpid()} erases")
        try:
            gone = sum(
                destroy_keys(folder, set(runs), kinds)
                for folder in folders
                for kinds, runs in parts.items()
            )
            restate_keys(layout.trace, log_signer(config))
            return gone
        finally:
            store.close()

    async with StateDatabase(layout.database, [own_checkpoint.SCHEMA]) as state:
        for run in chosen:  # what people were shown, and results of calls with a key
            await run_keys.erase(state, run)
    return await anyio.to_thread.run_sync(destroy)


def _parts(chosen: Chosen) -> dict[tuple[ContentKind, ...], list[str]]:
    """The runs of which the same kinds go."""
    found: dict[tuple[ContentKind, ...], list[str]] = {}
    for run, kinds in chosen.items():
        found.setdefault(kinds, []).append(run)
    return found


def _in_entries(runs: list[str]) -> Iterator[list[str]]:
    """As many of them as an entry has room for."""
    for at in range(0, len(runs), _RUNS_IN_AN_ENTRY):
        yield runs[at : at + _RUNS_IN_AN_ENTRY]


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
