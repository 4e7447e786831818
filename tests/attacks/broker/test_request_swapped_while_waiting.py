"""An attacker who may write the state file shows the approver another call than the one held.

The agent's harmful call waits; its request is rewritten into a harmless one, which a person
approves with a good signature. The waiting call must not run on that approval.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import anyio
from people import KEYS, first_pending, swap_questions

from permissions.approval.votes import sign_vote
from permissions.broker.ports import now_us
from permissions.database import STATE_FILE
from permissions.model import Denial
from permissions.sessions.open import open_session
from permissions.setup.config import ApproverConfig, BrokerConfig
from permissions.setup.factory import open_broker
from permissions.tools.call import ToolCall
from wardline import PathArg, tool

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.model import CallResult

RAN: list[str] = []


@tool(effect="irreversible", impact="high", output="trusted")
def erase(path: Annotated[str, PathArg("write")]) -> str:
    """Notes that it ran."""
    RAN.append(path)
    return "erased"


async def test_the_waiting_call_does_not_run_on_an_approval_of_another(tmp_path: Path) -> None:
    config = BrokerConfig.load(
        state=tmp_path / "state",
        workspace=tmp_path,
        approvers={
            "bob": ApproverConfig(groups=("operators",), public_key=str(KEYS["bob"].public))
        },
        sandbox={"backends": ()},
    )
    got: list[CallResult] = []
    async with (
        open_broker(config, [erase]) as broker,
        open_session(
            broker, user="alice", agent="bot", prompt="erase ledger", approval_mode="wait"
        ) as session,
        anyio.create_task_group() as tasks,
    ):

        async def agent() -> None:
            got.append(await broker.call(session, ToolCall("erase", {"path": "ledger"})))

        tasks.start_soon(agent)
        approvals = broker.parts.approvals
        held = await first_pending(approvals)
        harmless = replace(
            held,
            call=replace(held.call, arguments=held.call.arguments.replace("ledger", "tmp")),
        )
        swap_questions(tmp_path / "state" / STATE_FILE, harmless)

        seen = await approvals.get(held.id)
        assert '"tmp"' in seen.call.arguments
        signed = sign_vote(
            seen,
            approver="bob",
            verdict="approve",
            note="",
            now=now_us(),
            signer=KEYS["bob"],
        )
        assert (await approvals.vote(signed)).status == "approved"

    (result,) = got
    assert isinstance(result, Denial)
    assert result.code == "approval.invalid"
    assert RAN == []
