"""A package is tried in the shadow on real calls, and what it would have done is on record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import anyio
import pytest
from typer.testing import CliRunner

from permissions.cli.policy import app
from permissions.cli.trace_replay import replayed
from permissions.cli.trace_source import TraceSource
from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.setup.layout import StateLayout, log_signer
from permissions.tools.call import ToolCall
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace
from wardline import FreeText, tool

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = """# METADATA
# scope: package
# custom:
#   shadow: true
package wardline.policies.nights

allow contains "nights.wipe" if input.resource.id == "wipe"

deny contains {
	"code": "nights.long", "agent": "Ask for less.",
	"operator": sprintf("%d characters, 5 at most", [count(input.resource.properties.args.about)]),
	"nearest": null,
} if {
	input.resource.id == "look"
	count(input.resource.properties.args.about) > 5
}
"""


@tool(effect="read", impact="low")
async def look(about: Annotated[str, FreeText()]) -> str:
    """Looks."""
    return about


@tool(effect="irreversible", impact="critical")
async def wipe() -> None:
    """Wipes all."""


def settings(folder: Path, text: str) -> BrokerConfig:
    (folder / "mine" / "nights").mkdir(parents=True, exist_ok=True)
    (folder / "mine" / "nights" / "nights.rego").write_text(text)
    pdp = {"overlay": folder / "mine", "hard_deadline_ms": 20_000}
    return BrokerConfig(state=folder / "state", workspace=folder, pdp=pdp)


@pytest.mark.slow
async def test_from_shadow_to_enforce(tmp_path: Path) -> None:
    config = settings(tmp_path, PACKAGE)
    async with (
        open_broker(config, [look, wipe]) as broker,
        open_session(broker, user="kim", run="r", approval_mode="suspend") as session,
    ):
        short = await broker.call(session, ToolCall("look", {"about": "tea"}))
        long = await broker.call(session, ToolCall("look", {"about": "the whole past"}))
        wiped = await broker.call(session, ToolCall("wipe", {}))
        assert isinstance(short, Completed)
        assert isinstance(long, Completed)  # it would have been denied
        assert isinstance(wiped, Denial)  # nobody in the shadow allows a thing

        settings(tmp_path, PACKAGE.replace("shadow: true", "shadow: false"))
        await broker.reload_policies(by="kim")
        denied = await broker.call(session, ToolCall("look", {"about": "the whole past"}))
        assert isinstance(denied, Denial)
        assert denied.code == "nights.long"

    done = CliRunner().invoke(app, ["shadow", "--dir", str(config.state), "--json"])
    said = json.loads(done.stdout)
    rows = {row["code"]: row for row in said["rows"]}
    assert done.exit_code == 0
    assert (said["decisions"], said["changed"]) == (4, 1)
    assert rows.keys() == {"nights.long", "nights.wipe"}
    assert rows["nights.long"]["changes"] == [{"was": "allow", "would": "deny", "count": 1}]
    assert rows["nights.long"]["said"]["operator"] == "14 characters, 5 at most"
    assert rows["nights.long"]["calls"] == [long.call]
    assert {row["package"] for row in rows.values()} == {"nights"}
    text = CliRunner().invoke(app, ["shadow", "--dir", str(config.state)]).stdout
    assert "nights  nights.long  look\n  1 x  would be denied, was allowed\n" in text
    assert text.endswith("2 rule(s) spoke; 1 of 4 decisions would change\n")

    layout = StateLayout(config.state)
    report = verify_trace(
        layout.trace,
        key=log_signer(config).public,
        vault=VaultReader(layout.trace, layout.vault_key()),
    )
    assert (report.integrity.verdict, report.completeness.findings) == ("signed", ())
    summary, others = await anyio.to_thread.run_sync(
        replayed, TraceSource(config.state, None), None
    )
    assert (summary.identical, others) == (4, [])


@pytest.mark.slow
def test_it_is_told_when_a_call_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings(tmp_path, PACKAGE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shadow_tools.py").write_text(
        "from typing import Annotated\nfrom wardline import FreeText, tool\n\n"
        '@tool(effect="read", impact="low")\n'
        "def look(about: Annotated[str, FreeText()]) -> str: ...\n"
    )
    given = ["--tools", "shadow_tools", "--tool", "look", "--overlay", str(tmp_path / "mine")]
    args = ["--args", '{"about": "the whole past"}']

    tried = CliRunner().invoke(app, ["try", *given, *args])

    assert tried.exit_code == 0, tried.output
    assert "in shadow   denied, by nights.long" in tried.stdout
