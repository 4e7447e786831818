"""A table that would switch a denial off without a word does not load."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from permissions.errors import PolicyLoadError
from permissions.pdp.bundle import load_bundle, shipped_folder

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED: dict[str, Any] = load_bundle().data["wardline"]["tables"]
TERMS = SHIPPED["approval"]["terms"]
KEPT = {"effect": "irreversible", "impact": "critical"}


def overlay(folder: Path, name: str, table: object) -> Path:
    (folder / "data").mkdir()
    (folder / "data" / f"{name}.json").write_text(json.dumps(table), "utf-8")
    return folder


@dataclass(frozen=True)
class Case:
    """`change` over the shipped table is refused `at`, or fits when `at` is empty."""

    id: str
    table: str
    change: dict[str, Any]
    at: str = ""


def roots(*read: object) -> dict[str, Any]:
    return {"roots": {"read": list(read), "write": []}}


def host(name: str, **entry: object) -> dict[str, Any]:
    return {"hosts": {name: {"schemes": ["https"], "ports": [443], **entry}}}


def staged(count: int, *, stage: object = None, **members: object) -> dict[str, Any]:
    one = {"approvers": ["finance"], "quorum": 1}
    terms = {"expires_in_seconds": 60, "separation_of_duties": True, **members}
    return {
        "terms": {**TERMS, "high": {**terms, "stages": [stage or one, *[one] * (count - 1)]}}
    }


FAULTS = [
    Case("secret name", "filesystem", {"secret_names": ["Payroll.xlsx"]}, "secret_names[0]"),
    Case("beyond ASCII", "filesystem", {"secret_names": ["Übersicht"]}, "secret_names[0]"),
    Case("secret ending", "filesystem", {"secret_endings": [".KDBX"]}, "secret_endings[0]"),
    Case("empty ending", "filesystem", {"secret_endings": [""]}, "secret_endings[0]"),
    Case("a path, no name", "filesystem", {"protected_names": ["a/b"]}, "protected_names[0]"),
    Case("list that is none", "filesystem", {"secret_names": ".ssh"}, "secret_names"),
    Case("empty root", "filesystem", roots(""), "roots.read[0]"),
    Case("whole disk", "filesystem", roots("/"), "roots.read[0]"),
    Case("slash at the end", "filesystem", roots("/usr", "/srv/"), "roots.read[1]"),
    Case("two slashes", "filesystem", roots("/srv//a"), "roots.read[0]"),
    Case("relative root", "filesystem", roots("srv"), "roots.read[0]"),
    Case("root that climbs", "filesystem", roots("/srv/../etc"), "roots.read[0]"),
    Case("misspelt list", "filesystem", {"secret_name": []}, "the table"),
    Case("program", "shell", {"denied_programs": ["Curl"]}, "denied_programs[0]"),
    Case(
        "program by its path", "shell", {"denied_programs": ["/bin/su"]}, "denied_programs[0]"
    ),
    Case("boundary", "shell", {"isolation": "proces"}, "isolation"),
    Case("misspelt never", "approval", {"nevr": [KEPT]}, "the table"),
    Case("misspelt member", "approval", {"never": [KEPT | {"efect": "x"}]}, "never[0]"),
    Case("no impact", "approval", {"never": [{"effect": "read"}]}, "never[0]"),
    Case("effect", "approval", {"never": [KEPT | {"effect": "raed"}]}, "never[0].effect"),
    Case(
        "quorum",
        "approval",
        {"terms": {"low": TERMS["low"] | {"quorum": 0}}},
        "terms.low.quorum",
    ),
    Case("impact", "approval", {"terms": {"hihg": TERMS["high"]}}, "terms"),
    Case("one stage", "approval", staged(1), "terms.high.stages"),
    Case("six stages", "approval", staged(6), "terms.high.stages"),
    Case("stages and a quorum", "approval", staged(2, quorum=2), "terms.high"),
    Case(
        "a stage of nobody", "approval", staged(2, stage={"quorum": 1}), "terms.high.stages[0]"
    ),
    Case("capital host", "network", host("API.X"), "hosts"),
    Case("closed with a dot", "egress", {"closed": [".evil.example"]}, "closed[0]"),
    Case("capital ending", "egress", {"internal_endings": ["LAN"]}, "internal_endings[0]"),
    Case("method", "egress", {"read_methods": ["get"]}, "read_methods[0]"),
    Case("no hosts", "egress", {"untrusted": {"effects": ["execute"]}}, "untrusted"),
    Case(
        "effect of none",
        "egress",
        {"untrusted": {"effects": ["run"], "hosts": []}},
        "untrusted.effects[0]",
    ),
    Case(
        "no deletions",
        "effects",
        {"without_person": {"changes": 1, "bytes": 1}},
        "without_person",
    ),
    Case(
        "half a change",
        "effects",
        {
            "without_person": {
                "changes": 0.5,
                "bytes": 1,
                "deletions": 0,
                "run_changes": 1,
                "run_bytes": 1,
            }
        },
        "without_person.changes",
    ),
    Case("host beyond ASCII", "network", host("münchen.example"), "hosts"),
    Case("host with a port", "network", host("a.example:443"), "hosts"),
    Case("port as a text", "network", host("a", ports=["443"]), "hosts.a.ports[0]"),
    Case("scheme", "network", host("a", schemes=["HTTPS"]), "hosts.a.schemes[0]"),
    Case("domain", "messaging", {"domains": ["Example.com"]}, "domains[0]"),
    Case("account", "messaging", {"accounts": ["DE02 1203"]}, "accounts[0]"),
    Case("maximum", "budgets", {"amounts": {"EUR": {"without_person": 0}}}, "amounts.EUR"),
    Case("never ordinary", "impact", {"ordinary": {"read": ["high"]}}, "ordinary.read[0]"),
    Case("effect of a boundary", "isolation", {"minimum": {"exec": {}}}, "minimum"),
    Case(
        "impact of a boundary",
        "isolation",
        {"minimum": {"execute": {"hihg": "kernel"}}},
        "minimum.execute",
    ),
]


@pytest.mark.parametrize("case", FAULTS, ids=lambda case: case.id)
def test_a_table_of_another_form_does_not_load(case: Case, tmp_path: Path) -> None:
    mine = overlay(tmp_path, case.table, SHIPPED[case.table] | case.change)

    with pytest.raises(PolicyLoadError) as caught:
        load_bundle(overlay=mine)

    (finding,) = caught.value.findings
    assert finding.startswith(f"data/{case.table}.json:1:1: bundle.table: {case.at}: ")
    assert "; " in finding


def test_a_finding_says_what_and_how_to_mend_it(tmp_path: Path) -> None:
    mine = overlay(tmp_path, "filesystem", SHIPPED["filesystem"] | roots("/srv/"))

    with pytest.raises(PolicyLoadError) as caught:
        load_bundle(overlay=mine)

    assert list(map(str, caught.value.findings)) == [
        (
            "data/filesystem.json:1:1: bundle.table: roots.read[0]: '/srv/' does not fit;"
            " write an absolute path in its shortest form, as in /srv/docs"
        )
    ]


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    mine = overlay(tmp_path, "messaging", {"domains": [], "addresses": []})

    with pytest.raises(PolicyLoadError, match="accounts is missing"):
        load_bundle(overlay=mine)


GOOD = [
    Case("names", "filesystem", {"secret_names": ["gehälter.xlsx", "..data", "a b"]}),
    Case("roots", "filesystem", roots("/usr/share/doc", "/srv/..a", "/a b/ü")),
    Case("programs", "shell", {"denied_programs": ["mount.cifs", "python3.12", "["]}),
    Case("never", "approval", {"never": [KEPT]}),
    Case("nobody", "approval", {"terms": {}}),
    Case("hosts", "network", host("xn--mnchen-3ya.example", schemes=["https", None])),
    Case("address", "network", host("10.0.0.5")),
    Case("long address", "network", host("2001:db8::1", ports=[None])),
    Case("recipient", "messaging", {"addresses": ["Bob.Q@partner.example"]}),
    Case("the operator's own", "mine", {"Anything": ["/"]}),
]


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.id)
def test_a_table_of_the_form_loads(case: Case, tmp_path: Path) -> None:
    table = SHIPPED.get(case.table, {}) | case.change

    bundle = load_bundle(overlay=overlay(tmp_path, case.table, table))

    assert bundle.data["wardline"]["tables"][case.table] == table


def test_every_shipped_table_has_a_schema_that_is_one() -> None:
    folder = shipped_folder() / "schemas"

    assert {path.stem for path in folder.iterdir()} == {"input", *SHIPPED}
    for path in folder.iterdir():
        Draft202012Validator.check_schema(json.loads(path.read_text("utf-8")))
