"""Each drill, played with the real commands, and held against the page whose steps it takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from loose import LOOSE
from typer.testing import CliRunner

from permissions.cli.root import app
from permissions.drills.catalog import NAMES, drills, play
from permissions.gathered import Gathered
from permissions.inquiry.assured import assured
from permissions.setup.config import BrokerConfig

if TYPE_CHECKING:
    from permissions.drills.result import Step

ROOT = Path(__file__).parents[3]


def stands_in(page: str, command: str) -> bool:
    """Whether a page has a command, with anything for its words in capitals."""
    words = [re.sub(r"[A-Z]{2,}(=[A-Z]+)?", "§", word) for word in command.split()]
    pattern = r"\s+".join(re.escape(word).replace("§", r"\S+") for word in words)
    return re.search(pattern, page) is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
async def test_a_drill_works_and_takes_the_steps_of_its_runbook(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real state stays as it is, and the copy goes."""
    for variable in ("TMPDIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        (tmp_path / variable).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setattr("tempfile.tempdir", None)
    # Two calls wait that long for an evaluator that is killed whenever it starts; the third may
    # ask again and again.
    deadline = {"pdp": {"hard_deadline_ms": 4_000}} if name == "evaluator-down" else {}
    settings = BrokerConfig(state=tmp_path / "state", workspace=tmp_path, **deadline)
    told: list[Step] = []

    result = await play(name, settings, tell=told.append)

    assert result.fault == ""
    assert [(step.what, step.said) for step in result.steps if not step.worked] == []
    assert set(result.seconds) == {"detect", "stop", "prove"}
    assert told == result.steps
    page = (ROOT / result.drill.runbook).read_text()
    taken = [step.what for step in result.steps if step.kind == "command"]
    assert [command for command in taken if not stands_in(page, command)] == []
    assert not (tmp_path / "state").exists()
    assert not list((tmp_path / "TMPDIR").glob("wardline-drill-*"))


@pytest.mark.slow
async def test_a_drill_says_that_its_runbook_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Policies that let everything pass: what should be asked about was paid at once."""
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "main.rego").write_text(LOOSE)
    settings = BrokerConfig(
        state=tmp_path / "state", workspace=tmp_path, pdp={"policies": policies}
    )

    result = await play("flood", settings)

    assert result.fault == ""
    assert not result.worked
    assert not result.prevented
    failed = {step.what for step in result.steps if not step.worked}
    assert failed == {"each that waits is listed, and no call ran"}
    assert {each.code for each in result.measured(at=1).findings} == {"drill.step_failed"}


def test_the_list_has_each_drill_with_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARDLINE_CONFIG", str(tmp_path / "none.toml"))

    done = CliRunner().invoke(app, ["drill", "list", "--json"])

    listed = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["drill"] for each in listed] == list(NAMES)
    for each in drills():
        page = (ROOT / "docs" / "operations" / "drills" / f"{each.name}.md").read_text()
        assert f"wardline drill {each.name}\n" in page
        assert each.title in page
        assert (ROOT / each.runbook).name in page


def test_an_unknown_drill_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "wardline.toml"
    config.write_text("")
    monkeypatch.setenv("WARDLINE_CONFIG", str(config))

    done = CliRunner().invoke(app, ["drill", "earthquake", "--json"])

    assert done.exit_code == 2
    assert "there is no drill 'earthquake'" in done.stdout


@pytest.mark.slow
async def test_policies_that_prevent_it_are_told_apart(tmp_path: Path) -> None:
    """Nothing was there to be found, so no time to detect comes of it."""
    overlay = tmp_path / "mine"
    (overlay / "no_payments").mkdir(parents=True)
    (overlay / "no_payments" / "no_payments.rego").write_text(
        """# METADATA
# title: No payments
package wardline.policies.no_payments

# METADATA
# title: Nobody pays
deny contains {
	"code": "no_payments.any",
	"agent": "Nobody pays here.",
	"operator": "",
	"nearest": null,
	"values": {},
} if {
	input.resource.id == "pay"
}
"""
    )
    settings = BrokerConfig(
        state=tmp_path / "state", workspace=tmp_path, pdp={"overlay": overlay}
    )

    result = await play("injected-mail", settings)

    assert [(step.what, step.said) for step in result.steps if not step.worked] == []
    assert result.prevented
    assert "no_payments.any" in result.happened
    kept = result.measured(at=1)
    assert assured({kept.part: kept}, revision=result.policies).detect == {}


@pytest.mark.slow
def test_the_command_keeps_what_came_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system card, the packet and the trends find it."""
    config = tmp_path / "wardline.toml"
    config.write_text('state = "state"\n')
    monkeypatch.setenv("WARDLINE_CONFIG", str(config))
    evidence = tmp_path / "evidence"

    done = CliRunner().invoke(app, ["drill", "cut-log", "--json", "--evidence", str(evidence)])

    assert done.exit_code == 0, done.output
    kept = Gathered(evidence).newest("drill-cut-log")
    assert kept is not None
    assert kept.outcome == "passed"
    assert kept.evidence == json.loads(done.stdout)
    assert not (tmp_path / "state").exists()
