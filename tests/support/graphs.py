"""LangGraph agents with a scripted model, under a real broker, driven in four forms.

A form is how a program uses us: sync or async broker, sync or async graph, sync or async
tools. Each hazard of a framework has to be harmless in all of them.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import anyio
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from permissions.approval.votes import sign_vote
from permissions.broker.ports import now_us
from permissions.integrations.langgraph import (
    HeldCall,
    apending,
    aresume,
    fan_out,
    guard_node,
    pending,
    resume,
)
from permissions.sessions.open import open_session
from permissions.setup.config import ApproverConfig, BrokerConfig
from permissions.setup.factory import open_broker
from permissions.signing.keys import memory_signer
from wardline import Broker, PathArg, tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from langchain_core.tools import BaseTool

    from permissions.approval.model import AccessRequest, Verdict
    from permissions.broker.broker import PermissionBroker
    from permissions.run.state import RunState

OLGA = memory_signer(b"o" * 32)
THREAD = "thread-1"


class ScriptedModel(BaseChatModel):
    """Says what its script says at this point of the conversation, in any process."""

    script: list[AIMessage]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[Any], *_: Any, **__: Any) -> ChatResult:
        turn = sum(isinstance(message, AIMessage) for message in messages)
        said = self.script[turn].model_copy(update={"id": None})
        return ChatResult(generations=[ChatGeneration(message=said)])

    def bind_tools(self, *_: Any, **__: Any) -> ScriptedModel:
        return self


class Asked(NamedTuple):
    """One tool call of a scripted model."""

    tool: str
    args: dict[str, Any]
    id: str = "call-1"


def turn(*calls: Asked) -> AIMessage:
    """The model asks for tools."""
    asked = [{"name": c.tool, "args": c.args, "id": c.id, "type": "tool_call"} for c in calls]
    return AIMessage("", tool_calls=asked)


DONE = AIMessage("done")


class Form(NamedTuple):
    """How the program uses the broker and LangGraph."""

    broker: str
    graph: str
    tools: str


FORMS = [
    Form("sync", "sync", "sync"),
    Form("async", "async", "async"),
    Form("async", "async", "sync"),
    Form("sync", "async", "async"),
]


def tools_of(kind: str, ran: list[str]) -> list[Any]:
    """`note` is allowed, `delete` needs a person, `read` is refused outside the workspace."""
    if kind == "sync":

        @tool(effect="read", impact="low")
        def note(text: str, times: int = 1) -> str:
            """Takes a note."""
            ran.append(f"note {text}")
            return text * times

        @tool(effect="write", impact="high")
        def delete(name: str) -> str:
            """Deletes a thing."""
            ran.append(f"delete {name}")
            return f"deleted {name}"

        @tool(effect="read", impact="low")
        def read(path: Annotated[str, PathArg("read")]) -> str:
            """Reads a file."""
            ran.append(f"read {path}")
            return "secret"

        return [note, delete, read]

    @tool(name="note", effect="read", impact="low")
    async def anote(text: str, times: int = 1) -> str:
        """Takes a note, slowly."""
        await anyio.sleep(0.05)
        ran.append(f"note {text}")
        return text * times

    @tool(name="delete", effect="write", impact="high")
    async def adelete(name: str) -> str:
        """Deletes a thing."""
        ran.append(f"delete {name}")
        return f"deleted {name}"

    @tool(name="read", effect="read", impact="low")
    async def aread(path: Annotated[str, PathArg("read")]) -> str:
        """Reads a file."""
        ran.append(f"read {path}")
        return "secret"

    return [anote, adelete, aread]


def configured(folder: Path) -> BrokerConfig:
    """A broker of its own, with one approver, and no sandbox."""
    (folder / "workspace").mkdir(exist_ok=True)
    return BrokerConfig.load(
        state=folder / "state",
        workspace=folder / "workspace",
        approvers={"olga": ApproverConfig(groups=("operators",), public_key=str(OLGA.public))},
        sandbox={"backends": ()},
    )


def agent(node: Any, script: Sequence[AIMessage], *, saver: Any, send: bool = False) -> Any:
    """A model and its tools, taking turns."""
    model = ScriptedModel(script=list(script))
    builder = StateGraph(MessagesState)
    builder.add_node("llm", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("tools", node)
    builder.add_edge(START, "llm")
    builder.add_conditional_edges("llm", fan_out("tools") if send else tools_condition)
    builder.add_edge("tools", "llm")
    return builder.compile(checkpointer=saver)


def vote_on(request: AccessRequest, verdict: Verdict) -> str:
    """Olga's signed answer."""
    return sign_vote(
        request, approver="olga", verdict=verdict, note="", now=now_us(), signer=OLGA
    )


@dataclass
class World:
    """One agent, its broker, its people; the same for every form."""

    form: Form
    folder: Path
    saver: Any = field(default_factory=InMemorySaver)
    thread: str | None = THREAD
    ran: list[str] = field(default_factory=list)
    make: Callable[[str, list[str]], list[Any]] = tools_of
    mode: str = "suspend"

    def __post_init__(self) -> None:
        self.tools = self.make(self.form.tools, self.ran)
        self.broker: PermissionBroker
        self._facade: Broker | None = None

    @property
    def config(self) -> Any:
        return {"configurable": {"thread_id": self.thread} if self.thread else {}}

    @asynccontextmanager
    async def session(self, **options: Any) -> AsyncIterator[RunState]:
        """Opens broker and session as one program run does, and closes them at its end."""
        config = configured(self.folder)
        chosen = {"user": "alice", "run": self.thread, "approval_mode": self.mode, **options}
        if self.form.broker == "sync":
            with (
                Broker(self.tools, config=config) as self._facade,
                self._facade.session(**chosen) as session,
            ):
                self.broker = self._facade.core
                yield session
        else:
            self._facade = None
            async with (
                open_broker(config, self.tools) as self.broker,
                open_session(self.broker, **chosen) as session,
            ):
                yield session

    def node(self, **options: Any) -> ToolNode:
        return guard_node(self.tools, **options)

    def framework_tools(self) -> list[BaseTool]:
        """The tools as LangChain's own."""
        return list(self.node().tools_by_name.values())

    def agent(self, *script: AIMessage, send: bool = False, **options: Any) -> Any:
        return agent(self.node(**options), [*script, DONE], saver=self.saver, send=send)

    async def run(self, graph: Any, **options: Any) -> dict[str, Any]:
        given = {"messages": [HumanMessage("go")]}
        if self.form.graph == "sync":
            return graph.invoke(given, self.config, **options)
        return await graph.ainvoke(given, self.config, **options)

    async def resume(self, graph: Any) -> dict[str, Any]:
        if self.form.graph == "sync":
            return resume(graph, self.config)
        return await aresume(graph, self.config)

    async def send(self, graph: Any, command: Any) -> dict[str, Any]:
        """Resumes as a program would that does not know the helpers."""
        if self.form.graph == "sync":
            return graph.invoke(command, self.config)
        return await graph.ainvoke(command, self.config)

    async def pending(self, graph: Any) -> tuple[HeldCall, ...]:
        if self.form.graph == "sync":
            return pending(graph, self.config)
        return await apending(graph, self.config)

    async def requests(self, *, pending_only: bool = True) -> tuple[AccessRequest, ...]:
        """What people are asked."""

        async def listed() -> tuple[AccessRequest, ...]:
            return await self.broker.parts.approvals.listed(pending_only=pending_only)

        return await self._at_broker(listed)

    async def vote(self, argument: str, verdict: Verdict = "approve") -> None:
        """Olga answers the open request whose arguments hold this text."""
        (request,) = [r for r in await self.requests() if argument in r.call.arguments]

        async def cast() -> AccessRequest:
            return await self.broker.parts.approvals.vote(vote_on(request, verdict))

        await self._at_broker(cast)

    async def _at_broker(self, work: Callable[[], Any]) -> Any:
        if self._facade is None:
            return await work()
        portal, _ = self._facade._opened()
        return portal.call(work)


def answers(state: dict[str, Any]) -> dict[str, ToolMessage]:
    """The tool messages of a conversation by call id."""
    messages: list[AnyMessage] = state["messages"]
    return {m.tool_call_id: m for m in messages if isinstance(m, ToolMessage)}
