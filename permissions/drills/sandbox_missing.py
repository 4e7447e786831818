"""A tool needs a sandbox, and this machine gives none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.drills.result import Drill
from permissions.drills.stage import call, ran, told
from permissions.drills.tools import run_lines
from permissions.model import Denial
from permissions.reasons import Code
from permissions.sessions.open import open_session

if TYPE_CHECKING:
    from permissions.drills.stage import Stage
    from permissions.model import CallResult
    from permissions.setup.config import BrokerConfig

DRILL = Drill(
    "sandbox-missing",
    "A tool needs a sandbox, and none can be had",
    "docs/operations/runbooks/sandboxes.md",
)


async def play(stage: Stage) -> None:
    """Plays it: without any backend first, then with those of the settings."""
    planted = stage.copy.workspace / "ran-without-a-sandbox"
    code = f"open({str(planted)!r}, 'w').close(); answer = 6 * 7"
    denied = await _once(stage, stage.copy.with_backends(), "drill-no-sandbox", code)
    stage.happened(f"run_lines was asked for where nothing isolates: {told(denied)}")
    missing = isinstance(denied, Denial) and denied.code == Code.ISOLATION_UNAVAILABLE
    with stage.phase("detect"):
        await stage.run(
            "wardline trace find --rule isolation.unavailable",
            says="drill-no-sandbox",
        )
        await stage.run("wardline doctor", exits=None, says="uid")
    with stage.phase("stop"):
        stage.check(
            "nothing ran behind something weaker",
            holds=missing and not planted.exists(),
            said=told(denied),
        )
        mended = await _once(stage, stage.copy.config, "drill-sandbox-back", "answer = 6 * 7")
        stage.check(
            "with the backends of the settings it runs", holds=ran(mended), said=told(mended)
        )
    with stage.phase("prove"):
        await stage.run("wardline trace verify", says="consistent")
        await stage.run(
            "wardline trace why CALL", {"CALL": denied.call}, says=Code.ISOLATION_UNAVAILABLE
        )


async def _once(stage: Stage, config: BrokerConfig, run: str, code: str) -> CallResult:
    async with (
        stage.broker((run_lines,), config) as broker,
        open_session(broker, user="alice", agent="drill-clerk", run=run) as session,
    ):
        return await call(broker, session, "run_lines", code=code)
