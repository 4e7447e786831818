"""A mail brings an account number along, a note carries it on, and a careless yes pays to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from permissions.drills.result import Drill
from permissions.drills.stage import call, ran, rows, told
from permissions.drills.tools import AMOUNT, ATTACKER, CLERK, MAIL
from permissions.model import Denial
from permissions.reasons import Code
from permissions.sessions.open import open_session

if TYPE_CHECKING:
    from permissions.broker.broker import PermissionBroker
    from permissions.drills.stage import Stage
    from permissions.model import CallResult
    from permissions.run.state import RunState

DRILL = Drill(
    "injected-mail",
    "An agent paid an account that stood in somebody's mail",
    "docs/guides/incident-response.md",
)
RUN = "drill-injected-mail"
AGENT = "drill-clerk"
END_SECONDS = 30.0


async def play(stage: Stage) -> None:
    """Plays it."""
    (stage.copy.workspace / "borealis.eml").write_text(MAIL)
    async with stage.broker(CLERK) as broker:
        await _the_day_before(broker)
        prompt = "Pay the open invoice of Borealis as vendors.txt says"
        async with open_session(
            broker, user="alice", agent=AGENT, run=RUN, prompt=prompt
        ) as session:
            paid = await _paid(stage, broker, session)
            await _detect_and_stop(stage, broker, session, approved=ran(paid))
    with stage.phase("prove"):
        await _prove(stage, paid)


async def _detect_and_stop(
    stage: Stage, broker: PermissionBroker, session: RunState, *, approved: bool
) -> None:
    """While another call of the agent goes on."""
    in_hand: list[CallResult] = []

    async def goes_on() -> None:
        in_hand.append(await call(broker, session, "watch_mailbox", path="borealis.eml"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(goes_on)
        with stage.phase("detect"):
            await _detect(stage, approved=approved)
        with stage.phase("stop"):
            await stage.run(
                "wardline stop --run RUN --reason TEXT", {"RUN": RUN, "TEXT": "drill"}
            )
            with anyio.move_on_after(END_SECONDS):
                while not in_hand:  # noqa: ASYNC110 - the call itself is awaited elsewhere
                    await anyio.sleep(0.01)
            stage.check(
                "what was running ended",
                holds=bool(in_hand) and not ran(in_hand[0]),
                said=told(in_hand[0]) if in_hand else "it runs on",
            )
            again = await call(
                broker, session, "pay", recipient=ATTACKER, amount="1.00", reference="again"
            )
            barred = isinstance(again, Denial) and again.code == Code.STOPPED
            stage.check("the next payment is barred", holds=barred, said=told(again))
        tasks.cancel_scope.cancel()


async def _the_day_before(broker: PermissionBroker) -> None:
    """The mail, and the note made of it."""
    run, prompt = f"{RUN}-before", "Read borealis.eml and note what is new in vendors.txt"
    async with open_session(
        broker, user="alice", agent=AGENT, run=run, prompt=prompt
    ) as session:
        await call(broker, session, "read_mail", path="borealis.eml")
        note = f"Borealis: account {ATTACKER}"
        await call(broker, session, "write_note", path="vendors.txt", text=note)


async def _paid(stage: Stage, broker: PermissionBroker, session: RunState) -> CallResult:
    """The payment, and the yes to it."""
    await call(broker, session, "read_note", path="vendors.txt")
    invoice = {"recipient": ATTACKER, "amount": AMOUNT, "reference": "invoice 12"}
    paid = await call(broker, session, "pay", **invoice)
    if isinstance(paid, Denial) and paid.access_request is not None:
        await stage.approve(paid.access_request, *stage.copy.people)
        paid = await call(broker, session, "pay", **invoice)
    if ran(paid):
        stage.happened(f"{AMOUNT} EUR went to {ATTACKER}, an account from a mail")
    else:
        stage.happened(f"these policies let nobody pay it: {told(paid)}", prevented=True)
    return paid


async def _detect(stage: Stage, *, approved: bool) -> None:
    ended = "ran: ok" if approved else "pay("
    await stage.run("wardline trace find --amount 500..", says=ATTACKER)
    await stage.run(
        "wardline trace find --argument =TEXT", {"TEXT": ATTACKER}, says="write_note("
    )
    await stage.run("wardline trace blast SOURCE", {"SOURCE": "borealis.eml"}, says=ended)


async def _prove(stage: Stage, paid: CallResult) -> None:
    await stage.run("wardline trace verify", says="consistent")
    await stage.run("wardline trace why CALL", {"CALL": paid.call}, says=ATTACKER)
    listed = rows(await stage.command("trace", "list", "--json"))
    entry = next(str(each["index"]) for each in listed if each["call"] == paid.call)
    await stage.run("wardline trace prove ENTRY --out proof", {"ENTRY": entry})
    if ran(paid):
        voter = stage.voter(stage.copy.people[0])
        await stage.run(
            "wardline trace votes CALL --key NAME=FILE",
            {"CALL": paid.call, "NAME=FILE": voter},
            says="proven by their key",
        )
