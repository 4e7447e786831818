"""Plain loops: an agent that is a `while` around a model's API, with its tools under the broker.

    reply = client.chat.completions.create(messages=messages, tools=tools_schema([search]))
    for each in reply.choices[0].message.tool_calls or []:
        answer = dispatch(each)
        messages.append({"role": "tool", "tool_call_id": each.id, "content": answer})

Whatever the model asked for, the answer is a JSON text for it: what the tool returned, the
denial with what to do, or that the tool failed. Nothing it can put into a call raises.

A call is known by the id the model's API gave it: made again in the same run, with the same
tool and arguments, it gives the result it gave before and runs nothing. Not protected from: an
API that reuses ids within a run, whose later call then gets the earlier one's result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from permissions.broker.result import forms
from permissions.errors import BrokerError, ToolDefinitionError, ToolFailedError
from permissions.integrations._asked import call_key, current_session
from permissions.model import Denial
from permissions.sessions.handle import at_once
from permissions.sessions.told import told
from permissions.tools.call import ToolCall
from permissions.tools.decorator import guard_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from permissions.model import JsonObject, JsonValue
    from permissions.sessions.handle import Bridge, CurrentSession

__all__ = ["adispatch", "dispatch", "tools_schema"]

Style = Literal["openai-chat", "openai-responses", "anthropic"]
"""Whose form of tools: OpenAI's chat completions or responses, or Anthropic's messages."""


def tools_schema(tools: Iterable[object], style: Style = "openai-chat") -> list[JsonObject]:
    """The tools as a model's API wants them told.

    Args:
        tools: functions decorated with `wardline.tool`.
        style: the API's form.

    Raises:
        ToolDefinitionError: one is not guarded, or the style is none of these.
    """
    definitions = [guard_of(each).definition for each in tools]
    match style:
        case "openai-chat":
            return [
                {
                    "type": "function",
                    "function": {
                        "name": each.name,
                        "description": each.description,
                        "parameters": each.schema,
                    },
                }
                for each in definitions
            ]
        case "openai-responses":
            return [
                {
                    "type": "function",
                    "name": each.name,
                    "description": each.description,
                    "parameters": each.schema,
                    "strict": False,
                }
                for each in definitions
            ]
        case "anthropic":
            return [
                {
                    "name": each.name,
                    "description": each.description,
                    "input_schema": each.schema,
                }
                for each in definitions
            ]
    raise ToolDefinitionError(
        f"style={style!r} is no form of tools; it is openai-chat, openai-responses or anthropic"
    )


def dispatch(tool_call: object) -> str:
    """Takes a model's tool call through the broker and gives the answer to it, as JSON.

    Args:
        tool_call: as the API gave it, as its client's object or as a dict: OpenAI's `function`
            or `function_call`, or Anthropic's `tool_use`.

    Raises:
        NoSessionError: no session is open around the loop.
        ToolDefinitionError: the tool is async (await `adispatch`), or this is no tool call.
    """
    asked = _read(tool_call)
    handle = current_session(asked.name)
    known = handle.broker.known(asked.name)
    if known is not None and known.is_async:
        raise ToolDefinitionError(f"{asked.name} is async; await `adispatch` instead")
    return at_once(_answer(asked, handle, handle.in_thread))


async def adispatch(tool_call: object) -> str:
    """`dispatch` for async programs, and for async tools; raises the same."""
    asked = _read(tool_call)
    handle = current_session(asked.name)
    return await _answer(asked, handle, handle.in_task)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A tool call as a model's API gave it.

    Attributes:
        arguments: as the model wrote them, whatever that is.
    """

    id: str
    name: str
    arguments: Any


async def _answer(asked: _Asked, handle: CurrentSession, via: Bridge) -> str:
    key = call_key("plain-loop", handle.session.run, asked.id)
    call = ToolCall(asked.name, asked.arguments, key=key, caller="plain-loop")
    try:
        result = await handle.call(call, {}, via)
    except BrokerError as err:
        if not isinstance(err, ToolFailedError):
            raise
        return _failed(str(err))
    except Exception as err:  # noqa: BLE001 - the tool's own: its caller is a model
        return _failed(f"{type(err).__name__}: {err}")
    if isinstance(result, Denial):
        return _json(told(result))
    definition = handle.broker.known(asked.name)
    if definition is None:  # it ran, so it is known; a daemon may have lost it since
        return _failed("the tool is not known any more")
    shown: JsonObject = {"result": forms(definition.output_adapter, result.value)[0]}
    if note := result.left_out():
        shown["note"] = note
    return _json(shown)


def _read(tool_call: object) -> _Asked:
    """What a model's API means by a tool call.

    Raises:
        ToolDefinitionError: it is none.
    """
    dumped = getattr(tool_call, "model_dump", None)
    given = dumped() if callable(dumped) else tool_call
    if isinstance(given, Mapping):
        function = given.get("function")
        match given.get("type"):
            case "function" if isinstance(function, Mapping):
                return _asked(given.get("id"), function.get("name"), function.get("arguments"))
            case "function_call":
                return _asked(given.get("call_id"), given.get("name"), given.get("arguments"))
            case "tool_use":
                return _asked(given.get("id"), given.get("name"), given.get("input"))
    raise ToolDefinitionError(
        "this is no tool call: it takes OpenAI's `function` or `function_call`, or Anthropic's"
        " `tool_use`, as the client's object or as a dict"
    )


def _asked(call: object, name: object, arguments: object) -> _Asked:
    if not isinstance(call, str) or not call or not isinstance(name, str):
        raise ToolDefinitionError("a tool call without an id or a name cannot be answered")
    if isinstance(arguments, str):
        # What is no JSON the broker calls no arguments, and records it.
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments or "{}")
    return _Asked(call, name, arguments)


def _failed(said: str) -> str:
    return _json({"status": "failed", "error": said})


def _json(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False)
