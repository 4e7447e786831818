"""A layer only narrows: whatever it says, no answer turns from no to yes.

And what is in the shadow changes no answer at all.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest
from effort import tries
from policy_cases import DirectEngine, cases_bundle
from rego_requests import random_request

from permissions.errors import PolicyLoadError
from permissions.pdp.bundle import PolicyBundle, load_bundle
from permissions.pdp.lint.bundle import check_bundle
from permissions.pdp.opa_bundle import opa_bundle, read_opa_bundle
from permissions.pdp.regorus.errors import EngineError
from permissions.pdp.shadow_marks import enforced, shadow_paths

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.model import JsonObject

SEED = 20261129
BUNDLES = tries(40)
REQUESTS = 60

CONDITIONS = [
    "true",
    'input.action.name == "tools/call"',
    'input.action.properties.effect == "send"',
    'input.action.properties.impact in {"low", "medium"}',
    'input.resource.id in {"pay", "read_file"}',
    '"untrusted" in input.context.labels',
    "input.context.approval",
    "count(input.resource.properties.targets) > 1",
    "false",
]
VOICES = '"agent": "a", "operator": "o", "nearest": null'


def terms(approvers: str, quorum: int, seconds: int, separation: str) -> str:
    return (
        f'{{"approvers": {approvers}, "quorum": {quorum}, "expires_in_seconds": {seconds},'
        f' "separation_of_duties": {separation}}}'
    )


TERMS = [
    "null",
    "data.wardline.tables.approval.terms.low",
    terms('["operators"]', 1, 60, "false"),
    terms('["operators", "security", "finance"]', 1, 90000, "false"),
    terms('["nobody"]', 2, 1, "true"),
    '{"approvers": "operators"}',
]
FORMS = [
    'allow contains "{name}.a" if {condition}',
    'deny contains {{"code": "{name}.d", {voices}}} if {condition}',
    'require_approval contains {{"code": "{name}.r", {voices}, "terms": {terms}}} if {condition}',
    'obligations contains {{"id": "{name}.o", "type": "{type}", "properties": {{}}}} if {condition}',
]


def random_rules(rng: random.Random, name: str) -> str:
    rules = [
        rng.choice(FORMS).format(
            name=name,
            condition=rng.choice(CONDITIONS),
            voices=VOICES,
            terms=rng.choice(TERMS),
            type=rng.choice(["evidence", "sandbox"]),
        )
        for _ in range(rng.randrange(1, 5))
    ]
    return "\n\n".join(rules) + "\n"


def random_base(rng: random.Random) -> PolicyBundle:
    """`main` and what it shares, with random packages beside some of the shipped ones."""
    shipped = cases_bundle()
    modules = {
        path: text
        for path, text in shipped.modules.items()
        if path.split("/")[0] in ("main", "lib", "contract") or rng.random() < 0.4
    }
    for number in range(rng.randrange(1, 4)):
        kind = rng.choice(["policies", "policies", "egress", "effects"])
        folder = "" if kind == "policies" else f"{kind}/"
        name = f"p{number}"
        head = f"package wardline.{kind}.{name}\n\n"
        modules[f"{folder}{name}/{name}.rego"] = head + random_rules(rng, name)
    return PolicyBundle.of(modules, shipped.data)


def decided(engine: DirectEngine, request: JsonObject) -> bool:
    """Whether it is a permit; a failed evaluation is none."""
    try:
        return bool(engine.ask(request)["decision"])
    except EngineError:
        return False


@pytest.mark.unmeasured
def test_no_layer_turns_a_no_into_a_yes() -> None:
    rng = random.Random(SEED)  # noqa: S311 - the same bundles each time
    permits = changed = 0
    for _ in range(BUNDLES):
        base = random_base(rng)
        layers = {
            f"layers/l{n}/l{n}.rego": f"package wardline.layers.l{n}\n\n{random_rules(rng, f'l{n}')}"
            for n in range(rng.randrange(1, 3))
        }
        with_layer = PolicyBundle.of({**base.modules, **layers}, base.data)
        without, with_layers = DirectEngine(base), DirectEngine(with_layer)
        for _ in range(REQUESTS):
            request = random_request(rng)
            before, after = decided(without, request), decided(with_layers, request)
            assert before or not after, json.dumps([layers, dict(base.modules), request])
            permits += before
            changed += before != after
    assert permits > BUNDLES // 2
    assert changed > BUNDLES // 4


FOREIGN = {
    "another's package": ("layers/team/team.rego", "wardline.policies.plan"),
    "main": ("layers/team/team.rego", "wardline.main"),
    "what packages share": ("layers/team/team.rego", "wardline.lib"),
    "the form of the input": ("layers/team/team.rego", "wardline.contract"),
    "another layer": ("layers/team/team.rego", "wardline.layers.org"),
    "another package of the overlay": ("own/own.rego", "wardline.policies.other"),
    "a question of another kind": ("egress/own/own.rego", "wardline.policies.own"),
}


@pytest.mark.parametrize(("path", "package"), FOREIGN.values(), ids=FOREIGN)
def test_a_package_is_tied_to_its_folder(tmp_path: Path, path: str, package: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(f"package {package}\n\n_read_in_scope if true\n\n_allows contains 1\n")

    codes = {finding.code for finding in check_bundle(load_bundle(overlay=tmp_path))}

    assert "rego.foreign_package" in codes


@pytest.mark.parametrize(
    "path",
    [
        *("plan/more.rego", "plan/plan.rego", "main/more.rego", "lib/lib.rego", "main.rego"),
        *("contract/x.rego", "egress/connection/x.rego"),
    ],
)
def test_packages_below_are_closed_to_an_overlay(tmp_path: Path, path: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("package wardline.main\n")

    with pytest.raises(PolicyLoadError) as caught:
        load_bundle(overlay=tmp_path)

    assert [finding.split(": ")[1] for finding in caught.value.findings] == ["bundle.closed"]


SHADOWS = tries(12)
MARK = "# METADATA\n# scope: package\n# custom:\n#   shadow: true\n"


def whole_answer(engine: DirectEngine, request: JsonObject) -> str:
    try:
        return json.dumps(engine.ask(request))
    except EngineError as err:
        return type(err).__name__


@pytest.mark.slow
def test_packages_and_layers_in_the_shadow_decide_nothing() -> None:
    rng = random.Random(SEED)  # noqa: S311 - the same bundles each time
    would_differ = 0
    for _ in range(SHADOWS):
        base = random_base(rng)
        hidden: dict[str, str] = {}
        for number in range(rng.randrange(1, 4)):
            kind = rng.choice(["policies", "layers", "layers", "egress", "effects"])
            folder = "" if kind == "policies" else f"{kind}/"
            rules = random_rules(rng, f"s{number}")
            text = f"{MARK}package wardline.{kind}.s{number}\n\n{rules}"
            hidden[f"{folder}s{number}/s{number}.rego"] = text
        both = PolicyBundle.of({**base.modules, **hidden}, base.data)

        assert shadow_paths(both.modules) == hidden.keys()
        assert enforced(both) == base
        without, served = DirectEngine(base), DirectEngine(enforced(both))
        as_if = DirectEngine(both)
        for _ in range(REQUESTS // 2):
            request = random_request(rng)
            before = whole_answer(without, request)
            assert whole_answer(served, request) == before
            would_differ += whole_answer(as_if, request) != before
    assert read_opa_bundle(opa_bundle(both)).bundle == both
    assert would_differ


def test_the_policies_in_force_have_to_stand_without_them() -> None:
    """One that reads a package in the shadow would decide otherwise without it: refused."""
    rng = random.Random(SEED)  # noqa: S311 - the same bundle each time
    base = random_base(rng)
    hidden = f'{MARK}package wardline.policies.s\n\nallow contains "s.x"\n'
    reads = (
        "package wardline.layers.l\n\nimport data.wardline.policies.s\n\n"
        'allow contains "l.ok" if count(s.allow) == 1\n'
    )
    both = PolicyBundle.of(
        {**base.modules, "s/s.rego": hidden, "layers/l/l.rego": reads}, base.data
    )

    assert {finding.path for finding in check_bundle(both)} == {"layers/l/l.rego"}


def test_a_bundle_without_marks_is_itself() -> None:
    base = random_base(random.Random(SEED))  # noqa: S311 - the same bundle each time

    assert enforced(base) is base
