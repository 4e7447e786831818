"""A broker in a process of its own that dies, by SIGKILL, at a named point of one call.

    mortal.py STATE WORKSPACE POINT       dies at POINT, or prints what the call came to
    mortal.py STATE WORKSPACE none        makes the same call again and prints what it came to

A fourth argument, `keyless`, makes it a call without a key; the name of a sandbox backend has its
tool run there, and the process says which it is first. The call needs a person (whose approval is given first), takes from a durable
budget, and appends one line to `effects` in the workspace. Everything is real but the death.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import boxed_line

from permissions.approval.votes import sign_vote
from permissions.broker.broker import PermissionBroker
from permissions.broker.ports import now_us
from permissions.model import Completed
from permissions.sessions.open import open_session
from permissions.setup.config import ApproverConfig, BrokerConfig
from permissions.setup.factory import open_broker
from permissions.signing.keys import memory_signer
from permissions.tools.call import ToolCall
from wardline import FreeText, PathArg, tool

if TYPE_CHECKING:
    from permissions.run.state import RunState

APPROVER = memory_signer(b"a" * 32)

# What to die at: the port, its method, which call of it, and on which side of it.
POINTS: dict[str, tuple[str, str, int, str]] = {
    "1_look_up": ("registry", "find", 1, "after"),
    "2_map": ("clock", "__call__", 1, "before"),
    "3_plan_and_4_attributes": ("budgets", "used", 1, "after"),
    "5_before_policy": ("pdp", "evaluate", 1, "before"),
    "5_after_policy": ("pdp", "evaluate", 1, "after"),
    "6_request_opened": ("approvals", "submit", 1, "after"),
    "6_approval_proven": ("approvals", "verify", 1, "after"),
    "6_approval_evaluated": ("pdp", "evaluate", 2, "after"),
    "7_budget_reserved": ("budgets", "reserve", 1, "after"),
    "8_approval_consumed": ("approvals", "consume", 1, "after"),
    "8_journal_begun": ("journal", "begin", 1, "after"),
    "8_start_recorded": ("trace", "append", 2, "after"),
    "9_before_effect": ("tool", "before", 1, "before"),
    "9_after_effect": ("tool", "after", 1, "before"),
    "9_while_it_runs": ("executors", "execute", 1, "meanwhile"),
    "10_before_outcome": ("trace", "append", 3, "before"),
    "11_outcome_recorded": ("trace", "append", 3, "after"),
    "11_before_journal": ("journal", "finish", 1, "before"),
    "11_after_journal": ("journal", "finish", 1, "after"),
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingAt:
    """A port that ends the process at the n-th use of one method, and else only delegates."""

    def __init__(self, port: Any, method: str, nth: int, side: str) -> None:
        self._port, self._method, self._left, self._side = port, method, nth, side

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._port, name)
        if name != self._method:
            return member

        def plain(*args: Any, **kwargs: Any) -> Any:
            self._count("before")
            value = member(*args, **kwargs)
            self._count("after")
            return value

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            self._count("before")
            if self._side == "meanwhile":
                threading.Timer(0.5, die).start()
            value = await member(*args, **kwargs)
            self._count("after")
            return value

        return awaited if inspect.iscoroutinefunction(member) else plain

    def __iter__(self) -> Any:
        return iter(self._port)

    def __call__(self) -> int:
        self._count("before")
        value: int = self._port()
        return value

    def _count(self, side: str) -> None:
        if side != self._side:
            return
        self._left -= 1
        if self._left == 0:
            die()


_IN_TOOL = {"before": False, "after": False}


@tool(effect="irreversible", impact="high", output="trusted")
def append_line(
    path: Annotated[str, PathArg("write")], line: Annotated[str, FreeText()]
) -> str:
    """Appends a line to a file; each run of it can be counted."""
    if _IN_TOOL["before"]:
        die()
    with Path(os.environ["MORTAL_WORKSPACE"], path).open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
    if _IN_TOOL["after"]:
        die()
    return "written"


def configured(state: Path, workspace: Path, backend: str | None = None) -> BrokerConfig:
    return BrokerConfig.load(
        state=state,
        workspace=workspace,
        approvers={
            "olga": ApproverConfig(groups=("operators",), public_key=str(APPROVER.public))
        },
        sandbox={"backends": () if backend is None else (backend,), "prewarmed": 0},
        pdp={"hard_deadline_ms": 20_000},  # it has no environment of the tests
    )


async def main(
    state: Path, workspace: Path, point: str, key: str | None, backend: str | None = None
) -> None:
    config = configured(state, workspace, backend)
    tools = [append_line if backend is None else boxed_line.append_line]
    call = ToolCall("append_line", {"path": "effects", "line": "once"}, key=key)
    async with (
        open_broker(config, tools) as whole,
        open_session(
            whole,
            user="alice",
            agent="bot",
            run="run-1",
            budgets={"calls": 3},
            prompt="append once to effects",
            approval_mode="suspend",
        ) as session,
    ):
        if point == "approve":
            await approve_it(whole, session, call)
            return
        broker = whole if point == "none" else doomed(whole, session, point)
        result = await broker.call(session, call)
        if isinstance(result, Completed):
            said = {"completed": result.value, "replayed": result.replayed}
        else:
            said = {"denied": result.kind, "code": result.code}
        sys.stdout.write(json.dumps(said) + "\n")


async def approve_it(broker: PermissionBroker, session: RunState, call: ToolCall) -> None:
    pending = await broker.call(session, call)
    assert not isinstance(pending, Completed), pending
    assert pending.access_request is not None, pending
    approvals = broker.parts.approvals
    request = await approvals.get(pending.access_request)
    await approvals.vote(
        sign_vote(
            request, approver="olga", verdict="approve", note="", now=now_us(), signer=APPROVER
        )
    )


def doomed(broker: PermissionBroker, session: RunState, point: str) -> PermissionBroker:
    """The same broker with one mortal part."""
    port, method, nth, side = POINTS[point]
    if port == "tool" and broker.parts.executors:
        port, method, side = "executors", "execute", method
    if port == "executors":
        dying_in = {
            isolation: DyingAt(executor, method, nth, side)
            for isolation, executor in broker.parts.executors.items()
        }
        return PermissionBroker(replace(broker.parts, executors=dying_in))  # type: ignore[arg-type]
    if port == "tool":
        _IN_TOOL[method] = True
        return broker
    if port == "budgets":
        session.budgets = DyingAt(session.budgets, method, nth, side)  # type: ignore[assignment]
        return broker
    dying: Any = DyingAt(getattr(broker.parts, port), method, nth, side)
    return PermissionBroker(replace(broker.parts, **{port: dying}))


if __name__ == "__main__":
    os.environ["MORTAL_WORKSPACE"] = sys.argv[2]
    has_key = sys.argv[4:] != ["keyless"]
    backend = sys.argv[4] if has_key and sys.argv[4:] else None
    if backend is not None:
        sys.stderr.write(f"pid {os.getpid()}\n")
    anyio.run(
        main,
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        sys.argv[3],
        "the-call" if has_key else None,
        backend,
    )
