"""The embedded engine and the real OPA decide alike, value for value.

An evaluation that fails in the embedded engine is a denial, whatever OPA would say; all else has
to be equal. The seeds are fixed; one OPA server is asked for many inputs at once.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opa_server import opa_server
from rego_mutations import mutated
from rego_oracle import Oracle, oracle
from rego_policies import random_arguments, random_policy
from rego_requests import random_request
from rego_samples import sample_request

from permissions.errors import PdpInputError
from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.bundle import PolicyBundle, load_bundle
from permissions.pdp.input_json import input_bytes
from permissions.pdp.lint.bundle import check_bundle
from permissions.pdp.regorus.engine import UNDEFINED, Engine
from permissions.pdp.regorus.errors import EngineError

if TYPE_CHECKING:
    from permissions.model import JsonObject

pytestmark = pytest.mark.opa
FULL_RUN = (pytest.mark.long, pytest.mark.timeout(1800))

TABLES = Path(__file__).parents[2] / "cases" / "tables.json"
SEED = 20261129
FAILED = "failed"
INPUTS = 40
"""Of one random policy."""

LAYER = """package wardline.layers.team

allow contains "team.tools" if input.resource.id in {"pay", "read_file", "fetch"}

deny contains {"code": "team.night", "agent": "a", "operator": "o", "nearest": null} if {
	[hour, _, _] := time.clock([input.context.time * 1000, "Europe/Berlin"])
	hour < 6
}

obligations contains {"id": "team.e", "type": "evidence", "properties": {}} if {
	input.action.properties.effect != "read"
}
"""


def embedded_answers(bundle: PolicyBundle, rule: str, documents: list[JsonObject]) -> list[Any]:
    """The rule's value per input in a list of one, empty when undefined, or `FAILED`."""
    engine = Engine(bundle.modules, json.dumps(bundle.data))
    answers: list[Any] = []
    for document in documents:
        try:
            value = engine.ask(rule, input_bytes(document).decode())
        except EngineError:
            answers.append(FAILED)
            continue
        answers.append([] if value == UNDEFINED else [json.loads(value)])
    return answers


def requests(rng: random.Random, count: int) -> list[JsonObject]:
    """Questions, three of four of them spoilt somewhere."""
    found: list[JsonObject] = []
    while len(found) < count:
        document = mutated(rng, random_request(rng), rng.choice([0, 1, 2, 5]))
        try:
            input_bytes(document)
        except PdpInputError:
            continue
        found.append(document)
    return found


@pytest.mark.parametrize("tables", ["shipped", "filled", "with a layer"])
@pytest.mark.parametrize(
    "count", [200, pytest.param(10_000, marks=FULL_RUN)], ids=["some", "all"]
)
def test_the_shipped_policies(tables: str, count: int) -> None:
    rng = random.Random(f"{SEED} {tables}")  # noqa: S311 - the same requests each time
    shipped = load_bundle()
    data = shipped.data["wardline"]["tables"]
    if tables != "shipped":
        data = data | json.loads(TABLES.read_text())
    layers = {"layers/team/team.rego": LAYER} if tables == "with a layer" else {}
    bundle = PolicyBundle.of({**shipped.modules, **layers}, {"wardline": {"tables": data}})
    assert check_bundle(bundle) == []
    rules: set[str] = set()
    failed = 0
    with opa_server(bundle) as url:
        server = Oracle(url)
        for _ in range(0, count, 200):
            documents = requests(rng, 200)
            ours = embedded_answers(bundle, ENTRYPOINT, documents)
            for mine, theirs, asked in zip(
                ours, server.answers(ENTRYPOINT, documents), documents, strict=True
            ):
                if mine == FAILED:
                    failed += 1
                    continue
                assert mine == theirs, json.dumps(asked)
                rules |= set(mine[0]["context"]["rules"])
    assert len(rules) > 15
    assert failed <= count / 100


@pytest.mark.parametrize(
    "count", [1_000, pytest.param(60_000, marks=FULL_RUN)], ids=["some", "all"]
)
def test_random_policies(count: int) -> None:
    """Refused policies are not counted, nor evaluations that fail."""
    rng = random.Random(SEED)  # noqa: S311 - the same policies each time
    compared = accepted = number = 0
    with oracle() as server:
        while compared < count:
            number += 1
            text = random_policy(rng, "wardline.main")
            bundle = PolicyBundle.of({"main/main.rego": text})
            if check_bundle(bundle):
                continue
            accepted += 1
            documents = [sample_request("t", **random_arguments(rng)) for _ in range(INPUTS)]
            ours = embedded_answers(bundle, ENTRYPOINT, documents)
            server.load("main", text)
            for mine, theirs, asked in zip(
                ours, server.answers(ENTRYPOINT, documents), documents, strict=True
            ):
                if mine != FAILED:
                    compared += 1
                    assert mine == theirs, f"{text}\n{asked['resource']['properties']['args']}"
    assert accepted > number / 20
