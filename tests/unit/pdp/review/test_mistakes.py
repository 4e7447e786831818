"""Mistakes that authors make: each is found by name, and nothing is found where there is none."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pytest
from effort import sampled

from permissions.errors import PolicyLoadError
from permissions.pdp.bundle import load_bundle, shipped_folder
from permissions.pdp.lint.bundle import check_bundle
from permissions.pdp.review.bundle import review_bundle
from permissions.pdp.review.scene import Known
from permissions.pdp.review.tools import review_tools
from permissions.tools.decorator import tool
from permissions.tools.targets.amount import AmountArg
from permissions.tools.targets.free_text import FreeText
from permissions.tools.targets.recipient import RecipientArg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from permissions.tools.definition import ToolDefinition

SEEDED = Path(__file__).parents[3] / "vectors" / "rego" / "mistakes.json"
SHIPPED = load_bundle()
KNOWN = Known(groups=frozenset({"operators", "security"}), environment="production")


@tool(effect="send", impact="high")
def send_payment(
    to: Annotated[str, RecipientArg("account")],
    amount: Annotated[str, AmountArg()],
    note: Annotated[str, FreeText()] = "",
    *,
    admin: bool = False,
) -> None:
    """Pay."""


@tool(effect="read", impact="low")
def find(query: Annotated[str, FreeText()]) -> str:
    """Search."""
    return query


TOOLS = (send_payment.guard.definition, find.guard.definition)


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = {"rows": [f"row{number}" for number in range(5000)]}
        path.write_text(json.dumps(rows) if text == "ROWS" else text)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped policies without most of their packages: less to read for each test."""
    folder = tmp_path_factory.mktemp("base")
    for name in ("main", "joined", "lib", "contract", "filesystem", "data"):
        shutil.copytree(shipped_folder() / name, folder / name)
    return folder


def codes(base: Path, folder: Path, tools: Sequence[ToolDefinition] = ()) -> set[str]:
    """Every code that is found in a folder on top of the shipped policies."""
    try:
        bundle = load_bundle(base, overlay=folder)
    except PolicyLoadError as err:
        return {finding.split(": ")[1] for finding in err.findings}
    own = bundle.modules.keys() - SHIPPED.modules.keys()
    found = [
        *check_bundle(bundle),
        *review_bundle(bundle, KNOWN),
        *(review_tools(bundle, tools, within=own) if tools else ()),
    ]
    assert all(each.path in {*own, *bundle.tests} and each.fix for each in found)
    return {each.code for each in found}


MISTAKES = json.loads(SEEDED.read_text())


@pytest.mark.parametrize(
    "mistake",
    sampled(MISTAKES, {each["id"] for each in MISTAKES[::3]}, named=lambda each: each["id"]),
    ids=[each["id"] for each in MISTAKES],
)
def test_a_seeded_mistake_is_found(mistake: dict[str, str], base: Path, tmp_path: Path) -> None:
    write(tmp_path, mistake["files"])

    found = codes(base, tmp_path, TOOLS if mistake["code"] else ())

    if mistake["code"] is None:
        assert not found
    else:
        assert mistake["code"] in found


def test_all_but_two_of_the_seeded_mistakes_have_a_finding() -> None:
    """`walk` with `:=` works by now; that an `allow` of a layer only narrows is what layers are."""
    assert [each["id"] for each in MISTAKES if each["code"] is None] == [
        "allow of a layer means to open",
        "walk with :=",
    ]


def test_the_shipped_policies_have_none() -> None:
    assert review_bundle(SHIPPED, KNOWN) == []


HEAD = "package wardline.policies.m\n\nimport data.wardline.lib\n\n"
VOICES = '"agent": "a", "operator": "o", "nearest": null'


def deny(body: str) -> str:
    return f'{HEAD}deny contains {{"code": "m.x", {VOICES}}} if {{\n\t{body}\n}}\n'


def allow(body: str) -> str:
    return f'{HEAD}allow contains "m.x" if {{\n\t{body}\n}}\n'


@dataclass(frozen=True)
class Fine:
    """A policy that reads like a mistake and is none."""

    id: str
    text: str


FINE = [
    Fine(
        "a wide pattern denies more",
        deny('some t in lib.targets("host")\n\tregex.match("evil", t.host)'),
    ),
    Fine(
        "a wide ending denies more",
        deny('some t in lib.targets("host")\n\tendswith(t.host, "evil")'),
    ),
    Fine(
        "one bad target is enough to deny",
        deny('some t in lib.targets("amount")\n\tt.currency != "EUR"'),
    ),
    Fine(
        "every, with one to look at",
        allow(
            'hosts := lib.targets("host")\n\tcount(hosts) > 0\n\tevery t in hosts {\n'
            '\t\tendswith(t.host, ".example.com")\n\t}'
        ),
    ),
    Fine(
        "a pattern with both ends",
        allow(
            'hosts := lib.targets("host")\n\tcount(hosts) > 0\n\tevery t in hosts {\n'
            "\t\tregex.match(`^[a-z]+\\.example\\.com$`, t.host)\n\t}"
        ),
    ),
    Fine(
        "a role out of several",
        allow('some role in input.subject.properties.roles\n\trole == "payer"'),
    ),
    Fine(
        "nanoseconds", deny("[hour, _, _] := time.clock(input.context.time * 1000)\n\thour < 8")
    ),
    Fine(
        "no plan is denied, too",
        deny("input.context.plan == null")
        + f'\ndeny contains {{"code": "m.y", {VOICES}}} if input.context.plan.verdict != "matched"\n',
    ),
    Fine(
        "members of a set",
        deny("count(_bad) > 0")
        + '\n_bad contains t if {\n\tsome t in lib.targets("host")\n\tt.host == "evil.example"\n}\n',
    ),
    Fine(
        "a switch in a table",
        allow("input.resource.id in data.wardline.tables.shell.denied_programs"),
    ),
    Fine(
        "clauses that exclude each other",
        deny('some t in lib.targets("amount")\n\tt.minor > _max')
        + '\n_max := 500 if input.action.properties.effect == "send"\n\n_max := 900 if input.action.properties.effect == "write"\n',
    ),
    Fine(
        "meant",
        f'{HEAD}# meant: review.allows_everything\nallow contains "m.x"\n',
    ),
]


@pytest.mark.parametrize("fine", FINE, ids=[each.id for each in FINE])
def test_what_only_looks_like_a_mistake(fine: Fine, base: Path, tmp_path: Path) -> None:
    write(tmp_path, {"m/m.rego": fine.text})

    assert codes(base, tmp_path) == set()


def test_a_comment_that_no_finding_needs(base: Path, tmp_path: Path) -> None:
    text = deny('input.action.properties.effect == "send"')
    write(tmp_path, {"m/m.rego": text.replace("\n\t", " # meant: review.kind\n\t", 1)})

    assert codes(base, tmp_path) == {"review.meant"}


OF_TOOLS = [
    (
        "an argument of another tool",
        'input.resource.id == "find"\n\tinput.resource.properties.args.amount == "1"',
        "review.unknown_argument",
    ),
    (
        "an effect the tool has not",
        'input.resource.id == "find"\n\tinput.action.properties.effect == "send"',
        "review.never_fires",
    ),
    (
        "a target the tool has not",
        'input.resource.id == "find"\n\tcount(lib.targets("host")) > 0',
        "review.never_fires",
    ),
    (
        "a number where the schema says text",
        "input.resource.properties.args.query > 5",
        "review.argument_value",
    ),
    ("a tool in a list", 'input.resource.id in {"find", "fnid"}', "review.unknown_tool"),
]


@pytest.mark.parametrize(
    ("body", "code"), [each[1:] for each in OF_TOOLS], ids=[each[0] for each in OF_TOOLS]
)
def test_a_rule_that_no_tool_can_meet(body: str, code: str, base: Path, tmp_path: Path) -> None:
    write(tmp_path, {"m/m.rego": deny(body)})

    assert codes(base, tmp_path, TOOLS) == {code}


def test_the_fix_of_a_misspelt_tool_names_the_right_one(base: Path, tmp_path: Path) -> None:
    write(tmp_path, {"m/m.rego": deny('input.resource.id == "send_paymnet"')})
    bundle = load_bundle(base, overlay=tmp_path)

    (found,) = review_tools(bundle, TOOLS, within={"m/m.rego"})

    assert (found.position.line, found.fix) == (6, "did you mean `send_payment`?")
