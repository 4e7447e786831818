"""`wardline policy test`: one's own tests alone, tables, selection, coverage, JUnit, watching."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from permissions.cli.policy import app

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

TOOLS = """
from typing import Annotated
from wardline import AmountArg, RecipientArg, tool

@tool(effect="send", impact="low")
def pay(to: Annotated[str, RecipientArg("account")],
        amount: Annotated[str, AmountArg()]) -> None: ...
"""
LAYER = """package wardline.layers.night

deny contains {
	"code": "night.closed", "agent": "Come back by day.", "operator": "", "nearest": null,
} if {
	input.action.properties.effect == "send"
	hour := time.clock(input.context.time * 1000)[0]
	hour >= 20
}
"""
RULES = """package wardline.layers.night_test

import data.wardline.layers.night

test_by_night if count(night.deny) == 1 with input as {
	"action": {"properties": {"effect": "send"}},
	"context": {"time": 79200000000},
}

test_reads if count(night.deny) == 0 with input as {"action": {"properties": {"effect": "read"}}}
"""
TABLE = """tools: night_tools
tests:
  - name: a payment by day asks a person
    call: {tool: pay, args: &args {to: DE02120300000000202051, amount: "20.00"}}
    prompt: &said pay my rent, 20.00
    expect: {decision: ask, reason: messaging.unlisted_recipient}

  - name: a payment at night is denied
    call: {tool: pay, args: *args}
    prompt: *said
    time: 2026-11-25T21:30:00Z
    expect: {decision: deny, reason: [night.closed]}
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "night_tools.py").write_text(TOOLS)
    folder = tmp_path / "mine"
    (folder / "layers" / "night").mkdir(parents=True)
    (folder / "layers" / "night" / "night.rego").write_text(LAYER)
    (folder / "layers" / "night" / "night_test.rego").write_text(RULES)
    (folder / "night_test.yaml").write_text(TABLE)
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["test", *(str(argument) for argument in arguments)])


@pytest.mark.slow
def test_a_layer_is_held_to_its_own_tests(mine: Path) -> None:
    """Those that are shipped say what the policies below it promise by themselves."""
    result = run("--overlay", mine)

    assert (result.exit_code, result.stdout) == (0, "4 of 4 tests passed\n")


@pytest.mark.slow
def test_only_some_of_them(mine: Path) -> None:
    assert run("--overlay", mine, "--run", "test_reads").stdout == "1 of 1 tests passed\n"
    assert run("--overlay", mine, "--run", "by day").stdout == "1 of 1 tests passed\n"


def test_none_that_ran_is_no_success(mine: Path) -> None:
    result = run("--overlay", mine, "--run", "nothing of that name")

    assert (result.exit_code, result.stdout) == (1, "0 of 0 tests passed\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("decision: ask", "decision: allow", "expected allow, decided ask"),
        ("reason: messaging", "reason: massaging", "massaging.unlisted_recipient is no reason"),
        ("call: {tool: pay, args: &", "call: {tool: pya, args: &", "there is no tool 'pya'"),
        ('amount: "20.00"', 'amount: "much"', "amount"),
    ],
)
def test_a_table_that_does_not_hold(mine: Path, right: str, wrong: str, said: str) -> None:
    (mine / "night_test.yaml").write_text(TABLE.replace(right, wrong, 1))

    result = run("--overlay", mine, "--run", "by day")

    assert result.exit_code == 1
    assert "a payment by day asks a person (night_test.yaml:3)\n" in result.stdout
    assert said in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("expect:", "expects:", "table.form: tests.0.expect: Field required"),
        ("decision: ask", "decision: perhaps", "table.form: tests.0.expect.decision"),
        ("tests:", "tests: [", "table.yaml"),
    ],
)
def test_a_file_that_is_no_table(mine: Path, right: str, wrong: str, said: str) -> None:
    (mine / "night_test.yaml").write_text(TABLE.replace(right, wrong, 1))

    result = run("--overlay", mine)

    assert result.exit_code == 1
    assert said in result.stderr


@pytest.mark.slow
def test_a_table_without_tools_says_what_the_call_is(mine: Path) -> None:
    (mine / "night_test.yaml").write_text(
        "tests:\n  - name: a note is written\n"
        "    call: {tool: note, effect: write, impact: low, args: {text: hello}}\n"
        "    facts: {context: {environment: {name: test}}}\n"
        "    expect: {decision: allow, reason: impact.ordinary}\n"
    )

    assert run("--overlay", mine, "--run", "note").stdout == "1 of 1 tests passed\n"


@pytest.mark.slow
def test_coverage_names_rules_and_has_a_threshold(mine: Path) -> None:
    (mine / "night_test.yaml").unlink()
    with (mine / "layers" / "night" / "night.rego").open("a") as file:
        file.write(
            '\ndeny contains {\n\t"code": "night.writes", "agent": "", "operator": "", "nearest": null,\n'
            '} if {\n\tinput.action.properties.effect == "write"\n'
            '\tinput.context.labels == ["a"]\n}\n'
        )

    enough = run("--overlay", mine, "--threshold", "50")
    short = run("--overlay", mine, "--threshold", "100")

    assert (enough.exit_code, short.exit_code) == (0, 1)
    assert "deny (line 11): no test evaluates 11-12, 15\n" in short.stdout
    assert [line for line in short.stdout.splitlines() if ".rego: " in line] == [
        line
        for line in short.stdout.splitlines()
        if line.startswith("layers/night/night.rego: ")
    ]


@pytest.mark.slow
def test_results_for_ci(mine: Path, tmp_path: Path) -> None:
    (mine / "night_test.yaml").write_text(TABLE.replace("decision: ask", "decision: allow"))

    result = run("--overlay", mine, "--junit", tmp_path / "report.xml")

    (suite,) = ET.fromstring((tmp_path / "report.xml").read_text())  # noqa: S314 - our own
    assert result.exit_code == 1
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "1", "0")
    (failed,) = suite.findall("testcase[failure]")
    assert (failed.get("file"), failed.get("line")) == ("night_test.yaml", "3")
    assert "expected allow, decided ask" in (failed[0].text or "")


@pytest.mark.slow
def test_watching_runs_them_again(mine: Path, tmp_path: Path) -> None:
    """Until it is interrupted, and whatever a file holds meanwhile."""
    with (tmp_path / "out").open("wb") as out:
        watching = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "permissions",
                "policy",
                "test",
                "--overlay",
                mine,
                "--watch",
            ],
            stdout=out,
            stderr=out,
            cwd=tmp_path,
            env={**os.environ, "WARDLINE_CONFIG": "", "PYTHONUNBUFFERED": "1"},
        )
        try:
            _until(tmp_path / "out", "4 of 4 tests passed")
            (mine / "night_test.yaml").write_text("tests: [")
            _until(tmp_path / "out", "table.yaml")
            (mine / "night_test.yaml").write_text(
                TABLE.replace("decision: ask", "decision: deny")
            )
            _until(tmp_path / "out", "3 of 4 tests passed")
        finally:
            watching.kill()
            watching.wait()


def _until(path: Path, said: str) -> None:
    deadline = time.monotonic() + 120
    while said not in path.read_text():
        assert time.monotonic() < deadline, path.read_text()
        time.sleep(0.05)


def test_results_as_json(mine: Path) -> None:
    answer = json.loads(run("--overlay", mine, "--json").stdout)

    assert answer["passed"] is True
    assert {each["path"] for each in answer["results"]} == {
        "layers/night/night_test.rego",
        "night_test.yaml",
    }
    assert answer["coverage"].keys() == {"layers/night/night.rego"}


@pytest.mark.slow
def test_the_slowest_tests_are_named(mine: Path) -> None:
    shown = run("--overlay", mine, "--timing", "1").stdout.splitlines()
    told = json.loads(run("--overlay", mine, "--json").stdout)

    assert shown[-1].split()[1] == "ms"
    assert all(each["seconds"] > 0 for each in told["results"])
