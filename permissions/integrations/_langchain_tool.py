"""A LangChain tool of any kind, with the innermost ring around its `run` and `arun`.

Whatever LangChain does around a tool's function (checking and converting arguments, filling in
state, store and runtime, callbacks, making the message) goes on as without a broker, inside the
call that was decided. What a model gave is decided and recorded, what LangGraph fills in is not.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from langchain_core.messages import ToolMessage
from langchain_core.messages.tool import ToolOutputMixin

from permissions.errors import NoSessionError
from permissions.integrations._asked import current_session
from permissions.model import Denial
from permissions.reasons import Code
from permissions.tools.context import CURRENT_GRANT
from permissions.tools.denied import CallDenied
from permissions.tools.from_schema import run_by
from permissions.tools.guarding import hidden_arguments

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from permissions.sessions.handle import CurrentSession
    from permissions.tools.decorator import Guard
    from permissions.tools.definition import ToolDefinition


def ringed(given: BaseTool, guard: Guard[..., Any]) -> BaseTool:
    """A copy of a tool that runs only what was decided.

    Args:
        given: somebody's tool.
        guard: what `wardline.guard` made of it.
    """
    kind: Any = type(given)
    definition, hidden = guard.definition, hidden_arguments(given)

    def run(self: Any, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        message = _Message(definition, kwargs.get("tool_call_id"))
        handle, declared, injected = _asked(self, definition, hidden, tool_input)

        def function(**arguments: Any) -> Any:
            return message.taken(kind.run(self, {**injected, **arguments}, *args, **kwargs))

        return message.given(handle.call_guarded(run_by(definition, function), (), declared))

    async def arun(self: Any, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        message = _Message(definition, kwargs.get("tool_call_id"))
        handle, declared, injected = _asked(self, definition, hidden, tool_input)

        async def function(**arguments: Any) -> Any:
            whole = {**injected, **arguments}
            return message.taken(await kind.arun(self, whole, *args, **kwargs))

        called = handle.call_guarded(run_by(definition, function), (), declared)
        return message.given(await called)

    members = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
        "guard": property(lambda _: guard),
        "run": run,
        "arun": arun,
    }
    made = given.model_copy()
    object.__setattr__(made, "__class__", type(kind.__name__, (kind,), members))
    return made


def is_ringed(given: object) -> bool:
    """Whether `ringed` made it."""
    return isinstance(getattr(type(given), "guard", None), property)


def _asked(
    tool: BaseTool, definition: ToolDefinition, hidden: frozenset[str], tool_input: Any
) -> tuple[CurrentSession, dict[str, Any], dict[str, Any]]:
    """The session, what a model may have given, and what LangGraph filled in.

    Raises:
        NoSessionError: no session is open.
        ValidationError: the broker refused the arguments, and so does LangChain.
        CallDenied: the broker refused them, and LangChain would not.
    """
    try:
        handle = current_session(definition.name)
    except NoSessionError as err:
        raise NoSessionError(f"{definition.name} is guarded, and was not run: {err}") from None
    names = [*definition.schema.get("properties", {})]
    given = {names[0]: tool_input} if isinstance(tool_input, str) and names else tool_input
    given = given if isinstance(given, dict) else {}
    grant = CURRENT_GRANT.get()
    if grant is not None and isinstance(grant.void, Denial) and are_wrong_arguments(grant.void):
        schema: Any = tool.get_input_schema()  # of pydantic 2 or 1; it says it in its own words
        (getattr(schema, "model_validate", None) or schema.parse_obj)(given)
        raise CallDenied(grant.void)
    declared = {name: value for name, value in given.items() if name not in hidden}
    return handle, declared, {n: value for n, value in given.items() if n in hidden}


def are_wrong_arguments(denial: Denial) -> bool:
    """Whether a call was refused because its arguments do not fit the tool's schema."""
    return [each.code for each in denial.reasons] == [Code.ARGUMENTS_INVALID]


class _Message:
    """A tool's message and what the tool said, which is what is decided about and recorded.

    A message that holds more than the text of a success is recorded as it is.
    """

    def __init__(self, definition: ToolDefinition, call: str | None) -> None:
        self._name, self._call = definition.name, call
        self._message: Any = None
        self._value: Any = None

    def taken(self, message: Any) -> Any:
        """What the tool said, out of what LangChain made of it."""
        self._message, self._value = message, _said(message)
        return self._value

    def given(self, value: Any) -> Any:
        """The message of what the broker hands out.

        Raises:
            CallDenied: it hands out nothing.
        """
        if isinstance(value, Denial):
            raise CallDenied(value)
        if self._message is not None and value is self._value:
            return self._message
        if self._call is None or _is_framework_output(value):
            return value
        return ToolMessage(_text(value), name=self._name, tool_call_id=self._call)


def _is_framework_output(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(each, ToolOutputMixin) for each in value)
    return isinstance(value, ToolOutputMixin)


def _said(message: Any) -> Any:
    plain = isinstance(message, ToolMessage) and type(message.content) is str
    if not plain or message != ToolMessage(
        message.content, name=message.name, tool_call_id=message.tool_call_id, id=message.id
    ):
        return message
    text = message.content
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return read if isinstance(read, dict | list) and _text(read) == text else text


def _text(value: Any) -> str:
    """As LangChain writes what a tool returns."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return str(value)
