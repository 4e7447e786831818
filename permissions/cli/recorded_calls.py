"""The calls of recorded runs as a plan is learned from: those that ran and succeeded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.errors import ConfigError
from permissions.plan.learned import RecordedCall
from permissions.replay.recorded import recorded_decisions
from permissions.trace.reader import read_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.cli.trace_source import TraceSource
    from permissions.model import JsonObject


def recorded_calls(
    source: TraceSource, runs: Sequence[str]
) -> tuple[list[list[RecordedCall]], JsonObject]:
    """The calls of each run in order, and the subject of the first call.

    Raises:
        ConfigError: a run has none, or its contents cannot be opened here.
        TraceError: the log cannot be read.
    """
    vault = source.vault()
    if vault is None:
        raise ConfigError("the vault's key is not here; what was decided cannot be opened")
    entries = [entry for entry in read_entries(source.trace) if entry.run in runs]
    done = {
        entry.call
        for entry in entries
        if entry.type == "outcome" and entry.body.get("status") == "ok"
    }
    found: dict[str, dict[str, JsonObject]] = {run: {} for run in runs}
    for decided in recorded_decisions(iter(entries), vault):
        if decided.action == "tools/call" and decided.call in done and decided.document:
            found[decided.run][decided.call] = decided.document  # the last one let it through
    for run, calls in found.items():
        if not calls:
            raise ConfigError(f"run {run[:80]!r} has no call that ran and can be opened here")
    first = next(iter(found[runs[0]].values()))
    return [[_call(*each) for each in found[run].items()] for run in runs], first["subject"]


def _call(name: str, document: JsonObject) -> RecordedCall:
    tool = document["resource"]
    return RecordedCall(
        id=name,
        tool=tool["id"],
        effect=document["action"]["properties"]["effect"],
        arguments=tool["properties"]["args"],
        provenance=document["context"]["provenance"],
        control=frozenset(tool["properties"]["control"]),
    )
