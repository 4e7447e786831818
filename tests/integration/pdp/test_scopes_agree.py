"""The embedded engine binds what OPA binds, and keeps what OPA keeps; see `rego_scopes`."""

from __future__ import annotations

import json
import random

import pytest
from rego_answers import FAILED
from rego_conformance import OF_THE_CONTRACT
from rego_oracle import oracle
from rego_scopes import INPUTS, scope_programs

from permissions.pdp.bundle import PolicyBundle
from permissions.pdp.lint.bundle import check_bundle
from permissions.pdp.regorus.engine import UNDEFINED, Engine
from permissions.pdp.regorus.errors import EngineError

pytestmark = [pytest.mark.opa, pytest.mark.unmeasured]

SEED = 20261130
RULE = "data.t.p"


def embedded(text: str) -> list[object]:
    """The rule's value per input in a list of one, empty when undefined, or `FAILED`."""
    engine = Engine({"t.rego": text}, "{}")
    answers: list[object] = []
    for document in INPUTS:
        try:
            value = engine.ask(RULE, json.dumps(document))
        except EngineError:
            answers.append(FAILED)
            continue
        answers.append([] if value == UNDEFINED else [json.loads(value)])
    return answers


@pytest.mark.parametrize(
    "count", [120, pytest.param(10_000, marks=pytest.mark.differential)], ids=["some", "all"]
)
def test_what_is_taken_answers_as_opa(count: int) -> None:
    programs = list(scope_programs())
    rng = random.Random(SEED)  # noqa: S311 - the same programs each time
    chosen = programs if count >= len(programs) else rng.sample(programs, count)
    taken = answered = 0
    with oracle() as server:
        for text in chosen:
            found = check_bundle(PolicyBundle.of({"t.rego": text}, {}), entrypoint=RULE)
            if {finding.code for finding in found} - OF_THE_CONTRACT:
                continue
            try:
                ours = embedded(text)
            except EngineError:  # a policy that does not load permits nothing
                continue
            taken += 1
            server.load("t", text)
            for mine, theirs in zip(ours, server.answers(RULE, list(INPUTS)), strict=True):
                if mine != FAILED:
                    answered += 1
                    assert mine == theirs, text
    assert taken > len(chosen) * 0.8
    assert answered > taken * len(INPUTS) * 0.9
