"""Answers questions of the Authorization API with the broker's own decisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from permissions.errors import BrokerError, ServiceError
from permissions.service.authzen.mapping import CALL, TOOL, call_of, who_of
from permissions.service.authzen.model import Action, Entity
from permissions.sessions.asked import asked_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.broker.broker import PermissionBroker
    from permissions.broker.explanation import Explanation
    from permissions.model import JsonObject
    from permissions.service.authzen.access_requests import AccessRequests
    from permissions.service.authzen.mapping import ResourceType
    from permissions.service.authzen.model import (
        ActionSearch,
        Evaluation,
        ResourceSearch,
        SubjectSearch,
    )
    from permissions.service.clients import Client

MAX_CANDIDATES = 200
"""Entities that one search tries; it answers for no more."""


@dataclass(frozen=True, slots=True)
class AccessService:
    """Questions to one broker, and what the settings say of resources."""

    broker: PermissionBroker
    requests: AccessRequests
    types: Mapping[str, ResourceType] = field(default_factory=dict)

    async def evaluate(self, asked: Evaluation, client: Client) -> JsonObject:
        """The answer to one question, once it is on record.

        Raises:
            ServiceError: the subject is not this client's to name.
            BrokerError: the question could not be recorded.
        """
        found = await self.requests.evaluated(asked, client)
        answer = answer_of(found.explained)
        answer["context"] |= self.requests.told(found, asked, client)
        return answer

    async def subjects(self, asked: SubjectSearch, client: Client) -> list[JsonObject]:
        """Of the subjects that this client may name, by name: those that may."""
        kind = asked.subject.type
        names = client.users if kind == "user" else client.agents
        found = []
        for name in _plain(names if kind in {"user", "agent", "service"} else ()):
            subject = Entity(type=kind, id=name, properties=asked.subject.properties)
            if await self._may(subject, asked.action, asked.resource, client):
                found.append({"type": kind, "id": name})
        return found

    async def resources(self, asked: ResourceSearch, client: Client) -> list[JsonObject]:
        """Of the tools, or the resources that the settings know: those that it may."""
        kind = asked.resource.type
        if kind == TOOL:
            names = sorted(each.name for each in self.broker.parts.registry)
        else:
            known = self.types.get(kind)
            names = [] if known is None else [*known.known]
        found = []
        for name in names[:MAX_CANDIDATES]:
            resource = Entity(type=kind, id=name, properties=asked.resource.properties)
            if await self._may(asked.subject, asked.action, resource, client):
                found.append({"type": kind, "id": name})
        return found

    async def actions(self, asked: ActionSearch, client: Client) -> list[JsonObject]:
        """Of the actions on a type of resource: those that it may."""
        kind = asked.resource.type
        known = self.types.get(kind)
        names = [CALL] if kind == TOOL else [] if known is None else [*known.actions]
        return [
            {"name": name}
            for name in names
            if await self._may(asked.subject, Action(name=name), asked.resource, client)
        ]

    async def _may(
        self, subject: Entity, action: Action, resource: Entity, client: Client
    ) -> bool:
        """What would be decided. A search asks much and decides nothing, so none is recorded."""
        try:
            who = who_of(subject, client)
            session = asked_session(
                self.broker.parts, user=who.user, agent=who.agent, roles=who.roles
            )
        except BrokerError:
            return False
        call = call_of(action, resource, types=self.types, registry=self.broker.parts.registry)
        return (await self.broker.explain(session, call)).verdict == "allow"


def answer_of(explained: Explanation) -> JsonObject:
    """The decision with its reasons, and what a permit obliges whoever enforces it to."""
    context: JsonObject = {
        "reasons": [
            {"code": each.code, "text": each.agent, "nearest": each.nearest}
            for each in explained.reasons
        ],
        "rules": [*explained.rules],
        "obligations": [each.model_dump(mode="json") for each in explained.obligations],
    }
    if explained.verdict == "ask":
        context["approvers"] = [*explained.approvers]
    return {"decision": explained.verdict == "allow", "context": context}


def failed(err: BrokerError) -> JsonObject:
    """The answer to one question of many that could not be put to policies."""
    status = 403 if isinstance(err, ServiceError) else 503
    return {
        "decision": False,
        "context": {"error": {"status": status, "message": str(err)[:500]}},
    }


def _plain(names: Any) -> Iterator[str]:
    """Names without patterns; a pattern names nobody in particular."""
    plain = [name for name in names if not any(each in name for each in "*?[")]
    yield from plain[:MAX_CANDIDATES]
