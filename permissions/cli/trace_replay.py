"""How `wardline trace replay` goes through a log: over processes, with progress, and resumed."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import typer

from permissions.errors import ConfigError
from permissions.replay.rows import Summary
from permissions.replay.runs import ReplaySetup
from permissions.replay.spread import replay_here, replayed_by

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from permissions.cli.trace_source import TraceSource
    from permissions.model import JsonObject
    from permissions.pdp.bundle import PolicyBundle
    from permissions.replay.runs import RunReplayed
    from permissions.trace.index import TraceIndex

_SMALL = 12_000
"""Entries of a log that is replayed before other processes would have started."""
_PROGRESS_SECONDS = 3.0


def replayed(
    source: TraceSource,
    candidate: PolicyBundle | None,
    *,
    jobs: int | None = None,
    resume: Path | None = None,
    since: int | None = None,
) -> tuple[Summary, list[JsonObject]]:
    """Replays under the candidate, or each recorded bundle; gives the rows to look at.

    Newly allowed calls come first, then weaker terms, other changes, and what cannot be replayed.

    Args:
        source: the log.
        candidate: or None.
        jobs: how many processes; without, as the log is long and the machine has processors.
        resume: what is done is kept there, and not done again.
        since: only runs that went on after this time, microseconds since 1970 UTC.

    Raises:
        ConfigError: `resume` is the work of something else.
        TraceError: the log cannot be read, or a process ended early.
    """
    index = source.index()
    setup = ReplaySetup(source.trace, index.file, source.kek(), source.bundles)
    if candidate is not None:
        content = dict(candidate.modules), candidate.data
        setup = replace(setup, under=str(candidate.revision), candidate=content)
    runs = _runs(index, since)
    summary, rows = Summary(), []
    with _Notes(resume, setup.under) as notes:
        rest = []
        for run in runs:
            if (noted := notes.done.get(run)) is None:
                rest.append(run)
            else:
                summary.merge(Summary.of(noted["summary"]))
                rows.extend(noted["rows"])
        progress = _Progress(len(runs), summary.decisions)

        def done(found: RunReplayed) -> None:
            notes.keep(found)
            summary.merge(found.summary)
            rows.extend(found.rows)
            progress.tell(len(runs) - len(rest), summary.decisions)

        entries = rest[-1][1] if rest else 0
        processes = jobs or (1 if entries < _SMALL else len(os.sched_getaffinity(0)))
        if processes > 1 and len(rest) > 1:
            for found in replayed_by(setup, rest, processes):
                done(found)
        else:
            anyio.run(replay_here, setup, rest, done)
    return summary, sorted(rows, key=_urgency)


def _runs(index: TraceIndex, since: int | None) -> list[tuple[str, int]]:
    runs = index.runs()
    if since is None:
        return runs
    with index.reading() as reading:
        return [
            (run, number)
            for run, number in runs
            if any(entry.time >= since for entry in reading.found("number = ?", number))
        ]


def _urgency(row: JsonObject) -> tuple[int, int]:
    """What would run that did not, first."""
    if row["problem"]:
        return 4, row["index"]
    if row["after"] == "allow" and row["before"] != "allow":
        return (0 if row["before"] == "deny" else 1), row["index"]
    return (2 if row["terms"] == "weaker" else 3), row["index"]


class _Notes:
    """What is done, a line for each run, so that a replay goes on where it broke off."""

    def __init__(self, path: Path | None, under: str) -> None:
        self._path, self._under = path, under
        self._file: Any = None
        self.done: dict[tuple[str, int], JsonObject] = {}

    def __enter__(self) -> Self:
        if self._path is None:
            return self
        try:
            text = self._path.read_text() if self._path.exists() else ""
            whole = text[: text.rfind("\n") + 1]
            for line in whole.splitlines():
                self._take(json.loads(line))
            self._file = self._path.open("w")
            self._file.write(whole)
        except (OSError, ValueError, KeyError, TypeError) as err:
            raise ConfigError(f"--resume {self._path} cannot be used: {err}") from err
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def keep(self, found: RunReplayed) -> None:
        """Notes a run that is done."""
        if self._file is None:
            return
        said = {"run": found.run, "last": found.last, "under": self._under,
                "summary": found.summary.document(), "rows": found.rows}  # fmt: skip
        self._file.write(f"{json.dumps(said)}\n")
        self._file.flush()

    def _take(self, said: JsonObject) -> None:
        if said["under"] != self._under:
            raise ConfigError(
                f"--resume {self._path} is of a replay under {said['under'][:23]}, and this one"
                f" is under {self._under[:23]}; name another file"
            )
        self.done[said["run"], said["last"]] = said


class _Progress:
    """Says on standard error how far a long replay is."""

    def __init__(self, runs: int, before: int) -> None:
        self._runs, self._before = runs, before
        self._begun = self._told = time.monotonic()
        self._done = 0

    def tell(self, resumed: int, decisions: int) -> None:
        """One more run is done."""
        self._done += 1
        now = time.monotonic()
        if now - self._told < _PROGRESS_SECONDS:
            return
        self._told = now
        rate = (decisions - self._before) / (now - self._begun)
        typer.echo(
            f"{resumed + self._done} of {self._runs} runs, {decisions} decisions,"
            f" {rate:.0f} a second",
            err=True,
        )
