"""OPA's own conformance cases: what loads answers as OPA, and what does not load is listed.

`tests/vectors/rego/conformance.json` names every case that is refused and why. A new name there
is something that policies can no longer say, or that the engine no longer does as OPA:
`python tests/integration/pdp/test_conformance.py` writes it again, for review.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from rego_conformance import LIST, conformance_cases, conformance_folder, outcome
from rego_oracle import opa_version

if TYPE_CHECKING:
    from rego_conformance import Outcome

pytestmark = pytest.mark.opa

LEAST_RIGHT = 1_600


def outcomes() -> dict[str, Outcome]:
    folder = conformance_folder()
    if folder is None:
        pytest.skip(
            "no conformance cases: `go mod download` OPA's sources, or see CONTRIBUTING"
        )
    return {name: outcome(case) for name, case in conformance_cases(folder)}


def listed(found: dict[str, Outcome]) -> dict[str, Any]:
    kinds = Counter(each.kind for each in found.values())
    return {
        "opa": opa_version(),
        "cases": len(found),
        "right": kinds["right"],
        "refused": {n: o.why for n, o in found.items() if o.kind in ("refused", "error")},
        "other": {n: o.why for n, o in found.items() if o.kind == "other"},
    }


@pytest.mark.slow
def test_what_loads_is_right_and_what_does_not_is_listed() -> None:
    found = outcomes()
    known = json.loads(LIST.read_text())

    assert {name: each for name, each in found.items() if each.kind == "wrong"} == {}
    assert sum(each.kind == "right" for each in found.values()) >= LEAST_RIGHT
    now = listed(found)
    assert now["refused"].keys() - known["refused"].keys() == set()
    assert now["other"].keys() - known["other"].keys() == set()
    assert (now["opa"], now["cases"]) == (known["opa"], known["cases"])
    assert now["right"] >= known["right"]


if __name__ == "__main__":
    LIST.parent.mkdir(parents=True, exist_ok=True)
    LIST.write_text(json.dumps(listed(outcomes()), indent=1) + "\n")
    sys.stdout.write(f"wrote {LIST}\n")
