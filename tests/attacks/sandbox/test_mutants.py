"""Each row of the abuse suite is open when what holds it is taken away.

`test_probes` holds the other half: with everything there, the same rows are blocked.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from mutant_table import MUTANTS, NOBODY_SEES, NOTHING_RUNS, NOTHING_STARTS
from mutants import edited, probed

from sandbox.probes import COLUMNS, PROBES

if TYPE_CHECKING:
    from mutants import Edit, Mutant

pytestmark = pytest.mark.unmeasured

AS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0, reason="what is taken away was put there as uid 0"
)
NEEDS = {"docker": pytest.mark.docker, "oci": pytest.mark.oci, "bubblewrap": pytest.mark.bwrap}
ALIKE = [
    pytest.param(name, marks=[NEEDS[name], *([pytest.mark.long] if name == "oci" else [])])
    for name in COLUMNS
]
"""What is taken away here is common to all, and attempts in an OCI runtime are those of Docker."""
BATCHES = sorted({(backend, one.batch) for one in MUTANTS for backend in one.edits})

OUTSIDE_ONLY = {51, 64, 70, 73, 74}
"""Rows that need no attempt from inside: what is refused, or done, before there is a job."""

SEEN_FROM_OUTSIDE = (4, 9, 13, 14, 15, 16, 18, 19, 20, 35, 36, 48, 72, 75)
"""Rows for which a job's processes have to be seen on the host."""


def batch(backend: str, name: str) -> list[Mutant]:
    return [one for one in MUTANTS if one.batch == name and backend in one.edits]


def test_every_edit_still_applies() -> None:
    """A text that is not there any more would take nothing away."""
    groups = {edits for one in MUTANTS for edits in one.edits.values()}

    for edits in (*groups, NOTHING_RUNS, NOBODY_SEES, NOTHING_STARTS):
        edited(edits)


@pytest.mark.parametrize("backend", COLUMNS)
def test_every_row_has_a_mutant(backend: str) -> None:
    """A new row brings what takes it away; what does not apply, or is not promised, has none."""
    held = {number for one in MUTANTS if backend in one.edits for number in one.rows}

    needed = {
        number
        for number, row in PROBES.items()
        if backend not in row.absent
        and (backend not in row.weak or row.weak[backend].unless == "controllers")
    }
    assert held == needed


@pytest.mark.slow
@pytest.mark.timeout(400)
@AS_ROOT
@pytest.mark.parametrize(
    ("backend", "name"),
    [
        pytest.param(backend, name, id=f"{backend}-{name}", marks=NEEDS[backend])
        for backend, name in BATCHES
    ],
)
def test_a_row_without_what_holds_it_is_open(
    backend: str, name: str, subtests: pytest.Subtests
) -> None:
    """Mutants of a batch go together, because no row sees two of them."""
    mutants = batch(backend, name)
    edits = [edit for one in mutants for edit in one.edits[backend]]
    rows = [number for one in mutants for number in one.rows]

    found = probed(backend, rows, edits, lonely=name == "network" and backend != "docker")

    for one in mutants:
        for number in one.rows:
            with subtests.test(one.name, row=number):
                assert found[number][0] == "open", found[number][1]


def attempts_that_fail(
    backend: str, edits: tuple[Edit, ...], rows: tuple[int, ...]
) -> set[int]:
    """The rows that are blocked all the same."""
    found = probed(backend, rows, edits)
    return {number for number, (status, _) in found.items() if status == "blocked"}


@pytest.mark.slow
@pytest.mark.timeout(400)
@AS_ROOT
@pytest.mark.parametrize("backend", ALIKE)
def test_an_attempt_that_was_not_made_is_not_blocked(backend: str) -> None:
    """Neither an exception inside nor a command that does nothing passes for protection."""
    assert attempts_that_fail(backend, NOTHING_RUNS, tuple(PROBES)) <= OUTSIDE_ONLY


@pytest.mark.slow
@pytest.mark.timeout(400)
@AS_ROOT
@pytest.mark.parametrize("backend", ALIKE)
def test_a_sandbox_that_does_not_start_blocks_nothing(backend: str) -> None:
    """Also where an error with a remedy is what a row asks for."""
    assert attempts_that_fail(backend, NOTHING_STARTS, tuple(PROBES)) <= {51, 64, 74}


@pytest.mark.slow
@pytest.mark.timeout(400)
@AS_ROOT
@pytest.mark.parametrize("backend", [pytest.param(name, marks=NEEDS[name]) for name in COLUMNS])
def test_what_the_host_cannot_see_is_not_gone(backend: str) -> None:
    """Under `hidepid`, a process that is not seen may be alive."""
    rows = tuple(n for n in SEEN_FROM_OUTSIDE if backend not in PROBES[n].absent)
    found = probed(backend, rows, NOBODY_SEES)

    assert {number: status for number, (status, _) in found.items()} == dict.fromkeys(
        rows, "not_tried"
    )
