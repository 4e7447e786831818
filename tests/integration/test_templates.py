"""Documents a team copies: what the machine knows is in them, and nothing it does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from logs import SIGNER, write_state
from typer.testing import CliRunner

from permissions.assurance.card import card
from permissions.assurance.launch_checklist import launch_checklist
from permissions.cli.root import app
from permissions.export.blocks import markdown
from permissions.gathered import PartResult, measured
from permissions.pdp.bundle import load_bundle
from permissions.setup.config import BrokerConfig
from permissions.setup.stops import register_of
from permissions.signing.keys import write_secret
from permissions.stops.scope import Scope

if TYPE_CHECKING:
    from pathlib import Path

DAY = 24 * 3_600_000_000
NOW = 1_000 * DAY
POLICIES = load_bundle()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "wardline.toml").write_text(
        'state = "state"\n[trace]\nretain_days = 30\nredact = ["personal"]\n'
        '[approval.notify]\nwebhook = "https://hooks.example/x"\n'
        '[sandbox.profiles.web.egress.api]\nhost = "api.example"\n'
    )
    write_state(tmp_path / "state", runs=["run-a", "run-b"], calls=2)
    write_secret(tmp_path / "state" / "keys" / "log.pem", SIGNER.pem())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WARDLINE_CONFIG", str(tmp_path / "wardline.toml"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    return tmp_path


def printed(*words: str) -> str:
    done = CliRunner().invoke(app, ["assure", "template", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_privacy_notes_follow_the_settings(folder: Path) -> None:
    text = printed("privacy-notes")

    assert f"| {folder}/state/trace | prompts, arguments, results" in text.replace("\\_", "_")
    assert "30 days after a run's last entry" in text
    assert "is replaced in all that is recorded: personal." in text
    assert "Notices that a request waits" in text
    assert "What tools of the profile web send to api.example." in text
    assert "2 runs with 4 calls" in text


def test_a_review_has_the_calls_of_its_run_and_the_stops(folder: Path) -> None:
    """And no argument, as it may be passed on."""
    config = BrokerConfig.load()
    register_of(config).stop(Scope("run", "run-a"), reason="odd mails", by="olga")

    text = printed("post-incident-review", "--run", "run-a")
    (folder / "state" / "keys" / "log.pem").unlink()
    of_a_copy = printed("post-incident-review", "--run", "run-a")

    assert "| from the last call that ran to the first stop | not known |" in of_a_copy
    assert text.count("| ran: ok |") == 2
    assert "| stop of the run run-a |  | odd mails | olga |" in text
    assert "| integrity | consistent, unanchored |" in text
    assert '"path"' not in text
    done = CliRunner().invoke(
        app, ["assure", "template", "post-incident-review", "--run", "gone", "--json"]
    )
    assert done.exit_code == 2
    assert (
        "nothing is recorded of a call of the run 'gone'"
        in json.loads(done.stdout)["error"]["message"]
    )


def test_a_review_needs_its_run_and_the_others_have_none(folder: Path) -> None:
    for words in (["post-incident-review"], ["privacy-notes", "--run", "run-a"]):
        assert CliRunner().invoke(app, ["assure", "template", *words]).exit_code == 2


def lines(
    results: dict[str, PartResult], settings: BrokerConfig, **other: Any
) -> dict[str, str]:
    """Each item of the checklist that the machine sees, with its answer."""
    made = card(
        made="",
        build={},
        settings=settings,
        policies=POLICIES,
        tools=other.get("tools"),
        results=results,
        recorded=None,
        limits={},
    )
    text = markdown(launch_checklist(made, settings, now=NOW))
    rows = (
        line.split(" | ")
        for line in text.splitlines()
        if line.startswith(("| yes |", "| NO |"))
    )
    return {row[1].partition(" \\(")[0]: row[0].removeprefix("| ") for row in rows}


def test_a_checklist_says_no_to_what_was_not_seen() -> None:
    assert set(lines({}, BrokerConfig()).values()) == {"NO"}


def test_a_checklist_says_yes_to_what_holds_under_these_policies() -> None:
    def part(name: str, *, at: int = NOW, policies: str = POLICIES.revision) -> PartResult:
        return measured(name, "said", {}, at=at, policies=policies)

    names = ("gate", "probe", "evaluation", "trace", "register", "drill-flood")
    settings = BrokerConfig(
        environment="production",
        approvers={name: {"groups": ["security"]} for name in ("olga", "bea", "finn")},
        approval={"notify": {"webhook": "https://hooks.example/x", "webhook_secret": "s" * 16}},
        trace={"retain_days": 30, "known_checkpoints": "elsewhere"},
    )

    held = lines({name: part(name) for name in names}, settings, tools=[])
    stale = lines({name: part(name, policies="sha256:0") for name in names}, settings)
    old = lines({"drill-flood": part("drill-flood", at=NOW - 91 * DAY)}, settings)

    assert set(held.values()) == {"yes"}
    assert stale["The release gate holds"] == "NO"
    assert old["Incidents were practised in the last 90 days"] == "NO"


def test_the_list_names_each(folder: Path) -> None:
    listed = [json.loads(line)["template"] for line in printed("list", "--json").splitlines()]

    assert listed == ["launch-checklist", "privacy-notes", "post-incident-review"]
