"""`wardline policy diff` and `fuzz`: exit codes that CI can use, and an example for each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from permissions.cli.policy import app

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

TOOLS = """
from typing import Annotated
from wardline import FreeText, tool

@tool(effect="read", impact="low")
def query(database: Annotated[str, FreeText()]) -> str: ...
"""


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two overlays, and the tools they are about; `next` no longer denies the second database."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compare_tools.py").write_text(TOOLS)
    for name, bases in (("now", '{"prod", "billing"}'), ("next", '{"prod"}')):
        package = tmp_path / name / "bases"
        package.mkdir(parents=True)
        (package / "bases.rego").write_text(
            "package wardline.policies.bases\n\ndeny contains {\n"
            '\t"code": "bases.closed", "agent": "a", "operator": "o", "nearest": null,\n'
            f"}} if lower(input.resource.properties.args.database) in {bases}\n"
        )
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_what_a_change_allows_anew(folders: Path) -> None:
    given = ["--tools", "compare_tools", "--most", "200", "--json"]

    wider = run("diff", folders / "now", folders / "next", *given)
    tighter = run("diff", folders / "next", folders / "now", *given)
    same = run("diff", folders / "now", folders / "now", *given)

    (found,) = json.loads(wider.stdout)["differences"]
    assert (wider.exit_code, tighter.exit_code, same.exit_code) == (1, 0, 0)
    assert (found["before"]["verdict"], found["after"]["verdict"]) == ("deny", "allow")
    assert found["arguments"] == {"database": "billing"}
    assert json.loads(same.stdout)["differences"] == []
    assert json.loads(same.stdout)["scopes"][0]["tool"] == "query"


def test_the_shipped_policies_are_the_old_ones(folders: Path) -> None:
    result = run("diff", folders / "now", "--tools", "compare_tools", "--most", "200")
    strict = ["--fail-on", "changed"]
    again = run("diff", folders / "now", "--tools", "compare_tools", "--most", "200", *strict)

    assert (result.exit_code, again.exit_code) == (0, 1)
    assert "other  query: allow -> deny\n" in result.stdout
    assert result.stdout.endswith("1 difference(s), 0 that allow more\n")


def test_a_comparison_needs_calls(folders: Path) -> None:
    assert run("diff", folders / "now").exit_code == 2


def test_a_call_that_slips_through(folders: Path) -> None:
    """The rule lowers the name, so that capitals do not help, and forgets white space."""
    asked = ["fuzz", "--overlay", folders / "now", "--tools", "compare_tools", "--most", "200"]

    result = run(*asked, "--json")

    holes = json.loads(result.stdout)["holes"]
    assert result.exit_code == 1
    assert {each["tool"] for each in holes} == {"query"}
    assert all(each["allowed"]["database"].strip() != each["allowed"]["database"] or "\u200b" in
               each["allowed"]["database"] or each["allowed"]["database"].startswith("./")
               for each in holes)  # fmt: skip
    assert "query passes: " in run(*asked).stdout


def test_no_call_slips_through_a_list_of_what_is_open(folders: Path) -> None:
    (folders / "now" / "bases" / "bases.rego").write_text(
        "package wardline.policies.bases\n\ndeny contains {\n"
        '\t"code": "bases.closed", "agent": "a", "operator": "o", "nearest": null,\n'
        '} if not _open\n\n_open if input.resource.properties.args.database in {"stage"}\n'
    )

    result = run(
        "fuzz", "--overlay", folders / "now", "--tools", "compare_tools", "--most", "200"
    )

    assert (result.exit_code, result.stdout[:12]) == (0, "0 hole(s) in")
