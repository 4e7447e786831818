"""Every row of the decision tables, through each way a decision is made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema
import pytest
from opa_server import opa_server
from policy_cases import DecisionCase, DirectEngine, cases_bundle, decision_cases

from permissions.model import Decision
from permissions.pdp.bundle import shipped_folder
from permissions.pdp.embedded.pdp import EmbeddedPdp
from permissions.pdp.opa import OpaPdp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from permissions.pdp.bundle import PolicyBundle

CASES = decision_cases()
KNOWN_FORM = [case for case in CASES if not case.id.startswith("contract.")]


def each_case(cases: list[DecisionCase]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.id)


@pytest.fixture(scope="module")
def bundle() -> PolicyBundle:
    return cases_bundle()


@pytest.fixture(scope="module")
def engine(bundle: PolicyBundle) -> DirectEngine:
    return DirectEngine(bundle)


@pytest.fixture(scope="module")
async def embedded(bundle: PolicyBundle) -> AsyncIterator[EmbeddedPdp]:
    async with EmbeddedPdp(bundle, hard_deadline=10) as pdp:
        yield pdp


@pytest.fixture(scope="module")
def server(bundle: PolicyBundle) -> Iterator[str]:
    with opa_server(bundle) as url:
        yield url


@pytest.fixture(scope="module")
def input_schema() -> jsonschema.Draft202012Validator:
    text = (shipped_folder() / "schemas" / "input.json").read_text("utf-8")
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@each_case(CASES)
def test_the_engine_decides_the_row(engine: DirectEngine, case: DecisionCase) -> None:
    response = engine.ask(case.document)

    assert case.differences(response) == []
    assert Decision.from_response(response).permitted is case.decision


async def test_the_embedded_decision_point_decides_each_row(embedded: EmbeddedPdp) -> None:
    """The evaluator process gives what its engine gives."""
    wrong = {}
    for case in CASES:
        decided = await embedded.evaluate(case.document)
        if found := case.differences(decided.response):
            wrong[case.id] = found

    assert wrong == {}


@pytest.mark.opa
async def test_an_opa_server_decides_each_row_alike(
    bundle: PolicyBundle, engine: DirectEngine, server: str
) -> None:
    """Value for value, the order of reasons and obligations included."""
    wrong = {}
    async with OpaPdp(bundle, url=server, deadline_seconds=10) as pdp:
        for case in CASES:
            decided = await pdp.evaluate(case.document)
            found = case.differences(decided.response)
            if found or decided.response != engine.ask(case.document):
                wrong[case.id] = found

    assert wrong == {}


@each_case(KNOWN_FORM)
def test_the_row_fits_the_input_schema(
    input_schema: jsonschema.Draft202012Validator, case: DecisionCase
) -> None:
    assert [error.message for error in input_schema.iter_errors(case.document)] == []


@each_case([case for case in CASES if case.id.startswith("contract.")])
def test_an_input_of_unknown_form_breaks_the_schema(
    input_schema: jsonschema.Draft202012Validator, case: DecisionCase
) -> None:
    """The schema and the package `contract` refuse the same."""
    assert not input_schema.is_valid(case.document)


def test_each_package_has_a_row_that_permits_and_one_that_denies() -> None:
    """`contract` has nothing to permit."""
    seen = {(case.id.split(".")[0], case.decision) for case in CASES}
    packages = {name for name, _ in seen}

    assert packages >= {
        path.parent.name
        for path in shipped_folder().rglob("*_test.rego")
        if path.parent.name not in {"joined", "lib", "main"}
    }
    assert {(name, decision) for name in packages for decision in (True, False)} - seen == {
        ("contract", True)
    }
