"""Ten planted holes are found and made small; the shipped policies have none within the budget."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Annotated, NamedTuple

import pytest

from permissions.authoring.difference import compare, possible_calls
from permissions.authoring.fuzzing import fuzz
from permissions.authoring.trial import Circumstances, Judge
from permissions.pdp.bundle import load_bundle, shipped_folder
from permissions.pdp.lint.bundle import require_sound
from wardline import AmountArg, CommandArg, FreeText, HostArg, PathArg, RecipientArg, tool

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.tools.definition import ToolDefinition


@tool(effect="read", impact="low")
def fetch(url: Annotated[str, HostArg()], *, verbose: bool = False) -> str:
    """Get a page."""
    return ""


@tool(effect="send", impact="low")
def mail(to: Annotated[list[str], RecipientArg()], body: Annotated[str, FreeText()]) -> None:
    """Send."""


@tool(effect="read", impact="low")
def read(path: Annotated[str, PathArg("read")]) -> str:
    """Read."""
    return ""


@tool(effect="read", impact="low")
def query(
    database: Annotated[str, FreeText()],
    sql: Annotated[str, FreeText()],
    note: Annotated[str, FreeText()] = "",
) -> str:
    """Ask a database."""
    return ""


@tool(effect="send", impact="low")
def pay(
    to: Annotated[str, RecipientArg("account")], amount: Annotated[str, AmountArg()]
) -> None:
    """Pay."""


@tool(effect="write", impact="low")
def write(path: Annotated[str, PathArg("write")], text: Annotated[str, FreeText()]) -> None:
    """Write."""


@tool(effect="execute", impact="low", sandbox="process")
def command(argv: Annotated[list[str], CommandArg()]) -> str:
    """Run."""
    return ""


TOOLS = {
    each.guard.definition.name: each.guard.definition
    for each in (fetch, mail, read, query, pay, write, command)
}


class Planted(NamedTuple):
    """A hole: whose calls slip through, and the rule with the mistake."""

    id: str
    tool: str
    rule: str
    alone: bool = True
    """Whether the package stands alone, or on top of the shipped ones."""


def allow(body: str) -> str:
    return f'allow contains "m.x" if {{\n\t{body}\n}}\n'


def deny(body: str) -> str:
    entry = '{"code": "m.no", "agent": "a", "operator": "o", "nearest": null}'
    return f"deny contains {entry} if {{\n\t{body}\n}}\n"


ARGS = "input.resource.properties.args"
TARGETS = "some t in input.resource.properties.targets\n\t"
PLANTED = [
    Planted(
        "ending without a dot", "fetch", allow(f'{TARGETS}endswith(t.host, "example.com")')
    ),
    Planted(
        "pattern without ends", "fetch", allow(f'{TARGETS}regex.match("example.com", t.host)')
    ),
    Planted("name somewhere", "fetch", allow(f'{TARGETS}contains(t.host, "example.com")')),
    Planted(
        "beginning without a slash", "read", allow(f'{TARGETS}startswith(t.path, "/srv/data")')
    ),
    Planted("one good recipient", "mail", allow(f'{TARGETS}t.domain == "example.com"')),
    Planted("the agent's own flag", "fetch", allow(f"{ARGS}.verbose == true")),
    Planted("letter case", "query", deny(f'{ARGS}.database == "prod"'), alone=False),
    Planted(
        "letter case of a part",
        "query",
        deny(f'contains({ARGS}.sql, "DROP TABLE")'),
        alone=False,
    ),
    Planted("white space", "query", deny(f'startswith({ARGS}.sql, "delete")'), alone=False),
    Planted(
        "a password in free text",
        "query",
        deny(f'lower({ARGS}.database) == "prod"\n\t{ARGS}.note != "emergency"'),
        alone=False,
    ),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    for name in ("main", "joined", "lib", "contract", "data"):
        shutil.copytree(shipped_folder() / name, folder / name)
    table = {"domains": ["example.com"], "addresses": [], "accounts": [], "phones": []}
    (folder / "data" / "messaging.json").write_text(json.dumps(table))
    return folder


def judge(base: Path, folder: Path, rule: str, *, alone: bool) -> Judge:
    (folder / "m").mkdir(parents=True)
    (folder / "m" / "m.rego").write_text(f"package wardline.policies.m\n\n{rule}")
    bundle = load_bundle(base if alone else None, overlay=folder)
    require_sound(bundle)
    return Judge(bundle)


@pytest.mark.slow
@pytest.mark.parametrize("planted", PLANTED, ids=[each.id for each in PLANTED])
def test_a_planted_hole_is_found(planted: Planted, base: Path, tmp_path: Path) -> None:
    judged = judge(base, tmp_path, planted.rule, alone=planted.alone)

    holes, tried = fuzz(
        judged, [TOOLS[planted.tool]], Circumstances(workspace=tmp_path), most=600
    )

    assert holes
    assert tried <= 600
    assert holes[0].tool == planted.tool


def test_a_hole_is_as_small_as_it_goes(base: Path, tmp_path: Path) -> None:
    """Only what makes the call pass is changed."""
    judged = judge(base, tmp_path, deny(f'{ARGS}.database == "prod"'), alone=False)

    (hole, *_), _ = fuzz(judged, [TOOLS["query"]], Circumstances(workspace=tmp_path), most=600)

    assert hole.denied is not None
    changed = {name for name in hole.allowed if hole.allowed[name] != hole.denied[name]}
    assert changed == {"database"}
    assert str(hole.allowed["database"]).strip().lower().removeprefix("./") == "prod"


@pytest.mark.slow
@pytest.mark.unmeasured
def test_the_shipped_policies_have_none_within_the_budget(tmp_path: Path) -> None:
    tables = tmp_path / "data"
    tables.mkdir()
    hosts = {"hosts": {"api.example.com": {"schemes": ["https"], "ports": [443]}}}
    (tables / "network.json").write_text(json.dumps(hosts))
    table = {
        "domains": ["example.com"],
        "addresses": ["bob@example.org"],
        "accounts": ["DE02120300000000202051"],
        "phones": [],
    }
    (tables / "messaging.json").write_text(json.dumps(table))
    judged = Judge(load_bundle(overlay=tmp_path))

    holes, tried = fuzz(
        judged, list(TOOLS.values()), Circumstances(workspace=tmp_path), most=500
    )

    assert holes == []
    assert tried > 500


def differences(
    base: Path, folder: Path, old: str, new: str, tool: ToolDefinition
) -> list[tuple[str, str, str, object]]:
    judges = [
        judge(base, folder / str(at), rule, alone=True) for at, rule in enumerate((old, new))
    ]
    scopes, questions = possible_calls(
        [tool], [each.bundle for each in judges], Circumstances(workspace=folder), most=120
    )
    assert [each.tool for each in scopes] == [tool.name]
    return [
        (
            each.before.verdict,
            each.after.verdict,
            "wider" if each.is_wider else "",
            each.arguments,
        )
        for each in compare(*judges, questions)
    ]


def test_a_change_that_allows_more_has_an_example(base: Path, tmp_path: Path) -> None:
    old = allow(f'{ARGS}.database == "stage"')
    new = allow(f'{ARGS}.database in {{"stage", "prod"}}')

    found = differences(base, tmp_path, old, new, TOOLS["query"])

    assert found[0][:3] == ("deny", "allow", "wider")
    assert isinstance(found[0][3], dict)
    assert found[0][3]["database"] == "prod"
    assert len(found) == 1


def test_a_change_that_allows_less_is_not_wider(base: Path, tmp_path: Path) -> None:
    old = allow(f'{ARGS}.database in {{"stage", "prod"}}')
    new = allow(f'{ARGS}.database == "stage"')

    found = differences(base, tmp_path, old, new, TOOLS["query"])

    assert [each[:3] for each in found] == [("allow", "deny", "")]


def test_two_ways_to_write_one_policy_have_no_difference(base: Path, tmp_path: Path) -> None:
    old = allow('input.action.properties.effect in {"read", "write"}')
    new = (
        allow('input.action.properties.effect == "read"')
        + "\n"
        + allow('input.action.properties.effect == "write"')
    )

    assert differences(base, tmp_path, old, new, TOOLS["fetch"]) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            '"payer" in input.subject.properties.roles',
            '"clerk" in input.subject.properties.roles',
        ),
        ("input.context.labels == []", 'input.resource.type == "tool"'),
        ("time.clock(input.context.time * 1000)[0] >= 6", 'input.resource.type == "tool"'),
        ('input.context.environment.name == "test"', 'input.context.environment.name != "x"'),
    ],
    ids=["roles", "labels", "hours", "environment"],
)
def test_circumstances_count(old: str, new: str, base: Path, tmp_path: Path) -> None:
    assert differences(base, tmp_path, allow(old), allow(new), TOOLS["fetch"])


@pytest.mark.slow
def test_what_an_untrusted_text_names_is_tried_too(tmp_path: Path) -> None:
    """A payee on a list is no longer denied where a mail named it, and that is wider."""
    account = "DE75512108001245126199"
    (tmp_path / "data").mkdir()
    table = {"domains": [], "addresses": [], "accounts": [account], "phones": [], "names": []}
    (tmp_path / "data" / "messaging.json").write_text(json.dumps(table))
    before, after = load_bundle(), load_bundle(overlay=tmp_path)
    around = Circumstances(workspace=tmp_path)
    _, calls = possible_calls([TOOLS["pay"]], [before, after], around, most=200)

    found = [each for each in compare(Judge(before), Judge(after), calls) if each.is_wider]

    assert found
    assert {each.arguments["to"] for each in found} == {account}
    assert "provenance.untrusted_control" in {c for each in found for c in each.before.codes}
