"""An agent asks people for so much that somebody says yes to all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.drills.result import Drill
from permissions.drills.stage import call, ran, rows, told
from permissions.drills.tools import ATTACKER, CLERK
from permissions.model import Denial
from permissions.reasons import Code
from permissions.sessions.open import open_session

if TYPE_CHECKING:
    from permissions.drills.stage import Stage

DRILL = Drill(
    "flood",
    "An agent floods its approvers with requests",
    "docs/operations/runbooks/approvals.md",
)
AGENT = "drill-flooder"
CALLS = 60


async def play(stage: Stage) -> None:
    """Plays it."""
    async with (
        stage.broker(CLERK) as broker,
        open_session(broker, user="alice", agent=AGENT, run="drill-flood") as session,
    ):
        ended = [
            await call(
                broker, session, "pay", recipient=ATTACKER, amount=f"{number}.00", reference="x"
            )
            for number in range(1, CALLS + 1)
        ]
        asked = {e.access_request for e in ended if isinstance(e, Denial) and e.access_request}
        stage.happened(
            f"{AGENT} made {CALLS} calls, and {len(asked)} of them wait for people",
            prevented=not asked and not any(map(ran, ended)),
        )
        with stage.phase("detect"):
            listed = rows(await stage.run("wardline request list --json"))
            stage.check(
                "each that waits is listed, and no call ran",
                holds=len(listed) == len(asked) and all(isinstance(e, Denial) for e in ended),
                said=f"{len(listed)} requests wait",
            )
        with stage.phase("stop"):
            await stage.run(
                "wardline stop --agent AGENT --reason TEXT", {"AGENT": AGENT, "TEXT": "drill"}
            )
            left = rows(await stage.run("wardline request list --json"))
            stage.check("all of them are withdrawn", holds=not left, said=f"{len(left)} wait")
            again = await call(
                broker, session, "pay", recipient=ATTACKER, amount="1.00", reference="again"
            )
            barred = isinstance(again, Denial) and again.code == Code.STOPPED
            stage.check("it can ask no more", holds=barred, said=told(again))
    with stage.phase("prove"):
        await stage.run("wardline trace verify", says="consistent")
        await stage.run("wardline trace find --tool pay", says="drill-flood")
