"""A rule that could never fire, or that would deny every call, is no sound policy."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from permissions.pdp.bundle import PolicyBundle, load_bundle
from permissions.pdp.lint.bundle import check_bundle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.pdp.rego.finding import Finding

SHIPPED = load_bundle()
READERS = {
    path: text
    for path, text in SHIPPED.modules.items()
    if path.split("/")[0] in ("contract", "effects", "egress", "joined", "lib", "main")
}
"""What reads a policy, and what it may read. That all the shipped ones together are sound is of
`unit/policies/test_files`; here they would be judged anew for each case."""

HEAD = "package wardline.policies.mine\n\nimport data.wardline.lib\n\n"
ENTRY = '{"code": "mine.no", "agent": "a", "operator": "o", "nearest": null}'
DENY = f'deny contains {ENTRY} if input.resource.id == "rd"\n'


def lint(text: str, tables: Mapping[str, object] | None = None) -> list[Finding]:
    data = {"wardline": {"tables": SHIPPED.data["wardline"]["tables"] | (tables or {})}}
    return check_bundle(PolicyBundle.of({**READERS, path_of(text): text}, data))


def path_of(text: str) -> str:
    """Where a module lies, by its package."""
    _, kind, name = (*text.split()[1].split("."), "mine", "mine")[:3]
    folder = f"{kind}/{name}" if kind in ("layers", "egress", "effects") else "mine"
    return f"{folder}/{folder.rpartition('/')[2]}.rego"


@dataclass(frozen=True)
class Case:
    """`text` has exactly one finding, of `code`, at `line` and `column`."""

    id: str
    text: str
    code: str
    line: int
    column: int
    tables: Mapping[str, object] = field(default_factory=dict)


def deny_if(body: str) -> str:
    return f"{HEAD}deny contains {ENTRY} if {{\n\t{body}\n}}\n"


NAMES = [
    Case("misspelt rule", HEAD + DENY.replace("deny", "denny"), "rego.unread_rule", 5, 1),
    Case(
        "misspelt rule of a layer",
        "package wardline.layers.org\n\n" + DENY.replace("deny", "denny"),
        "rego.unread_rule",
        3,
        1,
    ),
    Case("own name in public", HEAD + "tools := 1\n", "rego.unread_rule", 5, 1),
    *(
        Case(package, f"package {package}\n\n{DENY}", "rego.unread_package", 1, 1)
        for package in (
            "wardline.policy.mine",
            "wardline.layer.org",
            "wardline.policies.mine.sub",
            "wardline.policies",
            "wardline.egress",
            "wardline.effects.mine.sub",
            "wardline.main.sub",
            "mine",
        )
    ),
    Case("complete rule", HEAD + "deny := true\n", "rego.rule_form", 5, 1),
    Case("rule without a value", HEAD + "deny if input.action\n", "rego.rule_form", 5, 1),
    Case("default", HEAD + "default deny := false\n", "rego.rule_form", 5, 1),
    Case("rule below", HEAD + 'deny.a contains "x"\n', "rego.rule_form", 5, 1),
    Case(
        "entry without nearest",
        HEAD + DENY.replace(', "nearest": null', ""),
        "rego.entry_form",
        5,
        1,
    ),
    Case(
        "entry with a member more",
        HEAD + DENY.replace("null}", 'null, "level": 1}'),
        "rego.entry_form",
        5,
        1,
    ),
    Case("entry that is a text", HEAD + 'deny contains "x"\n', "rego.entry_form", 5, 1),
    Case("allow of an object", HEAD + "allow contains {}\n", "rego.entry_form", 5, 1),
    Case("two values", HEAD + "_x := 1\n\n_x := 2\n" + DENY, "rego.two_values", 7, 1),
]


@pytest.mark.parametrize("case", NAMES, ids=lambda case: case.id)
def test_what_nobody_reads_is_found_at_its_position(case: Case) -> None:
    findings = lint(case.text, case.tables)

    assert [(f.path, f.code, f.position.line, f.position.column) for f in findings] == [
        (path_of(case.text), case.code, case.line, case.column)
    ]


SOUND = {
    "four rules": HEAD
    + DENY
    + 'allow contains "mine.ok"\n\nobligations contains _obligation\n\n'
    + '_obligation := {"id": "a", "type": "sandbox", "properties": {}}\n',
    "layer": f"package wardline.layers.org\n\n{DENY}",
    "package of connections": f"package wardline.egress.mine\n\n{DENY}",
    "package of change sets": f"package wardline.effects.mine\n\n{DENY}",
    "equal values": HEAD + "_x := 1\n\n_x := 1\n" + DENY,
    "values under conditions": HEAD
    + "_x := 1 if input.context.plan\n\n_x := 2 if input.context.approval\n",
    "own names": HEAD + "_x(a) := a\n\n_y contains 1\n\n_z[1] := 2\n",
    "computed entry": HEAD + 'deny contains object.union({"code": "a"}, {"agent": "b"})\n',
}


@pytest.mark.parametrize("text", SOUND.values(), ids=SOUND)
def test_what_main_reads_is_sound(text: str) -> None:
    assert lint(text) == []


TARGETS = "some t in input.resource.properties.targets\n\t"
INPUT = [
    Case("member of a target", deny_if(f'{TARGETS}t.kind == "path"\n\tt.pth == "x"'), "", 8, 2),
    Case(
        "member of a shared word", deny_if('some t in lib.targets("path")\n\tt.pth'), "", 7, 2
    ),
    Case("member of history", deny_if("input.context.history[0].tol"), "", 6, 2),
    Case("member of the plan", deny_if("x := input.context.plan\n\tx.verdikt"), "", 7, 2),
    Case("member of the subject", deny_if('"a" in input.subject.properties.rols'), "", 6, 9),
    Case("below a text", deny_if("input.action.properties.effect.name"), "", 6, 2),
    Case(
        "a name for a part of the input",
        f"{HEAD}_run := input.context.environment\n\nallow contains _run.nam\n",
        "",
        7,
        16,
    ),
    Case("imported part", f"import input.contxt as c\n\n{DENY}", "", 3, 1),
    Case(
        "kind of a target",
        deny_if(f'{TARGETS}t.kind == "pth"'),
        "rego.unknown_word",
        7,
        2,
    ),
    Case(
        "effect",
        deny_if('input.action.properties.effect == "raed"'),
        "rego.unknown_word",
        6,
        2,
    ),
    Case(
        "effect, the other way round",
        deny_if('"raed" != input.action.properties.effect'),
        "rego.unknown_word",
        6,
        12,
    ),
    Case(
        "impact among several",
        deny_if('input.action.properties.impact in {"low", "hihg"}'),
        "rego.unknown_word",
        6,
        2,
    ),
    Case(
        "boundary in a list",
        deny_if('"proces" in input.context.environment.isolation'),
        "rego.unknown_word",
        6,
        14,
    ),
    Case(
        "verdict through a local",
        deny_if('v := input.context.plan.verdict\n\tv == "mached"'),
        "rego.unknown_word",
        7,
        2,
    ),
    Case(
        "origin",
        deny_if('some _, leaf in input.context.provenance\n\tleaf.origin == "usr"'),
        "rego.unknown_word",
        7,
        2,
    ),
    Case(
        "table",
        deny_if("input.resource.id in data.wardline.tables.mytabel.x"),
        "rego.unknown_table",
        6,
        23,
        {"mytable": {"x": ["rd"]}},
    ),
]


@pytest.mark.parametrize("case", INPUT, ids=lambda case: case.id)
def test_what_the_input_never_has_is_found_at_its_position(case: Case) -> None:
    text = (
        case.text
        if "package" in case.text
        else f"package wardline.policies.mine\n\n{case.text}"
    )
    findings = lint(text, case.tables)

    assert [(f.code, f.position.line, f.position.column) for f in findings] == [
        (case.code or "rego.unknown_input", case.line, case.column)
    ]


KNOWN = [
    'input.resource.properties.args.anything.below == "raed"',
    f'{TARGETS}t.kind == "path"\n\tt.resolved == t.path',
    f'{TARGETS}t.scheme == "ftp"',
    "input.context.usage.amount_eur.limit == 1",
    'input.context.provenance["/a"].origin == "tool"',
    'input.context.plan.verdict in {"matched", null}',
    'some i in input.context.environment.isolation\n\ti == "kernel"',
    'input.action.properties.effect == lower("RAED")',
    't := {"pth": 1}\n\tt.pth == 1',
    'every t in lib.targets("host") { t.address_class in {null, "global"} }',
    "input.resource.id in data.wardline.tables.mine.x",
    'some key\n\tinput.subject.properties[key] == "a"',
    'x := [t | some t in lib.targets("path")]\n\tx[0].hidden == true',
]


@pytest.mark.parametrize("body", KNOWN)
def test_what_the_input_may_have_is_sound(body: str) -> None:
    assert lint(deny_if(body), {"mine": {"x": []}}) == []


def package(question: str, body: str) -> str:
    return f"package wardline.{question}.mine\n\ndeny contains {ENTRY} if {{\n\t{body}\n}}\n"


OF_ITS_QUESTION = {
    "policies": [
        "input.resource.properties.args.anything",
        'input.action.name == "tools/call"',
        'input.resource.type == "tool"',
    ],
    "egress": [
        'input.resource.properties.host == "a"',
        'input.resource.properties.kind == "connect"',
        'input.action.name == "egress/connect"',
    ],
    "effects": [
        "some c in input.resource.properties.changes\n\tc.was.executable",
        'some c in input.resource.properties.changes\n\tc.kind == "deleted"',
        "input.resource.properties.counts.deleted > 1",
        'input.resource.type == "change_set"',
    ],
}


@pytest.mark.parametrize("question", OF_ITS_QUESTION)
def test_a_package_reads_the_input_of_its_question(question: str) -> None:
    for body in OF_ITS_QUESTION[question]:
        assert lint(package(question, body)) == [], body


@pytest.mark.slow
@pytest.mark.parametrize("question", OF_ITS_QUESTION)
@pytest.mark.unmeasured
def test_a_package_reading_the_input_of_another_question_never_fires(question: str) -> None:
    for other in OF_ITS_QUESTION.keys() - {question}:
        found = [lint(package(question, body)) for body in OF_ITS_QUESTION[other]]

        assert all(found), other
        codes = {finding.code for findings in found for finding in findings}
        assert codes <= {"rego.unknown_input", "rego.unknown_word"}


@pytest.mark.slow
@pytest.mark.parametrize("question", OF_ITS_QUESTION)
def test_a_layer_reads_the_input_of_any_question(question: str) -> None:
    for body in OF_ITS_QUESTION[question]:
        assert lint(package("layers", body)) == [], body


def test_every_code_stands_in_the_reference() -> None:
    root = Path(__file__).parents[4]
    sources = (root / "permissions" / "pdp").rglob("*.py")
    page = (root / "docs" / "reference" / "findings.md").read_text()

    used = {code for path in sources for code in re.findall(r'"(rego\.\w+)"', path.read_text())}

    assert len(used) > 40
    assert used - set(re.findall(r"`(rego\.\w+)`", page)) == set()
