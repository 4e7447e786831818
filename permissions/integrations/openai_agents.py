"""The OpenAI Agents SDK under the broker: its tools, each call of which is decided, once.

    agent = Agent("desk", tools=guard_tools([search, pay]))
    async with open_broker(config, [search, pay]) as broker:
        async with open_session(broker, user="alice", run=chat_id, approval_mode="suspend"):
            result = await Runner.run(agent, "Pay the invoice")
            state = result.to_state()            # result.interruptions: they wait for people
            ...
            result = await resume(agent, state)

A refused call is an answer the model reads. One that needs a person interrupts the run by the
SDK's own `needs_approval`; whether it may go on says the broker's store, never the state the
run is resumed with: a call that was approved in the state alone is not run, and the same state
resumed twice runs nothing twice. Guardrails, hooks and tracing of the SDK go on around it.

Not protected from: tools beside these, and those that a provider runs itself (hosted search,
hosted MCP servers); an API that reuses call ids within a run, whose later call then gets the
earlier one's result. A guardrail that stops an approved call between its approval and the tool
leaves that call without an end, and so in doubt.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from agents import FunctionTool, Runner

from permissions.broker.call import Earlier
from permissions.errors import NoSessionError
from permissions.integrations._asked import call_key, current_session
from permissions.model import Denial
from permissions.sessions.told import told
from permissions.tools.call import ToolCall
from permissions.tools.decorator import guard_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agents import Agent, RunContextWrapper, RunResult, RunState
    from agents.items import ToolApprovalItem
    from agents.tool_context import ToolContext

    from permissions.sessions.handle import CurrentSession
    from permissions.sessions.rings import Admitted
    from permissions.tools.definition import ToolDefinition

__all__ = ["guard_tools", "resume"]


def guard_tools(tools: Iterable[object], **options: Any) -> list[FunctionTool]:
    """Tools of the SDK whose calls go through the broker of the session around the run.

    Args:
        tools: functions decorated with `wardline.tool`. One that takes a `RunContextWrapper`
            or `ToolContext` gets the SDK's.
        **options: of the SDK's `FunctionTool` (`is_enabled`, `tool_input_guardrails`,
            `timeout_seconds`, ...).

    Raises:
        ToolDefinitionError: one is not guarded.
    """
    return [_framework_tool(guard_of(each).definition, options) for each in tools]


async def resume(agent: Agent[Any], state: RunState[Any], **options: Any) -> RunResult:
    """Goes on with an interrupted run; each call that waits is decided again.

    Those whose people have not answered yet interrupt it again. A call of another tool than
    `guard_tools` made is left as the state has it.

    Args:
        agent: as it was.
        state: of the interrupted run, here or from another process.
        **options: of `Runner.run`.

    Raises:
        NoSessionError: no session is open around it.
    """
    handle = current_session("resume")
    answers = _answers(handle)
    for item in state.get_interruptions():
        if (call := _held(item, handle)) is None:
            continue
        answer = await handle.admit(call, handle.in_task)
        if isinstance(answer, Denial) and answer.kind == "pending":
            continue
        answers[call.key or ""] = answer
        state.approve(item)  # it may be reached; what it then comes to is in `answers`
    try:
        return await Runner.run(agent, state, **options)
    finally:
        while answers:
            _, left = answers.popitem()
            if not isinstance(left, Denial | Earlier):
                await handle.withdraw(left, handle.in_task)


_ANSWERS: WeakKeyDictionary[CurrentSession, dict[str, Admitted | Earlier | Denial]]
_ANSWERS = WeakKeyDictionary()


def _answers(handle: CurrentSession) -> dict[str, Admitted | Earlier | Denial]:
    """What was decided of calls that the SDK has yet to invoke, by the call's key."""
    return _ANSWERS.setdefault(handle, {})


@dataclass(frozen=True, slots=True)
class _Invoked:
    """The tool as the SDK asks about it and invokes it."""

    definition: ToolDefinition

    async def needs_approval(
        self, _: RunContextWrapper[Any], arguments: dict[str, Any], call_id: str
    ) -> bool:
        """Whether the run is interrupted for a person; then one has been asked."""
        try:
            handle = current_session(self.definition.name)
        except NoSessionError:
            return False  # `invoke` says so
        call = _call(self.definition.name, arguments, call_id, handle)
        known = _answers(handle)
        if call.key in known:
            return False
        explained = await handle.in_task.ask(
            lambda: handle.broker.explain(handle.session, call)
        )
        if explained.verdict != "ask":
            return False  # decided when it is invoked, after the SDK's guardrails
        answer = await handle.admit(call, handle.in_task)
        if isinstance(answer, Denial) and answer.kind == "pending":
            return True
        known[call.key or ""] = answer
        return False

    async def invoke(self, context: ToolContext[Any], text: str) -> Any:
        """Decides the call, if that was not done, and runs it or refuses."""
        handle = current_session(self.definition.name)
        arguments = _arguments(text)
        call = _call(self.definition.name, arguments, context.tool_call_id, handle)
        decided = _answers(handle).pop(call.key or "", None)
        if decided is None:
            decided = await handle.admit(call, handle.in_task)
        if isinstance(decided, Denial):
            return _text(decided)
        injected = dict.fromkeys(self.definition.injected, context)
        result = await handle.run(decided, injected, handle.in_task)
        if isinstance(result, Denial):
            return _text(result)
        note = result.left_out()
        return f"{result.value}\n\n{note}" if note else result.value


def _framework_tool(definition: ToolDefinition, options: dict[str, Any]) -> FunctionTool:
    invoked = _Invoked(definition)
    return FunctionTool(
        name=definition.name,
        description=definition.description or definition.name,
        params_json_schema=definition.schema,
        on_invoke_tool=invoked.invoke,
        strict_json_schema=False,  # strict ones require arguments that have defaults
        needs_approval=invoked.needs_approval,
        **options,
    )


def _held(item: ToolApprovalItem, handle: CurrentSession) -> ToolCall | None:
    """The call an interruption is about; None when the tool is none of the broker's."""
    raw, name = item.raw_item, item.tool_name
    if name is None or handle.broker.known(name) is None:
        return None
    given = raw if isinstance(raw, dict) else raw.model_dump()
    call_id, text = given.get("call_id"), given.get("arguments")
    if not isinstance(call_id, str) or not isinstance(text, str):
        return None
    return _call(name, _arguments(text), call_id, handle)


def _call(name: str, arguments: Any, call_id: str, handle: CurrentSession) -> ToolCall:
    key = call_key("openai-agents", handle.session.run, call_id)
    return ToolCall(name, arguments, key=key, caller="openai-agents")


def _arguments(text: str) -> Any:
    """What the model wrote; the broker refuses what are no arguments."""
    try:
        return json.loads(text or "{}")
    except (ValueError, RecursionError):
        return text


def _text(denial: Denial) -> str:
    return json.dumps(told(denial), ensure_ascii=False)
