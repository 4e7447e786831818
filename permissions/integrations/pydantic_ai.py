"""Pydantic AI under the broker: a toolset whose every call is decided, once, by the broker.

    agent = Agent(model, toolsets=[guarded([search, pay])], output_type=[str, DeferredToolRequests])
    async with open_broker(config, [search, pay]) as broker:
        async with open_session(broker, user="alice", run=chat_id, approval_mode="suspend"):
            result = await agent.run("Pay the invoice")
            ...                                  # result.output.approvals: they wait for people
            result = await agent.run(
                message_history=result.all_messages(), deferred_tool_results=go_on(result.output)
            )

A refused call is a failed tool return that the model reads. One that needs a person is
deferred by the framework's own `ApprovalRequired`; whether it may go on says the broker's
store, never the results the run is continued with: approved there alone it is deferred again,
other arguments there are another call, and the same results used twice run nothing twice.

Not protected from: tools beside these, and those that a provider runs itself. Where a run's
output cannot be `DeferredToolRequests`, a call that needs a person is refused as pending.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_ai import DeferredToolResults, ToolFailed, ToolReturn
from pydantic_ai.exceptions import ApprovalRequired
from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.tools import ToolDefinition as FrameworkTool
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool
from pydantic_core import SchemaValidator, core_schema

from permissions.integrations._asked import call_key, current_session
from permissions.model import Denial
from permissions.sessions.told import told
from permissions.tools.call import ToolCall
from permissions.tools.decorator import guard_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_ai import DeferredToolRequests, RunContext

    from permissions.tools.definition import ToolDefinition

__all__ = ["GuardedToolset", "go_on", "guarded"]

_ANY_ARGUMENTS = SchemaValidator(core_schema.any_schema())
"""What the model wrote goes to the broker as it is, which checks and records it."""


def guarded(tools: Iterable[object], *, id: str | None = None) -> GuardedToolset:  # noqa: A002 - the framework's name
    """A toolset of functions decorated with `wardline.tool`.

    Args:
        tools: one that takes a `RunContext` gets the framework's.
        id: of the toolset, as for the framework's own.

    Raises:
        ToolDefinitionError: one is not guarded.
    """
    definitions = [guard_of(each).definition for each in tools]
    return GuardedToolset({each.name: each for each in definitions}, id)


def go_on(requests: DeferredToolRequests) -> DeferredToolResults:
    """What continues a run whose calls waited for people; the broker decides each again.

    Args:
        requests: the output of the run that was held.
    """
    return DeferredToolResults(
        approvals=dict.fromkeys((each.tool_call_id for each in requests.approvals), True)
    )


@dataclass
class GuardedToolset(AbstractToolset[Any]):
    """The outer ring and the tool in one: nothing comes between the decision and the run."""

    definitions: dict[str, ToolDefinition]
    toolset_id: str | None = None

    @property
    def id(self) -> str | None:
        """See `AbstractToolset`."""
        return self.toolset_id

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        """See `AbstractToolset`."""
        return {
            name: ToolsetTool(
                toolset=self,
                tool_def=FrameworkTool(
                    name=name,
                    description=each.description or name,
                    parameters_json_schema=each.schema,
                ),
                max_retries=ctx.max_retries,
                args_validator=_ANY_ARGUMENTS,
            )
            for name, each in self.definitions.items()
        }

    async def call_tool(
        self,
        name: str,
        tool_args: dict[str, Any],
        ctx: RunContext[Any],
        tool: ToolsetTool[Any],  # noqa: ARG002 - the framework's own, which we made
    ) -> Any:
        """Decides the call, defers it for a person, runs it, or refuses.

        Raises:
            ApprovalRequired: a person has been asked and has not answered.
            ToolFailed: it was refused, with what the model is told.
            NoSessionError: no session is open around the run.
            Exception: whatever the tool raised.
        """
        handle, definition = current_session(name), self.definitions[name]
        key = call_key("pydantic-ai", handle.session.run, _message(ctx), ctx.tool_call_id)
        call = ToolCall(name, tool_args, key=key, caller="pydantic-ai")
        injected = dict.fromkeys(definition.injected, ctx)
        result = await handle.call(call, injected, handle.in_task)
        if isinstance(result, Denial):
            if result.kind == "pending":
                raise ApprovalRequired({"access_request": result.access_request, "tool": name})
            raise ToolFailed(json.dumps(told(result), ensure_ascii=False))
        note = result.left_out()
        return ToolReturn(result.value, content=note) if note else result.value


def _message(ctx: RunContext[Any]) -> int:
    """Which message of the conversation asked for the call: ids may come again in a later one."""
    for number in range(len(ctx.messages) - 1, -1, -1):
        message = ctx.messages[number]
        if isinstance(message, ModelResponse) and any(
            isinstance(part, ToolCallPart) and part.tool_call_id == ctx.tool_call_id
            for part in message.parts
        ):
            return number
    return len(ctx.messages)
