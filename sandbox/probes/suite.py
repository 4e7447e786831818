"""Runs the table against backends, a few attempts at a time, and says what held."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import anyio

from sandbox.backends.vm_kernel import kernel_runtime, refused_runtimes
from sandbox.logs import get_logger
from sandbox.probes.fixtures import Ground, NotTriedError, prepared
from sandbox.probes.table import (
    PROBES,
    Outcome,
    not_applicable,
    not_tried,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from sandbox.probes.table import Probe
    from sandbox.protocol import Sandbox

log = get_logger("probes")

COLUMNS = ("oci", "docker", "bubblewrap")
"""Backends the suite knows how to open."""

TOGETHER = min(12, 3 * (os.cpu_count() or 1))
"""Attempts at a time: each is mostly waiting for a sandbox to come and go."""

KERNEL_REMEDY = (
    "not available; install gVisor's runsc (Debian: `apt install runsc`): on PATH it is the OCI"
    " backend's, in the engine's daemon.json under `runtimes` Docker's"
)

ATTEMPT_SECONDS = 60.0
"""For one attempt, after which it counts as not tried."""


@dataclass(frozen=True, slots=True)
class Column:
    """A backend of the table, with an OCI runtime where one other than the default is meant."""

    sandbox: Sandbox
    runtime: str | None = None

    @property
    def name(self) -> str:
        """As the table shows it: `oci`, `docker`, `docker runsc`, `bubblewrap`."""
        return f"{self.sandbox.name} {self.runtime}" if self.runtime else self.sandbox.name


@dataclass(frozen=True, slots=True)
class Finding:
    """One cell of the table.

    Attributes:
        number: of the case.
        column: name of the backend.
        outcome: how it ended.
        promised: False where the backend does not promise this row.
    """

    number: int
    column: str
    outcome: Outcome
    promised: bool

    @property
    def broken(self) -> bool:
        """True when a promise does not hold."""
        return self.promised and self.outcome.status == "open"

    @property
    def untried(self) -> bool:
        """True when nothing can be said of a promise."""
        return self.promised and self.outcome.status == "not_tried"


async def columns_here(names: Sequence[str] = ()) -> tuple[list[Column], dict[str, str]]:
    """The backends that work on this machine, opened; and why each other one does not.

    A runtime with a kernel of its own is a column; `kernel boundary` is among the missing where
    there is none.

    Args:
        names: backends to look at; all when empty.
    """
    from sandbox.backends.bubblewrap import (
        BubblewrapSandbox,  # late, as the Docker SDK is slow to load
    )
    from sandbox.backends.docker import DockerSandbox
    from sandbox.backends.oci import OciSandbox

    columns: list[Column] = []
    missing: dict[str, str] = {}
    for backend in (OciSandbox, DockerSandbox, BubblewrapSandbox):
        if names and backend.name not in names:
            continue
        sandbox = backend()
        answer = await sandbox.probe()
        if not answer.available:
            await sandbox.aclose()
            missing[backend.name] = f"{answer.missing}; {answer.remedy}"
            continue
        columns.append(Column(sandbox))
        if (runtime := kernel_runtime(answer.facts)) is not None:
            columns.append(Column(sandbox, runtime))
        for refused, why in refused_runtimes(answer.facts).items():
            missing[f"{backend.name} {refused}"] = why
    if not any(column.runtime for column in columns):
        missing["kernel boundary"] = KERNEL_REMEDY
    return columns, missing


async def run_probes(
    columns: Sequence[Column],
    *,
    numbers: Iterable[int] = (),
    progress: Callable[[Finding], None] = lambda _: None,
) -> list[Finding]:
    """Attempts every case on every backend; sorted by case, then by column.

    Attempts that measure time run after all others, one by one; and so does, once more, one
    that did not come about: a busy machine may fail a start or be slow to show one, and another
    broker's reaper may have ended a job that forges a lease.

    Args:
        columns: backends that work here.
        numbers: cases to attempt; all when empty.
        progress: told of each finding as it is made.
    """
    rows = [PROBES[number] for number in sorted(numbers or PROBES)]
    findings: list[Finding] = []
    again: list[tuple[Column, Ground, Probe]] = []

    async def work(attempts: Iterator[tuple[Column, Ground, Probe]], *, last: bool) -> None:
        for column, ground, row in attempts:
            outcome = await _outcome(ground, row)
            if outcome.status == "not_tried" and not last:
                log.info("probe_repeated", number=row.number, reason=outcome.detail)
                again.append((column, ground, row))
                continue
            found = Finding(row.number, column.name, outcome, _promised(ground, row))
            findings.append(found)
            progress(found)

    with prepared() as (folder, canary):
        grounds = [(column, await _ground(column, folder, canary)) for column in columns]
        attempts = {
            alone: [(*pair, row) for row in rows if row.alone is alone for pair in grounds]
            for alone in (False, True)
        }
        queue = iter(attempts[False])
        async with anyio.create_task_group() as group:
            for _ in range(TOGETHER):
                group.start_soon(partial(work, queue, last=False))
        await work(iter(attempts[True]), last=False)
        await work(iter(tuple(again)), last=True)
    order = [column.name for column in columns]
    return sorted(findings, key=lambda found: (found.number, order.index(found.column)))


async def _ground(column: Column, folder: Path, canary: str) -> Ground:
    answer = await column.sandbox.probe()
    path = folder / column.name.replace(" ", "-")
    path.mkdir()
    path.chmod(0o777)  # the isolation has to hold, not the mode
    (path / "canary").write_text(canary, "utf-8")
    return Ground(column.sandbox, column.runtime, answer.facts, path, canary)


def _promised(ground: Ground, row: Probe) -> bool:
    if ground.runtime is not None:
        return False  # its kernel answers otherwise: a report, see the page on it
    weakness = row.weak.get(ground.backend)
    return weakness is None or bool(ground.facts.get(weakness.unless))


async def _outcome(ground: Ground, row: Probe) -> Outcome:
    if (reason := row.absent.get(ground.backend)) is not None:
        return not_applicable(reason)
    try:
        with anyio.fail_after(ATTEMPT_SECONDS):
            return await row.run(ground)
    except TimeoutError:
        return not_tried(f"the attempt was not over in {ATTEMPT_SECONDS:.0f} seconds")
    except Exception as err:  # noqa: BLE001 - whatever it was, the protection was not seen to hold
        first: BaseException = err
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        if isinstance(first, NotTriedError):
            return not_tried(f"{first!s:.300}")
        log.warning("probe_not_judged", number=row.number, error=type(first).__name__)
        return not_tried(f"{type(first).__name__}: {first!s:.250}")
