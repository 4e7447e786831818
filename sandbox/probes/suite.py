"""Runs the table against backends, a few attempts at a time, and says what held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from sandbox.backends.vm_kernel import kernel_runtime
from sandbox.errors import SandboxProviderError
from sandbox.logs import get_logger
from sandbox.probes.fixtures import Ground, UnseenError, prepared
from sandbox.probes.table import (
    PROBES,
    Outcome,
    not_applicable,
    opened,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from sandbox.probes.table import Probe
    from sandbox.protocol import Sandbox

log = get_logger("probes")

COLUMNS = ("oci", "docker", "bubblewrap")
"""Backends the suite knows how to open."""

TOGETHER = 12
"""Attempts at a time: each is mostly waiting for a sandbox to come and go."""

KERNEL_REMEDY = (
    "not available; install gVisor's runsc (Debian: `apt install runsc`): on PATH it is the OCI"
    " backend's, in the engine's daemon.json under `runtimes` Docker's"
)

ATTEMPT_SECONDS = 60.0
"""For one attempt, after which it counts as open."""


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

    Attempts that measure time run after all others, one by one.

    Args:
        columns: backends that work here.
        numbers: cases to attempt; all when empty.
        progress: told of each finding as it is made.
    """
    rows = [PROBES[number] for number in sorted(numbers or PROBES)]
    findings: list[Finding] = []

    async def work(attempts: Iterator[tuple[Column, Ground, Probe]]) -> None:
        for column, ground, row in attempts:
            outcome = await _outcome(ground, row)
            found = Finding(row.number, column.name, outcome, _promised(ground, row))
            findings.append(found)
            progress(found)

    with prepared() as (folder, canary):
        grounds = [(column, await _ground(column, folder, canary)) for column in columns]
        for alone, together in ((False, TOGETHER), (True, 1)):
            attempts = [(*pair, row) for row in rows if row.alone is alone for pair in grounds]
            queue = iter(attempts)
            async with anyio.create_task_group() as group:
                for _ in range(together):
                    group.start_soon(work, queue)
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
    return weakness is None or (
        weakness.without_group and bool(ground.facts.get("controllers"))
    )


async def _outcome(ground: Ground, row: Probe) -> Outcome:
    if (reason := row.absent.get(ground.backend)) is not None:
        return not_applicable(reason)
    try:
        return await _judged(ground, row)
    except (SandboxProviderError, UnseenError):
        # A busy machine may fail a start, or be slow to show one; another broker's reaper may
        # have ended a job that forges a lease.
        log.info("probe_repeated", number=row.number)
    try:
        return await _judged(ground, row)
    except UnseenError:
        return not_applicable("its processes are not among those of this host")
    except SandboxProviderError as err:
        return _unjudged(row, err)


async def _judged(ground: Ground, row: Probe) -> Outcome:
    """One try.

    Raises:
        SandboxProviderError: the backend failed under it.
        UnseenError: its processes cannot be seen from here.
    """
    try:
        with anyio.fail_after(ATTEMPT_SECONDS):
            return await row.run(ground)
    except Exception as err:  # noqa: BLE001 - whatever it was, the protection was not seen to hold
        first: BaseException = err
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        if isinstance(first, (SandboxProviderError, UnseenError)):
            raise first from None
        return _unjudged(row, first)


def _unjudged(row: Probe, err: BaseException) -> Outcome:
    log.warning("probe_not_judged", number=row.number, error=type(err).__name__)
    return opened(f"could not be judged: {type(err).__name__}: {err!s:.200}")
