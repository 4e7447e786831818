"""`wardline plan`: answers, exit codes, and nothing a plan says reaches the terminal raw."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from permissions.cli.plan import app

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.model import JsonObject

YEAR_2200 = 7_258_118_400_000_000
TOOLS = """
from permissions.tools.registry import ToolRegistry
from permissions.tools.decorator import tool

@tool(effect="read", output="trusted")
def find_contact(name: str) -> dict[str, str]: ...

@tool(effect="read")
def read_invoice(name: str) -> dict[str, int]: ...

@tool(effect="read")
def list_files(folder: str = ".") -> list[str]: ...

@tool(effect="send", control=["account", "cents"])
def pay(account: str, cents: int, note: str = "") -> str: ...

listed = [find_contact, read_invoice, list_files, pay]
registry = ToolRegistry(listed)
mapping = {each.name: each for each in registry}
nothing = 7
outsiders = [7]
"""


@pytest.fixture
def cli(tmp_path: Path, document: JsonObject, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command where `plan.json`, `prompt.txt` and `shop_tools.py` stand."""
    document["expires_at"] = YEAR_2200
    (tmp_path / "plan.json").write_text(json.dumps(document))
    (tmp_path / "prompt.txt").write_text("Please pay ACME.")
    (tmp_path / "shop_tools.py").write_text(TOOLS)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    return run


@pytest.mark.parametrize("attribute", ["registry", "listed", "mapping"])
def test_accepted_plan_exits_zero(cli: Any, attribute: str) -> None:
    done = cli("verify", "plan.json", "--tools", f"shop_tools:{attribute}")

    assert done.exit_code == 0, done.output
    assert "accepted: plan pay-acme" in done.stdout
    assert "a person should approve: pay" in done.stdout


def test_refused_plan_exits_one_and_says_how_to_mend_it(cli: Any) -> None:
    """Without tools nothing is known, so nothing is accepted."""
    done = cli("verify", "plan.json")

    assert done.exit_code == 1
    assert "step pay: no tool 'pay' is known [plan.unknown_tool]" in done.stdout
    assert "to mend:" in done.stdout


def test_verdict_as_json(cli: Any) -> None:
    done = cli("verify", "plan.json", "--tools", "shop_tools:registry", "--json")

    verdict = json.loads(done.stdout)
    assert verdict["accepted"] is True
    assert verdict["worst_case"] == {"by_effect": {"read": 2, "send": 1}, "calls": 3}


def test_user_values_are_held_to_the_prompt(cli: Any, tmp_path: Path) -> None:
    tools = ("--tools", "shop_tools:registry", "--prompt", "prompt.txt")
    assert cli("verify", "plan.json", *tools).exit_code == 0

    (tmp_path / "prompt.txt").write_text("Please pay Initech.")

    done = cli("verify", "plan.json", *tools)
    assert done.exit_code == 1
    assert "plan.user_value_unsaid" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "absent.json"),
        ("verify", "plan.json", "--tools", "shop_tools"),
        ("verify", "plan.json", "--tools", "absent_module:registry"),
        ("verify", "plan.json", "--tools", "shop_tools:absent"),
        ("verify", "plan.json", "--tools", "shop_tools:nothing"),
        ("verify", "plan.json", "--tools", "shop_tools:outsiders"),
        ("show", "absent.json"),
    ],
    ids=" ".join,
)
def test_wrong_question_exits_two(cli: Any, arguments: tuple[str, ...]) -> None:
    assert cli(*arguments).exit_code == 2


@pytest.mark.parametrize("command", ["verify", "show"])
def test_file_that_is_no_plan_exits_one(cli: Any, command: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"id": "x", "id": "y"}')

    done = cli(command, "plan.json")

    assert done.exit_code == 1
    assert "same key twice" in done.stderr


def test_show_draws_steps_in_their_order(
    cli: Any, tmp_path: Path, document: JsonObject
) -> None:
    document["steps"].reverse()
    (tmp_path / "plan.json").write_text(json.dumps(document))

    done = cli("show", "plan.json")

    assert done.exit_code == 0
    paths = [done.stdout.index(f". {step}: ") for step in ("invoice", "contact", "pay")]
    assert paths == sorted(paths)
    assert "account = /account of contact" in done.stdout
    assert 'name = "ACME"  (said by the person)' in done.stdout
    assert "note = open, free text" in done.stdout


def test_show_says_when_there_is_a_circle(
    cli: Any, tmp_path: Path, document: JsonObject
) -> None:
    document["steps"][0]["needs"] = ["pay"]
    (tmp_path / "plan.json").write_text(json.dumps(document))

    assert "in a circle" in cli("show", "plan.json").stdout


def test_control_characters_never_reach_the_terminal(
    cli: Any, tmp_path: Path, document: JsonObject
) -> None:
    """A goal cannot clear the screen, move the cursor or turn the text around."""
    document["goal"] = "harmless\x1b[2J\u202e\r\nplan accepted"
    document["steps"][0]["tool"] = "find\x1b]0;x\x07"
    (tmp_path / "plan.json").write_text(json.dumps(document))

    for command in ("show", "verify"):
        text = cli(command, "plan.json").stdout
        assert all(c.isprintable() or c == "\n" for c in text)
    assert "\nplan accepted" not in cli("show", "plan.json").stdout


def test_schema_is_json(cli: Any) -> None:
    assert json.loads(cli("schema").stdout)["title"] == "Plan"


def test_what_a_model_is_told_is_printed(cli: Any) -> None:
    done = cli(
        "prompt", "--tools", "shop_tools:registry", "--agent", "clerk", "--user", "alice"
    )

    assert done.exit_code == 0, done.output
    assert "- pay(account*: string, cents*: integer, note?: string) [send]" in done.stdout
    assert '"subject": "agent:clerk", "on_behalf_of": "user:alice"' in done.stdout


def test_a_plan_is_trimmed_to_the_tools_that_are_there(
    cli: Any, tmp_path: Path, document: JsonObject
) -> None:
    document["steps"].append({"id": "extra", "tool": "fly_to_moon"})
    document["expires_at"] = YEAR_2200
    (tmp_path / "plan.json").write_text(json.dumps(document))

    assert cli("verify", "plan.json", "--tools", "shop_tools:registry").exit_code == 1
    done = cli("trim", "plan.json", "--tools", "shop_tools:registry")

    assert done.exit_code == 0, done.output
    assert "dropped step 'extra': no tool 'fly_to_moon'" in done.stderr
    (tmp_path / "plan.json").write_text(done.stdout)
    assert cli("verify", "plan.json", "--tools", "shop_tools:registry").exit_code == 0
