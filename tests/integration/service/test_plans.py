"""Tools about the plan itself, of a client: they act on the daemon's session, and run there."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from permissions.errors import PlanError
from permissions.model import Completed, Denial
from permissions.plan.model import plan_from
from permissions.service.clients import Clients
from permissions.service.dial import UnixDial
from permissions.service.remote import RemoteBroker
from permissions.service.server import listening
from permissions.sessions.plan_tools import amend_plan, approve_plan
from permissions.testing import Person, memory_broker
from permissions.tools.call import ToolCall
from wardline import RecipientArg, tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from permissions.broker.broker import PermissionBroker
    from permissions.plan.model import Plan

pytestmark = pytest.mark.slow

OLGA = Person("olga", ("operators", "security"))


@tool(effect="irreversible", impact="high")
async def send(to: Annotated[str, RecipientArg()]) -> str:
    return f"sent to {to}"


TOOLS = [send, amend_plan, approve_plan]


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[PermissionBroker, RemoteBroker]]:
    folder.chmod(0o700)
    path = folder / "broker.sock"
    async with (
        memory_broker(TOOLS, people=[OLGA], workspace=folder) as core,
        listening(core, path, Clients()),
    ):
        yield core, RemoteBroker(UnixDial(path), TOOLS)


def step(name: str, to: str) -> dict[str, Any]:
    return {"id": name, "tool": "send", "arguments": {"to": {"literal": to}}}


def declared(core: PermissionBroker, *steps: dict[str, Any]) -> Plan:
    return plan_from(
        {
            "id": "mails",
            "goal": "send mails",
            "subject": "agent:bot",
            "on_behalf_of": "user:alice",
            "budget": {"calls": 9},
            "expires_at": core.parts.clock() + 3_600_000_000,
            "steps": [*steps],
        }
    )


async def test_a_client_has_its_plan_approved_and_amended(tmp_path: Path) -> None:
    async with served(tmp_path) as (core, broker):
        plan = declared(core, step("one", "ann@corp.example"))
        other = declared(core, step("one", "eve@corp.example"))

        async def approved(call: ToolCall) -> Any:
            waiting = await broker.call(run, call)
            assert isinstance(waiting, Denial)
            assert waiting.kind == "pending", waiting
            await OLGA.answer(core, waiting.access_request, "approve")
            return await broker.call(run, call)

        async with broker.session(
            user="alice", agent="bot", plan=plan, approval_mode="suspend"
        ) as run:
            with pytest.raises(PlanError, match="not the plan of the run"):
                await approved(ToolCall("approve_plan", {"plan": other.document()}))
            shown = await approved(ToolCall("approve_plan", {"plan": plan.document()}))
            first = await broker.call(run, ToolCall("send", {"to": "ann@corp.example"}))
            added = {"add": [step("two", "bob@corp.example")], "remove": [], "calls": 1}
            amended = await approved(ToolCall("amend_plan", added))
            planned = await broker.explain(run, ToolCall("send", {"to": "bob@corp.example"}))
            beyond = await broker.explain(run, ToolCall("send", {"to": "dan@corp.example"}))

    assert isinstance(shown, Completed)
    assert isinstance(first, Completed)
    assert first.value == "sent to ann@corp.example"
    assert isinstance(amended, Completed)
    assert amended.value["digest"] != plan.digest
    assert planned.facts is not None
    assert beyond.facts is not None
    planned_as, beyond_as = (each.facts["context"]["plan"] for each in (planned, beyond))
    assert planned_as["step"] == "two"
    assert planned_as["verdict"] != beyond_as["verdict"]
