"""The same agent, tools and attacks under LangChain's human-in-the-loop and under Wardline.

    python tests/bench/side_by_side.py

(or with `LangChain` or `Wardline`, for the processor seconds until a first call is answered)
prints, for each attack and each of them, whether it was stopped, as `docs/compare.md` has it. The
agent reads and deletes; a person has to say yes to what is deleted.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Annotated, Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool as framework_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from permissions.approval.votes import sign_vote
from permissions.broker.ports import now_us
from permissions.signing.keys import memory_signer
from wardline import Broker, BrokerConfig, BrokerError, CallDenied, PathArg, tool
from wardline.config import ApproverConfig
from wardline.langchain import WardlineMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OLGA = memory_signer(b"o" * 32)
THREAD: Any = {"configurable": {"thread_id": "t"}}
GO: Any = {"messages": [("user", "go")]}


class Scripted(GenericFakeChatModel):
    """Says what a real model might."""

    def bind_tools(self, *_: Any, **__: Any) -> Any:
        """Takes any."""
        return self


class Died(BaseException):
    """The program ends in the middle of a tool."""


class World:
    """One agent and what its tools did."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.dies = False

    def functions(self) -> list[Callable[..., str]]:
        """What the agent may call."""

        def read(path: Annotated[str, PathArg("read")]) -> str:
            """Reads a file."""
            self.ran.append(f"read {path}")
            return "text"

        def delete(name: str) -> str:
            """Deletes a branch."""
            self.ran.append(f"delete {name}")
            if self.dies:
                self.dies = False
                raise Died
            return f"{name} is gone"

        return [read, delete]

    def agent(self, middleware: Any, tools: Any, called: str, args: dict[str, str]) -> Any:
        """It makes one call."""
        call = {"name": called, "args": args, "id": "1", "type": "tool_call"}
        said = iter([AIMessage("", tool_calls=[call]), *[AIMessage("done")] * 5])
        model = Scripted(messages=said)
        return create_agent(model, tools, middleware=middleware, checkpointer=InMemorySaver())


class HumanInTheLoop(World):
    """LangChain's own."""

    def made(self, called: str, **args: str) -> Any:
        """Its agent."""
        asks = HumanInTheLoopMiddleware(interrupt_on={"delete": True})
        return self.agent([asks], [framework_tool(f) for f in self.functions()], called, args)

    def approve(self) -> Any:
        """A yes is what the thread is resumed with."""
        return Command(resume={"decisions": [{"type": "approve"}]})

    def direct(self) -> None:
        """Past the agent."""
        self.functions()[1]("all")


class Wardline(World):
    """Ours."""

    def __init__(self, broker: Callable[[Any], Any]) -> None:
        super().__init__()
        read, delete = self.functions()
        self.tools = [
            tool(effect="read", impact="low")(read),
            tool(effect="write", impact="high")(delete),
        ]
        self.broker = broker(self.tools)

    def made(self, called: str, **args: str) -> Any:
        """Its agent."""
        return self.agent([WardlineMiddleware(self.tools)], None, called, args)

    def approve(self) -> Any:
        """A yes is a person's signature in the broker's store."""
        portal, core = self.broker._opened()  # the console's way in, without a console
        for asked in portal.call(partial(core.parts.approvals.listed, pending_only=True)):
            vote = sign_vote(
                asked, approver="olga", verdict="approve", note="", now=now_us(), signer=OLGA
            )
            portal.call(core.parts.approvals.vote, vote)
        return Command(resume="yes")

    def direct(self) -> None:
        """Past the agent."""
        self.tools[1]("all")


def a_yes_that_nobody_gave(world: Any) -> bool:
    """The program, or whoever may resume threads, resumes with a yes."""
    agent = world.made("delete", name="old")
    agent.invoke(GO, THREAD)
    agent.invoke(Command(resume={"decisions": [{"type": "approve"}]}), THREAD)
    return not world.ran


def a_yes_with_other_arguments(world: Any) -> bool:
    """The answer brings another call along; no rule looks at it."""
    agent = world.made("delete", name="old")
    agent.invoke(GO, THREAD)
    edited = {"name": "delete", "args": {"name": "all"}}
    answer = {"decisions": [{"type": "edit", "edited_action": edited}]}
    agent.invoke(Command(resume=answer), THREAD)
    return "delete all" not in world.ran


def a_yes_used_twice(world: Any) -> bool:
    """The thread is resumed a second time from where it waited."""
    agent = world.made("delete", name="old")
    agent.invoke(GO, THREAD)
    waited = agent.get_state(THREAD).config
    yes = world.approve()
    agent.invoke(yes, THREAD)
    assert world.ran == ["delete old"], "the honest use works"
    agent.invoke(yes, waited)
    return world.ran == ["delete old"]


def a_program_that_died_in_a_tool(world: Any) -> bool:
    """Its effect happened; the thread goes on afterwards."""
    agent = world.made("delete", name="old")
    agent.invoke(GO, THREAD)
    world.dies = True
    try:
        agent.invoke(world.approve(), THREAD)
    except Died:
        agent.invoke(None, THREAD)
    return world.ran == ["delete old"]


def a_file_outside(world: Any) -> bool:
    """A tool that nobody has to be asked about reads what it should not."""
    world.made("read", path="/etc/shadow").invoke(GO, THREAD)
    return not world.ran


def a_call_past_the_agent(world: Any) -> bool:
    """Other code of the program calls the tool."""
    with suppress(BrokerError, CallDenied):
        world.direct()
    return not world.ran


ATTACKS = (
    a_yes_that_nobody_gave,
    a_yes_with_other_arguments,
    a_yes_used_twice,
    a_program_that_died_in_a_tool,
    a_file_outside,
    a_call_past_the_agent,
)


def outcomes() -> Iterator[dict[str, Any]]:
    """Each attack, and who stopped it."""
    people = {"olga": ApproverConfig(groups=("operators",), public_key=str(OLGA.public))}
    for attack in ATTACKS:
        theirs = attack(HumanInTheLoop())
        with tempfile.TemporaryDirectory() as name:
            config = BrokerConfig.load(
                state=Path(name, "state"),
                workspace=Path(name),
                approvers=people,
                sandbox={"backends": ()},
            )
            opened: list[Broker] = []

            def broker(tools: Any, config: Any = config, opened: Any = opened) -> Broker:
                opened.append(Broker(tools, config=config))
                return opened[0].__enter__()

            world = Wardline(broker)
            try:
                with opened[0].session(user="alice", run="t", approval_mode="suspend"):
                    ours = attack(world)
            finally:
                opened[0].__exit__()
        what = attack.__name__.replace("_", " ")
        yield {"attack": what, "LangChain": theirs, "Wardline": ours}


def first_call(who: str) -> float:
    """Processor seconds of this process, from its start to the answer of its first call."""
    if who == "LangChain":
        HumanInTheLoop().made("read", path="a.txt").invoke(GO, THREAD)
        return process_time()
    with tempfile.TemporaryDirectory() as name:
        config = BrokerConfig.load(
            state=Path(name, "state"), workspace=Path(name), sandbox={"backends": ()}
        )

        def broker(tools: Any) -> Broker:
            return Broker(tools, config=config).__enter__()

        world = Wardline(broker)
        with world.broker.session(user="alice", run="t"):
            world.made("read", path="a.txt").invoke(GO, THREAD)
            spent = process_time()
        world.broker.__exit__()
    assert world.ran
    return spent


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.stdout.write(f"{first_call(sys.argv[1]):.2f}\n")
    else:
        for each in outcomes():
            sys.stdout.write(json.dumps(each) + "\n")
