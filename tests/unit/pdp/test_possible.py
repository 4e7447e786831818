"""What could be allowed before there is a call: never less than what a call is allowed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from policy_cases import base_document
from policy_inputs import documents

from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.bundle import PolicyBundle, load_bundle
from permissions.pdp.library import library_names
from permissions.pdp.lint.bundle import check_bundle
from permissions.pdp.possible import KNOWN, possible
from permissions.pdp.regorus.engine import Engine

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.model import JsonObject

SHIPPED = load_bundle()
VOICES = '"agent": "a", "operator": "o", "nearest": null'
FRAME = {
    path: text
    for path, text in SHIPPED.modules.items()
    if path.split("/")[0] in {"main", "joined", "lib", "contract"}
}
ALLOWS_READS = 'allow contains "r" if input.action.properties.effect == "read"'


def bundle(text: str, layer: str = "") -> PolicyBundle:
    """The frame with a package, and a layer if there is one."""
    modules = {
        "p/p.rego": f"package wardline.policies.p\n\nimport data.wardline.lib\n\n{text}\n"
    }
    if layer:
        modules["layers/team/team.rego"] = f"package wardline.layers.team\n\n{layer}\n"
    return PolicyBundle.of({**FRAME, **modules}, SHIPPED.data)


def known(document: JsonObject) -> JsonObject:
    """What of an input is known before there is a call."""
    found: JsonObject = {}
    for path in KNOWN:
        value, into = document, found
        for step in path[1:-1]:
            value, into = value[step], into.setdefault(step, {})
        into[path[-1]] = value[path[-1]]
    return found


def could_be_allowed(one: PolicyBundle, document: JsonObject) -> bool:
    made = possible(one)
    engine = Engine(made.modules, json.dumps(made.data))
    said = json.loads(engine.ask(ENTRYPOINT, json.dumps(known(document))))
    return bool(said["decision"])


def read_by(role: str) -> JsonObject:
    document = base_document()
    document["subject"]["properties"]["roles"] = [role]
    return document


@pytest.mark.parametrize(
    ("rules", "could"),
    [
        ('deny contains {"code": "p.x", %s} if "clerk" in input.subject.properties.roles', False),
        (
            ('deny contains {"code": "p.x", %s} if {\n\tinput.resource.type == "tool"\n'
            '\tnot _boss\n}\n\n_boss if "boss" in input.subject.properties.roles'),
            False,
        ),
        ('deny contains {"code": "p.x", %s} if "boss" in input.subject.properties.roles', True),
        ('deny contains {"code": "p.x", %s} if input.resource.properties.args.path == "a"', True),
        ('deny contains {"code": "p.x", %s} if not input.resource.properties.args.nope', True),
        ('deny contains {"code": "p.x", %s} if input.context.time > 0', True),
        ('deny contains {"code": "p.x", %s} if "untrusted" in input.context.labels', True),
        (
            'deny contains {"code": "p.x", %s, "values": {"t": input.context.time}} if true',
            True,
        ),
        (
            'deny contains {"code": "p.x", %s} if _late\n\n_late if input.context.time > 0',
            True,
        ),
        (
            ('deny contains {"code": "p.x", %s} if {\n\tsome value in input\n'
            '\tvalue.type == "tool"\n}'),
            True,
        ),
        (
            ('deny contains {"code": "p.x", %s} if _is("clerk")\n\n'
            "_is(role) if role in input.subject.properties.roles"),
            False,
        ),
    ],
    ids=[
        "role", "negated-rule", "other-role", "argument", "no-argument", "time", "label",
        "value", "through-a-rule", "whole-input", "function",
    ],
)  # fmt: skip
def test_a_denial_counts_where_it_reads_nothing_of_the_call(rules: str, could: bool) -> None:  # noqa: FBT001
    one = bundle(ALLOWS_READS + "\n\n" + rules % VOICES)

    assert could_be_allowed(one, read_by("clerk")) is could


@pytest.mark.parametrize(
    ("rules", "could"),
    [
        ('allow contains "x" if input.action.properties.effect == "send"', False),
        ('allow contains "x" if input.resource.properties.args.path == "a"', True),
        (
            ('allow contains "x" if {\n\t"boss" in input.subject.properties.roles\n'
            '\tinput.resource.properties.args.path == "a"\n}'),
            False,
        ),
        (
            ('allow contains "x" if {\n\tsome role in input.subject.properties.roles\n'
            '\trole == input.resource.properties.args.path\n\trole == "boss"\n}'),
            True,
        ),
        (
            ('allow contains "x" if {\n\tsome role in ["boss"]\n'
            "\trole in input.subject.properties.roles\n}"),
            False,
        ),
        (
            ('allow contains "x" if not _clerk\n\n'
            '_clerk if "clerk" in input.subject.properties.roles'),
            False,
        ),
        (
            (f'require_approval contains {{"code": "p.x", {VOICES}, "terms": lib.approval_terms("high")}} if'
            " input.context.time > 0"),
            True,
        ),
        (
            'allow contains $"x{input.resource.id}" if { input.action.properties.effect == "send" }',
            True,
        ),
        ('allow contains "x" if { input.action.properties.effect == "send"; true }', False),
    ],
    ids=[
        "effect", "argument", "role-and-argument", "shared-local", "fixed-local", "not", "asks",
        "template", "one-line",
    ],
)  # fmt: skip
def test_what_allows_is_left_with_what_is_known(rules: str, could: bool) -> None:  # noqa: FBT001
    assert could_be_allowed(bundle(rules), read_by("clerk")) is could


@pytest.mark.slow
def test_what_is_made_is_sound() -> None:
    one = bundle(
        ALLOWS_READS,
        'allow contains "l" if { "boss" in input.subject.properties.roles; input.context.time > 0 }',
    )

    assert not check_bundle(possible(one))


@pytest.mark.parametrize(("role", "could"), [("clerk", False), ("boss", True)])
def test_a_layer_that_never_allows_denies(role: str, could: bool) -> None:  # noqa: FBT001
    layer = (
        'allow contains "l" if {\n\t"boss" in input.subject.properties.roles\n'
        "\tinput.context.time > 0\n}"
    )

    assert could_be_allowed(bundle(ALLOWS_READS, layer), read_by(role)) is could


def test_a_package_in_the_shadow_says_nothing() -> None:
    shadow = f'# METADATA\n# custom:\n#   shadow: true\npackage wardline.policies.q\n\ndeny contains {{"code": "q.x", {VOICES}}} if true\n'
    one = bundle(ALLOWS_READS)
    with_it = PolicyBundle.of({**one.modules, "q/q.rego": shadow}, one.data)

    assert could_be_allowed(with_it, read_by("clerk"))


@pytest.mark.slow
def test_what_is_made_of_all_of_the_library_is_sound(tmp_path: Path) -> None:
    (tmp_path / "library.json").write_text(json.dumps(sorted(library_names())))

    assert not check_bundle(possible(load_bundle(overlay=tmp_path)))


ROLES = (
    f'deny contains {{"code": "p.x", {VOICES}}} if {{\n\tinput.subject.type == "agent"\n'
    '\tinput.action.properties.effect in {"send", "execute"}\n}\n\n'
    f'deny contains {{"code": "p.y", {VOICES}}} if {{\n\tinput.action.properties.impact == "low"\n'
    "\tinput.context.plan == null\n}"
)


@pytest.fixture(scope="module")
def engines() -> tuple[Engine, Engine]:
    text = {"roles/roles.rego": f"package wardline.policies.roles\n\n{ROLES}\n"}
    one = PolicyBundle.of({**SHIPPED.modules, **text}, SHIPPED.data)
    made = possible(one)
    data = json.dumps(one.data)
    return Engine(one.modules, data), Engine(made.modules, data)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=documents())
def test_nothing_is_left_out_that_a_call_may_do(
    engines: tuple[Engine, Engine], document: Any
) -> None:
    written, made = engines
    said = json.loads(written.ask(ENTRYPOINT, json.dumps(document)))
    could = json.loads(made.ask(ENTRYPOINT, json.dumps(known(document))))

    if said["decision"] or said["context"]["access_request"] is not None:
        assert could["decision"]
