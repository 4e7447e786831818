"""From an AuthZEN question to the call that policies decide. Pure.

A resource of type `tool` is a tool, asked about with the action `tools/call` and the arguments
under its property `args`. Resources of other types are what tools act on: the settings say which
tool stands for which action on them, and which of its arguments names the resource. Properties
of the resource and the action become arguments of those names; any other is ignored.

Nothing a caller says names its own effect, impact or label: these are the tool's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from permissions.errors import ServiceError
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.service.authzen.model import Action, Entity
    from permissions.service.clients import Client
    from permissions.tools.registry import ToolRegistry

TOOL, CALL = "tool", "tools/call"
CALLER = "authzen"
"""How the record names who asked."""


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A type of resource that is no tool.

    Attributes:
        id: the argument that names the resource.
        actions: the tool that stands for each action.
        known: resources that a search tries, with what is known of them; it goes before what a
            caller says of them.
    """

    id: str
    actions: Mapping[str, str]
    known: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Who:
    """A subject as sessions know it."""

    user: str | None
    agent: str | None
    roles: tuple[str, ...]


def who_of(subject: Entity, client: Client) -> Who:
    """The subject of a question, if it is this client's to name.

    A `user` may have roles; an `agent` or a `service` may act for a user (`on_behalf_of`).

    Raises:
        ServiceError: it is not this client's to name, or not of the form.
    """
    said = subject.properties
    roles = said.get("roles", [])
    role = said.get("role")
    if not (isinstance(roles, list) and all(isinstance(each, str) for each in roles)):
        raise ServiceError("subject.properties.roles is no list of texts")
    if role is not None and not isinstance(role, str):
        raise ServiceError("subject.properties.role is no text")
    named = tuple(dict.fromkeys([*roles, *([role] if role else [])]))
    behalf = said.get("on_behalf_of")
    if behalf is not None and not isinstance(behalf, str):
        raise ServiceError("subject.properties.on_behalf_of is no text")
    if subject.type == "user":
        who = Who(subject.id, None, named)
    elif subject.type in {"agent", "service"}:
        who = Who(behalf, subject.id, named)
    else:
        raise ServiceError(
            f"a subject of type {subject.type[:40]!r} is not known; it is user, agent or service"
        )
    client.require(user=who.user, agent=who.agent, roles=who.roles)
    return who


def call_of(
    action: Action,
    resource: Entity,
    *,
    types: Mapping[str, ResourceType],
    registry: ToolRegistry,
) -> ToolCall:
    """The call that a question is about; one of no tool when nothing stands for it."""
    if resource.type == TOOL and action.name == CALL:
        args: Any = resource.properties.get("args", {})  # the tool's schema judges what it is
        return ToolCall(resource.id, args, None, CALLER)
    kind = types.get(resource.type)
    name = None if kind is None else kind.actions.get(action.name)
    if kind is None or name is None or (tool := registry.find(name)) is None:
        unknown = f"{action.name[:200]} of {resource.type[:200]}"
        return ToolCall(unknown, {}, None, CALLER)
    said = {
        **resource.properties,
        **action.properties,
        **kind.known.get(resource.id, {}),
        kind.id: resource.id,
    }
    takes = tool.schema.get("properties", {})
    given = {key: value for key, value in said.items() if key in takes}
    return ToolCall(name, given, None, CALLER)
