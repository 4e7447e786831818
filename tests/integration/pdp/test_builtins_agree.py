"""Every builtin policies may call gives what the real OPA gives, or fails.

The table they are listed in was derived by such a run (`tests/support/rego_builtins.py`); this
one has other seeds, so other calls.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from rego_builtins import MAYBE_UNDEFINED, SEED, TABLE, WALK, calls_of, compare
from rego_oracle import opa_version, oracle

from permissions.pdp.rego.signatures import BUILTINS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rego_oracle import Oracle

pytestmark = [pytest.mark.opa, pytest.mark.unmeasured]
FULL_RUN = (pytest.mark.differential, pytest.mark.timeout(1800))

FULL = 20_000
"""Calls of the whole run, over all builtins."""


@pytest.fixture(scope="module")
def server() -> Iterator[Oracle]:
    with oracle() as running:
        yield running


def test_the_versions_are_those_that_were_compared() -> None:
    table = json.loads(TABLE.read_text())

    assert (table["opa"], table["regorus"]) == (opa_version(), version("gordon-to-regorus"))
    assert table["builtins"].keys() | {WALK} == BUILTINS.keys()


@pytest.mark.parametrize(
    "calls", [400, pytest.param(FULL, marks=FULL_RUN)], ids=["some", "all"]
)
def test_random_calls(server: Oracle, calls: int) -> None:
    names = sorted(BUILTINS.keys() - {WALK})
    each = -(-calls // len(names))
    differences = []
    compared = equal = 0
    for name in names:
        asked = calls_of(name, BUILTINS[name].arguments, each, SEED + 1)
        found = compare(server, asked, may_be_undefined=name in MAYBE_UNDEFINED)
        differences += found.differences
        compared += found.calls
        equal += found.equal

    assert differences == []
    assert compared >= calls
    assert equal > compared / 3
