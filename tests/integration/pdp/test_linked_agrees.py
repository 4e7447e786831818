"""What the linker composes decides as what is written does, on both engines, value for value.

Where the bundle as it is written fails in the embedded engine, the linked one, which evaluates
less, may answer; then with what OPA answers. (Not so where the linter would have refused the
bundle, for then the engines differ.)
"""

from __future__ import annotations

import json
import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opa_server import opa_server
from policy_cases import cases_bundle, decision_cases
from rego_answers import FAILED, LAYER, embedded_answers, requests
from rego_oracle import OpaRefusal, Oracle, answers_of_bundle
from rego_packages import random_bundle, random_question

from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.bundle import PolicyBundle, load_bundle
from permissions.pdp.embedded.form import is_plainly_formed
from permissions.pdp.linker.linked import link

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.model import JsonObject

pytestmark = [pytest.mark.opa, pytest.mark.unmeasured]
FULL_RUN = (pytest.mark.long, pytest.mark.timeout(3000))

TABLES = Path(__file__).parents[2] / "cases" / "tables.json"
SEED = 20261130
AT_ONCE = 200


def assert_both_forms_agree(
    bundle: PolicyBundle,
    documents: list[JsonObject],
    of_opa: Callable[..., list[list[Any]]],
    *,
    is_sound: bool = True,
) -> None:
    """Puts the documents to both forms of a bundle; `of_opa` gives OPA's answers of a rule."""
    linked = link(bundle)
    assert linked.is_linked
    written = embedded_answers(bundle.modules, bundle.data, ENTRYPOINT, documents)
    composed = embedded_answers(linked.modules, bundle.data, linked.entrypoint, documents)
    for asked, one, other, theirs, theirs_composed in zip(
        documents, written, composed, of_opa(ENTRYPOINT), of_opa(linked.entrypoint), strict=True
    ):
        assert theirs == theirs_composed, json.dumps(asked)
        if one != FAILED:
            assert other == one, json.dumps(asked)
        elif is_sound:
            assert other in (FAILED, theirs), json.dumps(asked)
    if linked.formed:
        known = [
            (asked, answer)
            for asked, answer in zip(documents, composed, strict=True)
            if is_plainly_formed(json.dumps(asked).encode()) and answer != FAILED
        ]
        plain = [asked for asked, _ in known]
        formed = embedded_answers(linked.modules, bundle.data, linked.formed, plain)
        assert formed == [answer for _, answer in known]


@pytest.mark.slow
@pytest.mark.parametrize("tables", ["shipped", "filled", "with a layer"])
@pytest.mark.parametrize(
    "count", [AT_ONCE, pytest.param(10_000, marks=FULL_RUN)], ids=["some", "all"]
)
def test_the_shipped_policies(tables: str, count: int) -> None:
    rng = random.Random(f"{SEED} {tables}")  # noqa: S311 - the same requests each time
    shipped = load_bundle()
    data = shipped.data["wardline"]["tables"]
    if tables != "shipped":
        data = data | json.loads(TABLES.read_text())
    layers = {"layers/team/team.rego": LAYER} if tables == "with a layer" else {}
    bundle = PolicyBundle.of({**shipped.modules, **layers}, {"wardline": {"tables": data}})
    with opa_server(bundle) as url:
        for _ in range(0, count, AT_ONCE):
            documents = requests(rng, AT_ONCE)
            answers = partial(Oracle(url).answers, inputs=documents)
            assert_both_forms_agree(bundle, documents, answers)


@pytest.mark.slow
def test_every_row_of_the_decision_tables() -> None:
    bundle = cases_bundle()
    documents = [case.document for case in decision_cases()]
    with opa_server(bundle) as url:
        answers = partial(Oracle(url).answers, inputs=documents)
        assert_both_forms_agree(bundle, documents, answers)


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(20, marks=pytest.mark.slow, id="some"),
        pytest.param(1_500, marks=FULL_RUN, id="all"),
    ],
)
def test_random_packages(count: int) -> None:
    """Packages and layers of any kind, with entries of wrong forms. OPA refuses some."""
    rng = random.Random(SEED)  # noqa: S311 - the same packages each time
    compared: Counter[str] = Counter()
    for _ in range(count):
        bundle = random_bundle(rng)
        documents = [random_question(rng) for _ in range(40)]
        rules = [ENTRYPOINT, link(bundle).entrypoint]
        try:
            answers = answers_of_bundle(bundle, rules, documents)
        except OpaRefusal:
            continue
        by_rule = dict(zip(rules, answers, strict=True))
        assert_both_forms_agree(bundle, documents, by_rule.__getitem__, is_sound=False)
        for answer in by_rule[ENTRYPOINT]:
            compared.update(
                reason["code"] for said in answer for reason in said["context"]["reasons"]
            )
            compared["answers"] += len(answer)
    assert compared["answers"] > 10 * count
    assert compared["main.rule_malformed"] > 0
