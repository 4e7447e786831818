"""A broker in a process of its own that dies, by SIGKILL, while it decides what a run changed.

    mortal_effects.py STATE WORKSPACE POINT     dies at POINT, or prints what the call came to
    mortal_effects.py STATE WORKSPACE none      makes the same call again and prints that

The call has a key; its tool works in an overlay in a real sandbox, and a person approves what it
would change while it waits. Only the policy is scripted.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from dying import die_at
from editing import change, on_effects
from faults import rewrapped
from mortal import APPROVER, DyingAt, configured
from people import first_pending

from permissions.approval.votes import sign_vote
from permissions.broker.broker import PermissionBroker
from permissions.broker.ports import now_us
from permissions.model import Completed
from permissions.pdp.memory import ScriptedPdp
from permissions.sessions.open import open_session
from permissions.setup.factory import open_broker
from permissions.testing import asking, permitted
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from permissions.model import JsonObject

FILES = 150
IN_COMMIT = 2000
"""Calls after the commit's journal was written; about fifty files are in theirs by then."""
SCRIPT = f"for i in $(seq {FILES}); do echo after > f$i; done"

POINTS: dict[str, tuple[str, str, int, str]] = {
    "ran": ("pdp", "evaluate", 2, "before"),
    "decided": ("pdp", "evaluate", 2, "after"),
    "request_opened": ("approvals", "submit", 1, "after"),
    "approval_proven": ("approvals", "verify", 1, "after"),
    "approval_evaluated": ("pdp", "evaluate", 3, "after"),
    "approval_consumed": ("approvals", "consume", 1, "after"),
    "decision_recorded": ("trace", "append", 3, "after"),
    "before_commit": ("pending", "commit", 1, "before"),
    "after_commit": ("pending", "commit", 1, "after"),
    "before_outcome": ("trace", "append", 4, "before"),
    "outcome_recorded": ("trace", "append", 4, "after"),
    "after_journal": ("journal", "finish", 1, "after"),
}


def a_person_first(document: JsonObject) -> JsonObject:
    return asking() if document["context"]["approval"] is None else permitted()


async def main(state: Path, workspace: Path, point: str) -> None:
    config = configured(state, workspace).model_copy(
        update={
            "sandbox": configured(state, workspace).sandbox.model_copy(
                update={"backends": ("bubblewrap",), "prewarmed": 0}
            )
        }
    )
    call = ToolCall("change", {"script": SCRIPT}, key="the-call")
    async with (
        open_broker(config, [change]) as whole,
        ScriptedPdp(on_effects(a_person_first)) as pdp,
        open_session(
            whole, user="alice", agent="bot", run="run-1", approval_mode="wait"
        ) as session,
        anyio.create_task_group() as tasks,
    ):
        broker = doomed(PermissionBroker(replace(whole.parts, pdp=pdp)), point)
        tasks.start_soon(approve, whole)
        result = await broker.call(session, call)
        tasks.cancel_scope.cancel()
    if isinstance(result, Completed):
        said = {"completed": result.value, "replayed": result.replayed}
    else:
        said = {"denied": result.kind, "code": result.code}
        sys.stderr.write(f"{result.reasons[0].operator}\n")
    sys.stdout.write(json.dumps(said) + "\n")


async def approve(broker: PermissionBroker) -> None:
    approvals = broker.parts.approvals
    request = await first_pending(approvals)
    await approvals.vote(
        sign_vote(
            request, approver="olga", verdict="approve", note="", now=now_us(), signer=APPROVER
        )
    )


def doomed(broker: PermissionBroker, point: str) -> PermissionBroker:
    """The same broker with one mortal part."""
    if point == "in_commit":
        die_at(IN_COMMIT, begin="os.rename", of=".draft", nth=2)
    if point not in POINTS:
        return broker
    port, method, nth, side = POINTS[point]
    if port == "pending":
        return rewrapped(broker, lambda pending: DyingAt(pending, method, nth, side))
    dying: Any = DyingAt(getattr(broker.parts, port), method, nth, side)
    return PermissionBroker(replace(broker.parts, **{port: dying}))


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
