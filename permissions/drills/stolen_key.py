"""Somebody else has an approver's key, and approves payments with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.drills.result import Drill
from permissions.drills.stage import call, ran, told
from permissions.drills.tools import ATTACKER, CLERK
from permissions.model import Denial
from permissions.sessions.open import open_session

if TYPE_CHECKING:
    from permissions.broker.broker import PermissionBroker
    from permissions.drills.stage import Stage
    from permissions.model import CallResult

DRILL = Drill(
    "stolen-key",
    "Calls were approved with a key that its owner did not use",
    "docs/operations/runbooks/approvals.md",
)
EXIT_REFUSED = 3
FIRST = {"recipient": ATTACKER, "amount": "980.00", "reference": "first"}
SECOND = {"recipient": ATTACKER, "amount": "990.00", "reference": "second"}
THIRD = {"recipient": ATTACKER, "amount": "995.00", "reference": "third"}


async def play(stage: Stage) -> None:
    """Plays it."""
    thief, *others = stage.copy.people
    async with stage.broker(CLERK) as broker:
        paid = await _pay(broker, "drill-theft", FIRST)
        if request := _request(paid):
            await stage.approve(request, thief, *others)
            paid = await _pay(broker, "drill-theft", FIRST)
        unused = await _pay(broker, "drill-unused", SECOND)
        if request := _request(unused):
            await stage.approve(request, thief, *others)
        waiting = await _pay(broker, "drill-waiting", THIRD)
        if ran(paid):
            stage.happened(f"the key of {thief} approved a payment, and it ran")
        else:
            said = (
                f"nothing that the key of {thief} can approve lets a payment run: {told(paid)}"
            )
            stage.happened(said, prevented=True)
        with stage.phase("detect"):
            if ran(paid) or _request(unused):
                await stage.run(
                    "wardline trace find --approver NAME",
                    {"NAME": thief},
                    says="drill-theft" if ran(paid) else "drill-unused",
                )
            else:
                stage.check("the key approved nothing", holds=True, said=told(paid))
    with stage.phase("stop"):
        stage.copy.renew_key(thief)
        async with stage.broker(CLERK) as broker:
            used = await _pay(broker, "drill-unused", SECOND)
            stage.check(
                "what it approved and nobody used counts no more",
                holds=not ran(used),
                said=told(used),
            )
            if request := _request(waiting):
                await stage.run(
                    "wardline request approve ID --key KEY",
                    {"ID": request, "KEY": f"file:{stage.copy.key_of(thief)}"},
                    exits=EXIT_REFUSED,
                    says="belongs to no registered approver",
                )
            await stage.run("wardline request list")
    with stage.phase("prove"):
        if ran(paid):
            await stage.run(
                "wardline trace votes CALL --key NAME=FILE",
                {"CALL": paid.call, "NAME=FILE": stage.voter(thief)},
                says="proven by their key",
            )
        await stage.run("wardline trace verify", says="consistent")


async def _pay(broker: PermissionBroker, run: str, invoice: dict[str, str]) -> CallResult:
    async with open_session(
        broker, user="alice", agent="drill-clerk", run=run, prompt="Pay the open invoices"
    ) as session:
        return await call(broker, session, "pay", **invoice)


def _request(result: CallResult) -> str | None:
    return result.access_request if isinstance(result, Denial) else None
