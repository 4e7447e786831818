"""`wardline policy try` and `explain`: why, on which line, with which values, and what else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pytest
from typer.testing import CliRunner

from permissions.cli.policy import app
from permissions.pdp.bundle import shipped_folder
from wardline import Broker, BrokerConfig, CallDenied, PathArg, tool

if TYPE_CHECKING:
    from click.testing import Result

TOOLS = """
from typing import Annotated
from wardline import AmountArg, FreeText, HostArg, RecipientArg, tool

@tool(effect="send", impact="low")
def pay(to: Annotated[str, RecipientArg("account")], amount: Annotated[str, AmountArg()],
        note: Annotated[str, FreeText()] = "") -> None: ...

@tool(effect="read", impact="low")
def fetch(url: Annotated[str, HostArg()]) -> str: ...
"""
PAYEE = "DE02120300000000202051"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "try_tools.py").write_text(TOOLS)
    return "try_tools"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_call_that_a_person_would_have_to_approve(tools: str) -> None:
    """The rule, the line, the values it compared, and who may lift it."""
    args = json.dumps({"to": PAYEE, "amount": "20.00"})

    result = run("try", "--tools", tools, "--tool", "pay", "--args", args)

    assert result.exit_code == 4
    assert result.stdout.startswith("denied until a person approves\n")
    assert "  approve     1 person of operators or security\n" in result.stdout
    assert (
        "  because     messaging.unlisted_recipient (messaging/messaging.rego:" in result.stdout
    )
    assert "_total(target.currency) is 2000\n" in result.stdout
    assert "limit.without_person is 0\n" in result.stdout


def test_the_nearest_call_that_is_allowed(tools: str, tmp_path: Path) -> None:
    """What operators listed in place of what they did not, and nothing else changed."""
    tables = tmp_path / "mine" / "data"
    tables.mkdir(parents=True)
    hosts = {"hosts": {"api.example.com": {"schemes": ["https"], "ports": [443]}}}
    (tables / "network.json").write_text(json.dumps(hosts))
    args = json.dumps({"url": "https://evil.example/x"})
    asked = ["try", "--tools", tools, "--tool", "fetch", "--args", args, "--json"]
    asked += ["--overlay", str(tmp_path / "mine"), "--prompt", "https://api.example.com/"]

    result = run(*asked)

    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["verdict"]) == (3, "deny")
    assert answer["allowed"] == {"url": "https://api.example.com/"}
    (because,) = answer["because"]
    assert because["code"] == "network.unlisted_host"
    said = {
        each["reference"]: each["value"] for line in because["held"] for each in line["values"]
    }
    assert said["target.host"] == "evil.example"
    again = [*asked[:6], json.dumps(answer["allowed"]), *asked[7:]]
    assert run(*again).exit_code == 0


def test_what_nearly_allows_a_call_that_nothing_allows(tools: str, tmp_path: Path) -> None:
    """The line on which the nearest `allow` fails."""
    folder = tmp_path / "only"
    for name in ("main", "joined", "lib", "contract", "data"):
        shutil.copytree(shipped_folder() / name, folder / name)
    (folder / "mine").mkdir()
    (folder / "mine" / "mine.rego").write_text(
        "package wardline.policies.mine\n\n"
        'allow contains "mine.small" if {\n'
        '\tinput.resource.id == "pay"\n'
        '\tinput.resource.properties.args.note == "rent" # only that\n'
        "}\n"
    )
    args = json.dumps({"to": PAYEE, "amount": "20.00", "note": "beer"})

    result = run("try", folder, "--tools", tools, "--tool", "pay", "--args", args)

    assert result.exit_code == 3
    assert "  no allow by mine.small (mine/mine.rego:3)\n" in result.stdout
    assert '          5 ✗ input.resource.properties.args.note == "rent"' in result.stdout
    assert '                input.resource.properties.args.note is "beer"\n' in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [["--args", "{"], ["--args", "[]"], ["--tool", "nobody"], ["--tools", "no_such_module"]],
    ids=["no JSON", "no object", "no such tool", "no such module"],
)
def test_wrong_usage(tools: str, arguments: list[str]) -> None:
    given = ["try", "--tools", tools, "--tool", "pay", *arguments]

    assert run(*given).exit_code == 2


@tool(effect="read", impact="low")
def read_note(path: Annotated[str, PathArg("read")]) -> str:
    """Reads a note."""
    return Path(path).read_text()


def test_a_recorded_call_is_explained_under_its_own_policies(tmp_path: Path) -> None:
    config = BrokerConfig(state=tmp_path / "state", workspace=tmp_path)
    with Broker(tools=[read_note], config=config) as broker, broker.session(user="alice"):
        with pytest.raises(CallDenied) as denied:
            read_note("/etc/shadow")
    call = denied.value.denial.call

    result = run("explain", "--call", call, "--dir", tmp_path / "state")
    elsewhere = run("explain", "--call", "call-of-nobody", "--dir", tmp_path / "state")

    assert result.exit_code == 3
    assert "because     filesystem.outside (filesystem/filesystem.rego:" in result.stdout
    assert '"path": "/etc/shadow"' in result.stdout
    assert elsewhere.exit_code == 2
