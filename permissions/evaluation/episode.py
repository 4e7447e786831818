"""One scenario, played once against a real broker: who called what, and how each call ended."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from permissions.broker.inspection import Inspection
from permissions.errors import PlanError
from permissions.evaluation.decision_point import InProcessPdp
from permissions.evaluation.labels import tools_of
from permissions.model import Completed
from permissions.sessions.open import open_session
from permissions.testing import Person, memory_broker, permitted
from permissions.tools.call import ToolCall
from permissions.tools.decorator import guard_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from permissions.evaluation.suite import Step, Suite
    from permissions.evaluation.worlds import World
    from permissions.pdp.bundle import PolicyBundle
    from permissions.plan.model import Plan
    from permissions.run.state import RunState
    from permissions.testing import MemoryBroker
    from permissions.tools.definition import ToolDefinition
    from permissions.vocabulary import JsonObject, JsonValue

Caller = Literal["user", "attacker"]
Verdict = Literal["ran", "asked", "denied"]


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How one call ended. `asked` means that a person was asked, whatever they said.

    `codes` are the reasons of the question or the denial, `seconds` what the broker took.
    """

    tool: str
    effect: str
    by: Caller
    verdict: Verdict
    ran: bool
    codes: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    """What the reasons name: arguments, never values."""
    seconds: float = 0.0


@dataclass(slots=True)
class Episode:
    """What came of one scenario."""

    calls: list[CallEnd] = field(default_factory=list)
    is_done: bool = False
    is_reached: bool = False
    plan_refused: str = ""

    def asks(self, by: Caller = "user") -> int:
        """Calls about which a person was asked."""
        return sum(call.verdict == "asked" and call.by == by for call in self.calls)

    def denies(self, by: Caller = "user") -> int:
        """Calls that nobody could approve."""
        return sum(call.verdict == "denied" and call.by == by for call in self.calls)


@dataclass(frozen=True, slots=True)
class Approver:
    """Who answers what the broker asks. What is the person's own is always approved.

    Attributes:
        foreign: probability that an attacker's call is approved; people are careless.
    """

    foreign: float = 0.0

    def approves(self, by: Caller, chance: random.Random) -> bool:
        """Whether this call is approved."""
        return by == "user" or chance.random() < self.foreign


RIGHT = Approver()


class Stage:
    """A broker with the tools of one suite, and the world they act in for the moment."""

    def __init__(self, broker: MemoryBroker, tools: dict[str, ToolDefinition]) -> None:
        self.broker = broker
        self.tools = tools
        self.world: World | None = None
        self._inside = 0.0
        self._asked: JsonObject = {}

    def run(self, tool: str, args: JsonObject) -> JsonValue:
        """What a tool does once it was permitted."""
        began = perf_counter()
        try:
            # A path reaches a tool as it was decided, whole; the world knows it as it was asked.
            asked = {name: value for name, value in self._asked.items() if name in args}
            return None if self.world is None else self.world.run(tool, {**args, **asked})
        finally:
            self._inside += perf_counter() - began

    async def play(
        self,
        world: World,
        *,
        prompt: str,
        script: Iterable[tuple[Caller, Step]],
        approver: Approver,
        plan: Plan | None = None,
        seed: int = 0,
    ) -> Episode:
        """Makes the calls of a script in order; what is refused is skipped.

        The script may be a generator: it is asked for the next call when the last has ended.
        """
        self.world = world
        episode, ran = Episode(), []
        chance = random.Random(seed)  # noqa: S311 - people's carelessness, no secret
        self.broker.trace.entries.clear()
        self.broker.trace.barriers.clear()
        options: dict[str, Any] = {"user": "user", "agent": "agent", "prompt": prompt}
        try:
            async with open_session(self.broker, plan=plan, **options) as session:
                for by, step in script:
                    end = await self._call(session, by, step, approver, chance)
                    episode.calls.append(end)
                    if end.ran:
                        ran.append(step)
                    elif by == "attacker":
                        world.refused(step)
        except PlanError as err:
            episode.plan_refused = str(err)[:2000]
        if not episode.plan_refused:
            episode.is_done = world.is_done(ran)
            episode.is_reached = world.is_reached(ran)
        return episode

    async def _call(
        self,
        session: RunState,
        by: Caller,
        step: Step,
        approver: Approver,
        chance: random.Random,
    ) -> CallEnd:
        call = ToolCall(step.tool, step.args)
        known = self.tools.get(step.tool)
        about = (step.tool, "unknown" if known is None else known.effect, by)
        self._asked = step.args
        self._inside, began = 0.0, perf_counter()
        result = await self.broker.call(session, call)
        seconds = perf_counter() - began - self._inside
        if isinstance(result, Completed):
            return CallEnd(*about, "ran", ran=True, seconds=seconds)
        if result.kind != "pending" or result.access_request is None:
            codes, arguments = _named(result.reasons)
            return CallEnd(*about, "denied", False, codes, arguments, seconds)  # noqa: FBT003
        asked = await self.broker.parts.approvals.get(result.access_request)
        codes, arguments = _named(asked.reasons)
        ran = False
        if approver.approves(by, chance):
            await self._approve(asked.id)
            ran = isinstance(await self.broker.call(session, call), Completed)
        return CallEnd(*about, "asked", ran, codes, arguments, seconds)

    async def _approve(self, request: str) -> None:
        asked = await self.broker.parts.approvals.get(request)
        groups = asked.call.terms.approvers
        for person in PEOPLE:
            if set(person.groups) & set(groups) and asked.status == "pending":
                asked = await person.answer(self.broker, request)


PEOPLE = (
    Person("olga", ("operators", "security", "finance")),
    Person("sam", ("operators", "security", "finance")),
)


def _named(reasons: Sequence[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The codes of reasons, and the arguments that they name."""
    arguments = {
        str(each.nearest["argument"])
        for each in reasons
        if isinstance(each.nearest, dict) and "argument" in each.nearest
    }
    return tuple(each.code for each in reasons), tuple(sorted(arguments))


@asynccontextmanager
async def open_stage(
    suite: Suite, bundle: PolicyBundle | None, *, workspace: Path
) -> AsyncIterator[Stage]:
    """A broker over the suite's tools; without a bundle everything is allowed.

    Raises:
        ConfigError: a tool's schema or label cannot be used.
        PolicyLoadError: the policies must not be used.
    """
    stage: Stage | None = None

    def run(tool: str, args: dict[str, Any]) -> Any:
        return None if stage is None else stage.run(tool, args)

    tools = [*tools_of(suite, run)]
    pdp = None if bundle is None else InProcessPdp(bundle)
    async with memory_broker(
        tools,
        decide=(lambda _: permitted()) if bundle is None else None,
        pdp=pdp,
        inspection=None if bundle is None else Inspection.of(bundle.data, ()),
        people=PEOPLE,
        workspace=workspace,
    ) as broker:
        definitions = [guard_of(each).definition for each in tools]
        stage = Stage(broker, {each.name: each for each in definitions})
        yield stage
