"""What holds for every chain of sub-agents: nothing escapes, and less given never allows more."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import anyio
from hypothesis import given
from hypothesis import strategies as st

from permissions.errors import DelegationError
from permissions.model import Completed
from permissions.run.delegation import Delegation, delegation_from
from permissions.sessions.delegate import open_delegate
from permissions.sessions.open import open_session
from permissions.testing import memory_broker, permitted
from permissions.tools.call import ToolCall
from wardline import tool

if TYPE_CHECKING:
    from permissions.run.state import RunState
    from permissions.testing import MemoryBroker

RAN: list[tuple[str, int]] = []


@tool(effect="send")
async def alpha(n: int) -> str:
    """Does something."""
    RAN.append(("alpha", n))
    return "done"


@tool(effect="send")
async def beta(n: int) -> str:
    """Does something else."""
    RAN.append(("beta", n))
    return "done"


TOOLS = [alpha, beta]
NAMES = ("alpha", "beta")
SCHEMAS = st.one_of(
    st.builds(lambda most: {"type": "integer", "maximum": most}, st.integers(0, 4)),
    st.builds(lambda known: {"enum": sorted(known)}, st.sets(st.integers(0, 4), min_size=1)),
)
PARTS = st.fixed_dictionaries(
    {"use": st.booleans(), "delegate": st.booleans()},
    optional={"arguments": st.fixed_dictionaries({}, optional={"n": SCHEMAS})},
)
GIVEN = st.fixed_dictionaries(
    {"tools": st.dictionaries(st.sampled_from(NAMES), PARTS, min_size=1)},
    optional={"budgets": st.fixed_dictionaries({"calls": st.integers(0, 4)})},
)
CALLS = st.tuples(st.integers(0, 9), st.sampled_from(NAMES), st.integers(0, 5))
STEPS = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 9), GIVEN),
    st.tuples(st.just("call"), CALLS, st.none()),
    st.tuples(st.just("race"), st.lists(CALLS, min_size=2, max_size=6), st.none()),
    st.tuples(st.just("revoke"), st.integers(0, 9), st.none()),
)


def covers(chain: list[Delegation], name: str, n: int) -> bool:
    """The rule, written a second time: the last uses it, all before gave it on, all bounds hold."""
    for position, each in enumerate(chain):
        part = each.tools.get(name)
        is_last = position == len(chain) - 1
        if part is None or not (part.use if is_last else part.delegate):
            return False
        schema = part.arguments.get("n")
        if schema is not None and not (
            n in schema["enum"] if "enum" in schema else n <= schema["maximum"]
        ):
            return False
    return True


class Schedule:
    """A tree of runs as the test expects it, beside the real one."""

    def __init__(self, broker: MemoryBroker, top: RunState, limit: int) -> None:
        self.broker = broker
        self.top = top
        self.runs = [top]
        self.chains: dict[str, list[Delegation]] = {top.run: []}
        self.above = {top.run: [top.run]}
        self.limits = {top.run: limit}
        self.used = {top.run: 0}
        self.stopped: set[str] = set()

    async def send(self, at: int, document: Any, stack: AsyncExitStack) -> None:
        sender, may = self.runs[at % len(self.runs)], delegation_from(document)
        opened = open_delegate(self.broker, sender, agent="b", may=may)
        try:
            sent = (await stack.enter_async_context(opened)).run
        except DelegationError:
            return
        self.runs.append(sender.delegates[sent])
        self.chains[sent] = [*self.chains[sender.run], may]
        self.above[sent] = [sent, *self.above[sender.run]]
        self.limits[sent] = min(may.budgets.get("calls", 99), self.limits[sender.run])
        self.used[sent] = 0

    async def call(self, at: int, name: str, n: int) -> None:
        run = self.runs[at % len(self.runs)]
        result = await self.broker.call(run, ToolCall(name, {"n": n}))
        if not isinstance(result, Completed):
            return
        if run is not self.top:
            assert covers(self.chains[run.run], name, n)
            assert not self.stopped & {*self.above[run.run]}
        for each in self.above[run.run]:
            self.used[each] += 1

    async def race(self, calls: list[tuple[int, str, int]]) -> None:
        async with anyio.create_task_group() as group:
            for each in calls:
                group.start_soon(self.call, *each)

    async def revoke(self, at: int) -> None:
        run = self.runs[at % len(self.runs)].run
        if len(self.runs) > 1 and (run != self.top.run or self.top.delegates):
            await self.broker.parts.delegations.revoke(run, now=1)
            self.stopped.add(run)


@given(st.integers(1, 6), st.lists(STEPS, max_size=14))
async def test_no_schedule_of_calls_escapes(limit: int, steps: list[Any]) -> None:
    """Each call that ran was covered by the whole chain, counted by it, and by nobody revoked."""
    RAN.clear()
    async with (
        memory_broker(TOOLS, decide=lambda _: permitted()) as broker,
        open_session(broker, user="u", agent="a", budgets={"calls": limit}) as top,
        AsyncExitStack() as stack,
    ):
        schedule = Schedule(broker, top, limit)
        for kind, about, more in steps:
            match kind:
                case "send":
                    await schedule.send(about, more, stack)
                case "call":
                    await schedule.call(*about)
                case "race":
                    await schedule.race(about)
                case _:
                    await schedule.revoke(about)
        assert all(schedule.used[run] <= schedule.limits[run] for run in schedule.used)
        assert schedule.used[top.run] == len(RAN)


@given(st.lists(GIVEN, min_size=1, max_size=3), st.data())
def test_removing_a_permission_never_allows_more(
    documents: list[Any], data: st.DataObject
) -> None:
    chain = [delegation_from(each) for each in documents]
    at = data.draw(st.integers(0, len(chain) - 1))
    less = data.draw(st.sampled_from([*_lessened(chain[at])]))
    smaller = [*chain[:at], less, *chain[at + 1 :]]
    for name in NAMES:
        for n in range(6):
            if _passes(smaller, name, n):
                assert _passes(chain, name, n)


def _lessened(given: Delegation) -> list[Delegation]:
    document = given.model_dump()
    found = [given]
    for name, part in document["tools"].items():
        others = {key: value for key, value in document["tools"].items() if key != name}
        lessened = [{**part, "use": False}, {**part, "delegate": False}]
        if not part["arguments"]:
            lessened.append({**part, "arguments": {"n": {"enum": [3]}}})
        found += [delegation_from({"tools": {**others, name: each}}) for each in lessened]
        if others:
            found.append(delegation_from({"tools": others}))
    return found


def _passes(chain: list[Delegation], name: str, n: int) -> bool:
    *above, last = chain
    return last.excess(name, {"n": n}, use=True) is None and all(
        each.excess(name, {"n": n}, use=False) is None for each in above
    )
