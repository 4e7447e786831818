"""The embedded engine and the real OPA decide alike, value for value.

An evaluation that fails in the embedded engine is a denial, whatever OPA would say; all else has
to be equal. The seeds are fixed; one OPA server is asked for many inputs at once.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from opa_server import opa_server
from rego_answers import FAILED, LAYER, embedded_answers, requests
from rego_oracle import Oracle, oracle
from rego_policies import random_arguments, random_policy
from rego_programs import random_program, random_values
from rego_samples import sample_request

from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.bundle import PolicyBundle, load_bundle
from permissions.pdp.lint.bundle import check_bundle

pytestmark = [pytest.mark.opa, pytest.mark.unmeasured]
FULL_RUN = (pytest.mark.long, pytest.mark.timeout(1800))

TABLES = Path(__file__).parents[2] / "cases" / "tables.json"
SEED = 20261129
INPUTS = 40
"""Of one random policy."""


@pytest.mark.slow
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
            ours = embedded_answers(bundle.modules, bundle.data, ENTRYPOINT, documents)
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
            ours = embedded_answers(bundle.modules, bundle.data, ENTRYPOINT, documents)
            server.load("main", text)
            for mine, theirs, asked in zip(
                ours, server.answers(ENTRYPOINT, documents), documents, strict=True
            ):
                if mine != FAILED:
                    compared += 1
                    assert mine == theirs, f"{text}\n{asked['resource']['properties']['args']}"
    assert accepted > number / 20


@pytest.mark.parametrize(
    "count", [1_500, pytest.param(20_000, marks=FULL_RUN)], ids=["some", "all"]
)
def test_random_programs(count: int) -> None:
    """As above, with every construct, and with the values that were computed in the answer."""
    rng = random.Random(SEED + 1)  # noqa: S311 - the same programs each time
    compared = failed = accepted = number = 0
    with oracle() as server:
        while compared < count:
            number += 1
            modules = random_program(rng)
            bundle = PolicyBundle.of(modules)
            if check_bundle(bundle):
                continue
            accepted += 1
            documents = [sample_request("t", **random_values(rng)) for _ in range(INPUTS)]
            ours = embedded_answers(bundle.modules, bundle.data, ENTRYPOINT, documents)
            for path, text in modules.items():
                server.load(path.partition("/")[0], text)
            for mine, theirs, asked in zip(
                ours, server.answers(ENTRYPOINT, documents), documents, strict=True
            ):
                if mine == FAILED:
                    failed += 1
                    continue
                compared += 1
                arguments = json.dumps(asked["resource"]["properties"]["args"])
                assert mine == theirs, f"{modules['main/main.rego']}\n{arguments}"
    assert accepted > number / 3
    assert failed < compared
