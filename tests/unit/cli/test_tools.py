"""`wardline tools`: what a module or toolkit has, and what nobody said of it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from permissions.cli.root import app

if TYPE_CHECKING:
    from pathlib import Path

MODULE = '''
from typing import Annotated

from wardline import FreeText, tool


@tool(effect="read", impact="low")
def note(text: Annotated[str, FreeText()]) -> str:
    """Notes."""
    return text


class Mail:
    def send(self, to: str, body: str) -> None:
        """Sends a mail."""


KIT = [Mail().send]
'''


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kit_of_a_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WARDLINE_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.delitem(sys.modules, "kit_of_a_test", raising=False)


def ran(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["tools", *words])
    return done.exit_code, done.stdout


def test_tools_are_listed_as_a_broker_knows_them() -> None:
    assert ran("list", "kit_of_a_test") == (
        0,
        "note  read/low  output untrusted  decorated  text: free\n",
    )
    code, said = ran("list", "kit_of_a_test:KIT", "--json")
    found = json.loads(said)
    assert (code, found["tool"], found["declared"], found["unmarked"]) == (
        0,
        "send",
        "undeclared",
        ["body", "to"],
    )


def test_what_nobody_said_is_found_and_a_manifest_says_it(tmp_path: Path) -> None:
    assert ran("check", "kit_of_a_test")[0] == 0
    code, said = ran("check", "kit_of_a_test:KIT")
    assert (code, said.splitlines()) == (
        1,
        [
            "send is declared nowhere, so it counts as the most dangerous",
            'send: to has no mark, so policies do not judge it; its name says "email"',
            "send: body has no mark, so policies do not judge it",
        ],
    )
    code, proposal = ran("check", "kit_of_a_test:KIT", "--propose")
    assert code == 0
    mended = proposal.replace(
        '# marks = { to = "email" }', 'marks = { to = "email", body = "free" }'
    )
    (tmp_path / "kit.toml").write_text(mended)
    assert ran("check", "kit_of_a_test:KIT", "--manifest", "kit.toml")[0] == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["check", "no_such_module"], 2),
        (["check", "kit_of_a_test:NOTHING"], 2),
        (["list", "json"], 2),
    ],
    ids=["no module", "no such name", "no tools"],
)
def test_a_module_without_tools_is_a_mistake(words: list[str], code: int) -> None:
    assert ran(*words)[0] == code


DOCUMENT = """
openapi: 3.1.0
servers: [{url: https://crm.example}]
paths:
  /notes/{id}:
    get: {operationId: getNote, parameters: [{name: id, in: path, required: true, schema: {type: string}}]}
    put: {operationId: putNote, requestBody: {content: {text/plain: {}}}}
"""


def test_an_openapi_document_is_listed_checked_and_proposed(tmp_path: Path) -> None:
    (tmp_path / "crm.yaml").write_text(DOCUMENT)
    (tmp_path / "crm.toml").write_text(
        '[tools.getNote]\neffect = "read"\nimpact = "low"\nmarks = { id = "resource" }\n'
    )

    listed = ran("list", "crm.yaml")
    checked = ran("check", "crm.yaml", "--manifest", "crm.toml", "--json")
    proposal = ran("check", "crm.yaml", "--propose")

    assert listed == (
        0,
        "getNote  execute/high  output untrusted  undeclared  server: host\n",
    )
    (fault,) = [json.loads(line) for line in checked[1].splitlines()]
    assert checked[0] == 1
    assert fault["tool"] == "putNote"
    assert "text/plain, and no JSON" in fault["finding"]
    assert "# GET /notes/{id}" in proposal[1]
