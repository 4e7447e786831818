"""`wardline policy`: results on stdout, findings on stderr, and exit codes that mean one thing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from rego_samples import SAMPLE, sample_request
from typer.testing import CliRunner

from permissions.cli.policy import app
from permissions.pdp.bundle import load_bundle
from permissions.pdp.lint.bundle import require_sound

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

TESTS = """package wardline.main_test

test_permit if data.wardline.main.response.decision with input as {"resource": {"id": "permit"}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    policies = tmp_path / "policies"
    policies.mkdir()
    conflict = 'response := {"decision": true} if input.resource.id == "conflict"\n'
    (policies / "main.rego").write_text(SAMPLE.replace(conflict, ""))
    (policies / "main_test.rego").write_text(TESTS)
    return policies


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def write_request(folder: Path, tool: str) -> Path:
    path = folder.parent / "request.json"
    path.write_text(json.dumps(sample_request(tool)))
    return path


def test_check_passes_the_shipped_policies() -> None:
    result = run("check")

    assert result.exit_code == 0
    assert result.stdout.startswith("sound, revision sha256:")


def test_check_puts_findings_on_stderr(folder: Path) -> None:
    (folder / "bad.rego").write_text("package wardline.policies.bad\n\n_x := time.now_ns()\n")

    result = run("check", folder)

    assert result.exit_code == 1
    assert result.stderr.startswith("bad.rego:3:7: rego.banned_function: ")
    assert result.stdout == "1 finding(s)\n"


def test_check_says_which_shipped_packages_a_folder_leaves_out(folder: Path) -> None:
    result = run("check", folder)

    assert result.exit_code == 0
    assert "not in this folder: approval/approval.rego, " in result.stderr
    assert "contract/contract.rego" in result.stderr
    assert run("check", "--no-outside").stderr == ""


def test_a_misspelt_test_is_a_finding(folder: Path) -> None:
    with (folder / "main_test.rego").open("a") as file:
        file.write("\ntset_deny if false\n")

    result = run("test", folder)

    assert result.exit_code == 1
    assert "`tset_deny` is no test" in result.stderr


def test_check_finds_what_a_broker_would_not_mind(tmp_path: Path) -> None:
    """It opens on it, so it is not the loader's to refuse."""
    package = tmp_path / "all"
    package.mkdir()
    (package / "all.rego").write_text(
        'package wardline.policies.all\n\nallow contains "all.x"\n'
    )

    result = run("check", "--overlay", tmp_path)

    assert result.exit_code == 1
    assert result.stderr.startswith("all/all.rego:3:1: review.allows_everything: ")
    require_sound(load_bundle(overlay=tmp_path))


def test_check_holds_rules_to_the_approvers_of_the_settings(tmp_path: Path) -> None:
    package = tmp_path / "mine" / "ask"
    package.mkdir(parents=True)
    (package / "ask.rego").write_text(
        "package wardline.policies.ask\n\nrequire_approval contains {\n"
        '\t"code": "ask.x", "agent": "a", "operator": "o", "nearest": null,\n'
        '\t"terms": {"approvers": ["finanse"], "quorum": 1, "expires_in_seconds": 900,'
        ' "separation_of_duties": false},\n} if input.action.properties.effect == "send"\n'
    )
    settings = tmp_path / "wardline.toml"
    settings.write_text('[approvers.alice]\ngroups = ["finance"]\npublic_key = "AAAA"\n')

    alone = run("check", "--overlay", tmp_path / "mine")
    held = run("check", "--overlay", tmp_path / "mine", "--config", settings)

    assert (alone.exit_code, held.exit_code) == (0, 1)
    assert "nobody is in the group `finanse`; it is one of finance, operators" in held.stderr


@pytest.mark.opa
def test_check_asks_the_real_opa(tmp_path: Path) -> None:
    """What only its compiler finds, at the position it names."""
    package = tmp_path / "typed"
    package.mkdir()
    (package / "typed.rego").write_text(
        "package wardline.policies.typed\n\nimport data.wardline.lib\n\n"
        'allow contains "typed.x" if input.resource.id == "a"\n'
    )

    asked = run("check", "--overlay", tmp_path)
    alone = run("check", "--overlay", tmp_path, "--no-outside")

    assert asked.stderr.startswith(
        "typed/typed.rego:3:1: opa.compile: import data.wardline.lib unused"
    )
    assert (asked.exit_code, alone.exit_code) == (1, 0)


def test_check_as_json(folder: Path) -> None:
    (folder / "bad.rego").write_bytes(b"\xff")

    result = run("check", folder, "--json")

    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert (answer["sound"], len(answer["findings"])) == (False, 1)


def test_check_on_top_of_the_shipped_policies(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "mine.rego").write_text(
        'package wardline.policies.mine\n\nallow contains "mine.ok" if input.resource.id == "x"\n'
    )

    assert run("check", mine).exit_code == 1, "alone it has no entrypoint"
    assert run("check", "--overlay", mine).exit_code == 0


def test_a_finding_cannot_steer_the_terminal(folder: Path) -> None:
    (folder / "bad.rego").write_text(
        'package b\n\nx := regex.match("\\u001b[2J(", "a\u202e") if y\n'
    )

    result = run("check", folder)

    assert result.exit_code == 1
    assert "\x1b" not in result.stderr
    assert "\u202e" not in result.stderr


def test_passing_tests(folder: Path) -> None:
    result = run("test", folder, "--coverage")

    assert result.exit_code == 0
    assert result.stdout.endswith("1 of 1 tests passed\n")
    assert "missed" in result.stdout


def test_a_failing_test(folder: Path) -> None:
    (folder / "more_test.rego").write_text("package wardline.more_test\n\ntest_no if false\n")

    result = run("test", folder)

    assert result.exit_code == 1
    assert "FAIL data.wardline.more_test.test_no (more_test.rego:3)" in result.stdout


def test_test_results_as_json(folder: Path) -> None:
    answer = json.loads(run("test", folder, "--json").stdout)

    assert answer["passed"] is True
    assert answer["results"][0]["outcome"] == "pass"
    assert answer["coverage"]["main.rego"]["covered"]


@pytest.mark.parametrize(
    ("tool", "code", "first"),
    [("permit", 0, "permitted"), ("deny", 3, "denied"), ("nobody", 6, ""), ("conflict", 6, "")],
)
def test_explain_one_decision(folder: Path, tool: str, code: int, first: str) -> None:
    result = run("explain", folder, "--input", write_request(folder, tool))

    assert result.exit_code == code
    assert (result.stdout.splitlines() or [""])[0] == first
    assert bool(result.stderr) == (code == 6)


def test_explain_names_rules_and_lines(tmp_path: Path) -> None:
    """Under the shipped policies nothing allows an unknown effect."""
    request = sample_request("x")
    request["action"]["properties"]["effect"] = "dance"
    path = tmp_path / "request.json"
    path.write_text(json.dumps(request))

    result = run("explain", "--input", path, "--json")

    answer = json.loads(result.stdout)
    assert result.exit_code == 3
    assert answer["response"]["context"]["rules"] == ["contract.action"]
    assert answer["evaluated"]["contract/contract.rego"]


def test_explain_of_what_a_person_may_lift_is_pending(tmp_path: Path) -> None:
    request = sample_request("x")
    request["action"]["properties"] = {"effect": "send", "impact": "high"}
    path = tmp_path / "request.json"
    path.write_text(json.dumps(request))

    result = run("explain", "--input", path)

    assert (result.exit_code, result.stdout.split()[:3]) == (4, ["denied", "until", "a"])


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_an_input_that_is_none_is_wrong_usage(folder: Path, text: str) -> None:
    path = folder.parent / "request.json"
    path.write_text(text)

    assert run("explain", folder, "--input", path).exit_code == 2


@pytest.mark.parametrize(
    "arguments", [["check", "/nowhere"], ["check", "--overlay"], ["explain"]]
)
def test_wrong_usage(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


TOOLS = """
from typing import Annotated
from wardline import FreeText, PathArg, tool


@tool(effect="send", impact="low")
def send(to: str, bcc: list[str], body: Annotated[str, FreeText()]) -> None: ...


@tool(effect="read", impact="low")
def read(path: Annotated[str, PathArg("read")]) -> str: ...
"""


@pytest.mark.slow
def test_check_tells_the_arguments_that_policies_do_not_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tools_without_marks.py").write_text(TOOLS)

    result = run("check", "--tools", "tools_without_marks", "--json")

    findings = json.loads(result.stdout)["findings"]
    assert result.exit_code == 1
    assert [found.split(" has no mark")[0] for found in findings] == ["send: to", "send: bcc"]
    assert all("RecipientArg()" in found for found in findings)
    assert run("check", "--tools", "no_such_module").exit_code == 2
    assert run("check", "--tools", "json").exit_code == 2


def test_a_program_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    result = run("check")

    assert result.exit_code == 0
    assert result.stderr == "not on PATH, and so not asked: opa, regal\n"


@pytest.mark.slow
def test_the_slowest_rules_are_measured(tmp_path: Path) -> None:
    package = tmp_path / "heavy"
    package.mkdir()
    (package / "heavy.rego").write_text(
        "package wardline.policies.heavy\n\n"
        'allow contains "heavy.x" if {\n'
        "\tcount([1 | some i in numbers.range(1, 3000); i % 7 == 0]) == 1\n"
        '\tinput.action.properties.effect == "read"\n}\n'
    )

    shown = run("check", "--overlay", tmp_path, "--timing", "3", "--no-outside")
    told = run("check", "--overlay", tmp_path, "--timing", "3", "--no-outside", "--json")

    assert shown.exit_code == 0, shown.output
    assert "wardline.policies.heavy.allow (heavy/heavy.rego:3)" in shown.stdout
    times = json.loads(told.stdout)["timing"]
    assert len(times) == 3
    assert times[0]["mean_us"] >= times[2]["mean_us"] > 0
