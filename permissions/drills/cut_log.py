"""Whoever owns the disk puts an older copy of the log back, so that its last calls are gone."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from permissions.drills.result import Drill
from permissions.drills.stage import call
from permissions.drills.tools import CLERK, MAIL
from permissions.errors import BrokerError
from permissions.sessions.open import open_session
from permissions.setup.layout import StateLayout
from permissions.trace.store import segments

if TYPE_CHECKING:
    from permissions.drills.stage import Stage

DRILL = Drill(
    "cut-log",
    "The end of the record is gone, and what is left verifies by itself",
    "docs/operations/runbooks/trace.md",
)
EXIT_INTEGRITY = 5


async def play(stage: Stage) -> None:
    """Plays it."""
    copy = stage.copy
    (copy.workspace / "borealis.eml").write_text(MAIL)
    layout = StateLayout(copy.config.state)
    await _work(stage, "drill-before")
    shutil.copytree(layout.trace, copy.folder / "older")
    await _work(stage, "drill-hidden")
    kept = copy.folder / "kept"
    kept.mkdir()
    shutil.copytree(layout.trace, kept / "trace")
    shutil.copy2(layout.log_public_key, kept / "log.pem.pub")
    (kept / "head.txt").write_text(await stage.command("trace", "head"))
    shutil.rmtree(layout.trace)
    shutil.copytree(copy.folder / "older", layout.trace)
    stage.happened("the run drill-hidden is gone from the log, at a signed checkpoint")
    outside = {"CHECKPOINT": str(kept / "head.txt"), "KEY": str(kept / "log.pem.pub")}
    with stage.phase("detect"):
        await stage.run(
            "wardline trace verify --checkpoint CHECKPOINT", outside, exits=EXIT_INTEGRITY
        )
    with stage.phase("stop"):
        said = "it opened"
        try:
            async with stage.broker(CLERK):
                pass
        except BrokerError as err:
            said = str(err)
        stage.check("no broker goes on with it", holds=said != "it opened", said=said)
    with stage.phase("prove"):
        shutil.move(layout.trace, copy.folder / "cut")
        shutil.copytree(kept / "trace", layout.trace)
        await stage.run(
            "wardline trace verify --key KEY --checkpoint CHECKPOINT --require signed,anchored,whole",
            outside,
        )
        await stage.run(
            "wardline trace list --run RUN", {"RUN": "drill-hidden"}, says="read_mail"
        )
        _flip_a_byte(layout)
        await stage.run(
            "wardline trace verify --checkpoint CHECKPOINT", outside, exits=EXIT_INTEGRITY
        )


async def _work(stage: Stage, run: str) -> None:
    async with (
        stage.broker(CLERK) as broker,
        open_session(broker, user="alice", agent="drill-clerk", run=run) as session,
    ):
        await call(broker, session, "read_mail", path="borealis.eml")


def _flip_a_byte(layout: StateLayout) -> None:
    """In the middle of the first entry that has a body."""
    segment = segments(layout.trace)[0]
    data = bytearray(segment.read_bytes())
    data[data.index(b'{"body"') + 40] ^= 1
    segment.write_bytes(bytes(data))
