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
from rego_answers import FAILED, LAYER, answer_of, embedded_answers, requests
from rego_oracle import Oracle, oracle
from rego_policies import LINES, random_arguments, random_policy
from rego_programs import random_program, random_values
from rego_samples import sample_request

from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.bundle import PolicyBundle, load_bundle
from permissions.pdp.embedded.form import is_plainly_formed
from permissions.pdp.input_json import input_bytes
from permissions.pdp.linker.linked import link
from permissions.pdp.lint.bundle import check_bundle
from permissions.pdp.regorus.engine import Engine

if TYPE_CHECKING:
    from permissions.model import JsonObject
    from permissions.pdp.linker.linked import LinkedBundle

pytestmark = [pytest.mark.opa, pytest.mark.unmeasured]
FULL_RUN = (pytest.mark.differential, pytest.mark.timeout(1800))

TABLES = Path(__file__).parents[2] / "cases" / "tables.json"
SEED = 20261129
INPUTS = 40
"""Of one random policy."""

OF_SHIPPED = 10_000
"""Questions to the shipped policies, for each of three sets of tables."""

AT_ONCE = 200


@pytest.mark.differential
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("tables", ["shipped", "filled", "with a layer"])
def test_the_shipped_policies(tables: str) -> None:
    """OPA has them as they are written, the engine as the broker serves them: linked."""
    rng = random.Random(f"{SEED} {tables}")  # noqa: S311 - the same requests each time
    shipped = load_bundle()
    data = shipped.data["wardline"]["tables"]
    if tables != "shipped":
        data = data | json.loads(TABLES.read_text())
    layers = {"layers/team/team.rego": LAYER} if tables == "with a layer" else {}
    bundle = PolicyBundle.of({**shipped.modules, **layers}, {"wardline": {"tables": data}})
    assert check_bundle(bundle) == []
    linked = link(bundle)
    assert linked.is_linked
    engine = Engine(linked.modules, json.dumps(bundle.data))
    rules: set[str] = set()
    failed = 0
    with opa_server(bundle) as url:
        server = Oracle(url)
        for _ in range(0, OF_SHIPPED, AT_ONCE):
            documents = requests(rng, AT_ONCE)
            answers = server.answers(ENTRYPOINT, documents)
            for document, theirs in zip(documents, answers, strict=True):
                mine = _served(engine, linked, document)
                if mine == FAILED:
                    failed += 1
                    continue
                assert mine == theirs, json.dumps(document)
                rules |= set(mine[0]["context"]["rules"])
    assert len(rules) > 15
    assert failed <= OF_SHIPPED / 100


def _served(engine: Engine, linked: LinkedBundle, document: JsonObject) -> Any:
    """What the broker's evaluator answers: a call of the plain form is asked for less."""
    raw = input_bytes(document)
    is_plain = bool(linked.formed) and is_plainly_formed(raw)
    return answer_of(engine, linked.formed if is_plain else linked.entrypoint, raw.decode())


@pytest.mark.parametrize(
    ("count", "inputs"),
    [(1_000, INPUTS), pytest.param(60_000, 2 * INPUTS, marks=FULL_RUN)],
    ids=["some", "all"],
)
def test_random_policies(count: int, inputs: int) -> None:
    """Refused policies are not counted, nor evaluations that fail.

    One of eight is made of all lines there are; the others of those that load alone, for of
    the rest the loader takes few.
    """
    rng = random.Random(SEED)  # noqa: S311 - the same policies each time
    alone = {line: random_policy(rng, "wardline.main", [line]) for line in LINES}
    sound = [line for line, text in alone.items() if _is_sound(text)]
    assert len(LINES) / 2 < len(sound) < len(LINES)
    compared = accepted = number = 0
    with oracle() as server:
        while compared < count:
            number += 1
            text = random_policy(rng, "wardline.main", sound if number % 8 else LINES)
            if not _is_sound(text):
                continue
            bundle = PolicyBundle.of({"main/main.rego": text})
            accepted += 1
            documents = [sample_request("t", **random_arguments(rng)) for _ in range(inputs)]
            ours = embedded_answers(bundle.modules, bundle.data, ENTRYPOINT, documents)
            server.load("main", text)
            for mine, theirs, asked in zip(
                ours, server.answers(ENTRYPOINT, documents), documents, strict=True
            ):
                if mine != FAILED:
                    compared += 1
                    assert mine == theirs, f"{text}\n{asked['resource']['properties']['args']}"
    assert accepted > number / 3


def _is_sound(text: str) -> bool:
    return not check_bundle(PolicyBundle.of({"main/main.rego": text}))


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
