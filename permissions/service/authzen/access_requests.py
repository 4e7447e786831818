"""People are asked about what was denied: AuthZEN Access Request and Approval Profile, draft 1.

The profile is a draft (openid/authzen, profiles/authzen-access-request-approval, 2026) and may
change; where it leaves a choice, the stricter one is taken. A denial that people may lift says so
and for how long. Whoever was told may have them asked, follow that, and put the question again
with the approval, which is decided by the policies in force, and used up by the one answer that
permits.

All of one access request is one run, whose name says which client it is of and which denial it is
about, so that it is told to that client only, also after a restart. What approvers see comes from
the question alone: no word of whoever submits it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from permissions.approval import lifecycle, stages
from permissions.errors import (
    ApprovalError,
    RequestClosedError,
    RunOpenError,
    ServiceError,
    SigningError,
)
from permissions.service.authzen.denials import Denials
from permissions.service.authzen.mapping import call_of, who_of
from permissions.sessions.open import open_session
from permissions.signing.canonical import digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.approval.model import AccessRequest
    from permissions.broker.broker import PermissionBroker
    from permissions.broker.evaluation import Evaluated
    from permissions.model import Digest, JsonObject
    from permissions.service.authzen.denials import KeptDenial
    from permissions.service.authzen.mapping import ResourceType, Who
    from permissions.service.authzen.model import Evaluation, Submission
    from permissions.service.clients import Client
    from permissions.tools.call import ToolCall

PATH: Final = "/access/v1/requests"
CAPABILITY: Final = "urn:openid:authzen:capability:access-request"
_TYPES: Final = "urn:openid:authzen:access-request:error:"
_NEXT: Final = {
    "expired": ("approval_expired", "request"),
    "out_of_scope": ("out_of_scope", "request"),
    "unverifiable": ("approval_unverifiable", "none"),
    "policy_denied": ("policy_denied", "none"),
    "busy": ("approval_in_use", "retry"),
}
"""Of each hindrance the reason that is told, and what to do next."""
RETRY_SECONDS: Final = 1
POLL_SECONDS: Final = 5
MOST_OPEN: Final = 100
"""Requests of one client that wait for people at once, of those made since the daemon started."""


class AccessRequestError(ServiceError):
    """A submission or a task that cannot be gone on with.

    Attributes:
        status: of HTTP.
        type: the problem type of the profile; `about:blank` where it has none.
    """

    def __init__(self, status: int, kind: str, said: str) -> None:
        self.status = status
        self.type = _TYPES + kind if kind else "about:blank"
        super().__init__(said)


class AccessRequests:
    """The access requests of the clients of one broker.

    Args:
        broker: an open broker.
        types: what the settings say of resources.
        url: where people reach the console; empty for none.
    """

    def __init__(
        self, broker: PermissionBroker, types: Mapping[str, ResourceType], url: str = ""
    ) -> None:
        self._broker = broker
        self._types = types
        self._url = url.rstrip("/")
        self._denials = Denials()
        self._open: defaultdict[str, list[str]] = defaultdict(list)

    # -- questions ------------------------------------------------------------------------

    async def evaluated(self, asked: Evaluation, client: Client) -> Evaluated:
        """A question, with the approval that it names in `context.approval`.

        An approval that does not count leaves the question as it is without one.

        Raises:
            ServiceError: the subject is not this client's to name.
            BrokerError: the question could not be recorded.
        """
        who = who_of(asked.subject, client)
        call = self._call(asked)
        if (named := asked.context.get("approval")) is None:
            return await self._alone(who, call)
        name = named.get("id") if isinstance(named, dict) else None
        if not isinstance(name, str) or (found := await self._own(name, client)) is None:
            return replace(await self._alone(who, call), hindrance="unverifiable")
        run = found.call.run
        if run in self._broker.open_runs:
            return replace(await self._alone(who, call), hindrance="busy")
        try:
            async with open_session(
                self._broker,
                user=who.user,
                agent=who.agent,
                roles=who.roles,
                run=run,
                approval_mode="suspend",
            ) as session:
                return await self._broker.evaluate(session, call, approval=name)
        except RunOpenError:  # of another subject
            return replace(await self._alone(who, call), hindrance="out_of_scope")

    def told(self, found: Evaluated, asked: Evaluation, client: Client) -> JsonObject:
        """What the profile adds to the context of an answer."""
        if found.approval is not None:
            until = rfc3339(found.approval.approved_until)
            return {"approval": {"id": found.approval.id, "approved_until": until}}
        verdict = found.explained.verdict
        if verdict == "allow":
            return {}
        told: JsonObject = {}
        if asked.context.get("approval") is not None:
            hindrance = found.hindrance if verdict == "ask" else None
            told["reason"], told["next_action"] = _NEXT[hindrance or "policy_denied"]
            if told["next_action"] == "retry":
                told["retry_after"] = RETRY_SECONDS
            if told["next_action"] != "request":
                return told
        question = _digest(asked)
        if verdict != "ask" or question is None:
            return told
        now = self._broker.parts.clock()
        kept = self._denials.keep(client.name, found.id, question, now=now)
        return {
            "evaluation_id": found.id,
            "evaluated_at": rfc3339(now),
            "reason": "approval_required",
            **told,
            "access_request": {"expires_at": rfc3339(kept.expires)},
        }

    # -- tasks ----------------------------------------------------------------------------

    async def submit(self, asked: Submission, client: Client) -> AccessRequest:
        """Has people asked about a denial; the request that stands for it.

        Raises:
            ServiceError: the subject is not this client's to name.
            AccessRequestError: it is not the denial that this client was told, its time is
                over, people cannot be asked about it any more, or too many requests wait.
            BrokerError: it could not be recorded or kept.
        """
        who = who_of(asked.subject, client)
        if "actor" in asked.client:
            raise ServiceError(
                "client.actor is not taken, for nobody vouches for it; the subject says who"
                " acts, and its properties on whose behalf"
            )
        evaluation = asked.denial.evaluation_id
        kept = self._denials.find(client.name, evaluation)
        expires = None if kept is None else rfc3339(kept.expires)
        if kept is None or (_digest(asked), asked.denial.expires_at) != (kept.asked, expires):
            raise AccessRequestError(
                400,
                "invalid_denial_binding",
                "this client was told no such denial of this subject, action and resource; put"
                " the question again and send what its answer says, unchanged",
            )
        if self._broker.parts.clock() >= kept.expires:
            said = f"the denial could be asked about until {expires}; put the question again"
            raise AccessRequestError(410, "expired_denial", said)
        async with kept.lock:
            if (standing := await self._standing(client, kept)) is not None:
                return standing
            await self._require_few(client)
            async with open_session(
                self._broker,
                user=who.user,
                agent=who.agent,
                roles=who.roles,
                run=_run(client, evaluation),
                approval_mode="suspend",
            ) as session:
                found = await self._broker.request(session, self._call(asked))
            if found.request is None:
                said = "by now the question is decided without a person; put it again"
                raise AccessRequestError(400, "not_requestable", said)
            kept.request = found.request
            self._open[client.name].append(found.request)
        return await self._broker.parts.approvals.get(found.request)

    async def task(self, name: str, client: Client) -> AccessRequest:
        """One access request of this client's.

        Raises:
            AccessRequestError: it has none of that id.
        """
        if (found := await self._own(name, client)) is None:
            raise AccessRequestError(404, "unknown_task", "this client has no such task")
        return found

    async def cancel(self, name: str, client: Client) -> AccessRequest:
        """Withdraws an access request of this client's.

        Raises:
            AccessRequestError: it has none of that id, or it is no longer open.
        """
        found = await self.task(name, client)
        try:
            return await self._broker.parts.approvals.cancel(found.id)
        except RequestClosedError as err:
            raise AccessRequestError(409, "invalid_task_state", str(err)) from err

    def document(self, request: AccessRequest, here: str) -> JsonObject:
        """A task as the profile has it, and its result when it is approved.

        Args:
            request: the access request.
            here: URL of the interface.
        """
        where = f"{here}{PATH}/{request.id}"
        status = "denied" if request.status == "edited" else request.status
        task: JsonObject = {"id": request.id, "status": status, "status_endpoint": where}
        links = {"review": f"{self._url}/requests/{request.id}"} if self._url else {}
        if status == "pending":
            links["cancel"] = f"{where}/cancel"
            terms = request.call.terms
            task |= {
                "expires_at": rfc3339(request.expires_at),
                "progress": {
                    "current_step": stages.turn(terms, len(request.votes)).number + 1,
                    "total_steps": len(terms.order),
                },
            }
        task["links"] = links
        if status != "approved":
            return {"task": task}
        approved_at = max(vote.time for vote in request.votes)
        approval = {
            "id": request.id,
            "approved_at": rfc3339(approved_at),
            "approved_until": rfc3339(request.usable_until),
        }
        return {"task": task, "result": {"mode": "reevaluate", "approval": approval}}

    # -- below ----------------------------------------------------------------------------

    def _call(self, asked: Evaluation | Submission) -> ToolCall:
        registry = self._broker.parts.registry
        return call_of(asked.action, asked.resource, types=self._types, registry=registry)

    async def _alone(self, who: Who, call: ToolCall) -> Evaluated:
        """The answer in a run of its own."""
        async with open_session(
            self._broker, user=who.user, agent=who.agent, roles=who.roles
        ) as session:
            return await self._broker.evaluate(session, call)

    async def _require_few(self, client: Client) -> None:
        """People are not flooded: whoever asks much waits for answers first.

        Raises:
            AccessRequestError: as many of this client's wait for people as may.
        """
        known = self._open[client.name]
        if len(known) < MOST_OPEN:
            return
        now = self._broker.parts.clock()
        found = await self._broker.parts.approvals.several(known)
        known[:] = [
            each.id for each in found if lifecycle.expire(each, now=now).status == "pending"
        ]
        if len(known) >= MOST_OPEN:
            said = f"{len(known)} requests of {client.name!r} wait for people; no more at once"
            raise AccessRequestError(429, "", said)

    async def _standing(self, client: Client, kept: KeptDenial) -> AccessRequest | None:
        """What this client asked people about the same question, while that stands."""
        approvals, now = self._broker.parts.approvals, self._broker.parts.clock()
        for name in self._denials.requests(client.name, kept.asked):
            found = await approvals.get(name)
            if lifecycle.stands(found, now=now):
                kept.request = name
                return found
        return None

    async def _own(self, name: str, client: Client) -> AccessRequest | None:
        """The access request of that id, if it is this client's, who may still name its subject."""
        try:
            found = await self._broker.parts.approvals.get(name)
        except ApprovalError:
            return None
        if found.call.run != _run(client, found.call.run.rpartition(":")[2]):
            return None
        behalf = (found.call.on_behalf_of or "").removeprefix("user:")
        named = {"user": behalf, "agent": found.call.subject}
        alone = (
            {"user": found.call.subject, "agent": None},
            {"user": None, "agent": found.call.subject},
        )
        for who in (named,) if behalf else alone:
            try:
                client.require(user=who["user"], agent=who["agent"], roles=())
            except ServiceError:
                continue
            return found
        return None


def _run(client: Client, evaluation: str) -> str:
    """The run of an access request: whose it is, and about which denial."""
    return f"authzen:{client.name}:{evaluation}"


def _digest(asked: Evaluation | Submission) -> Digest | None:
    """Of what is asked about; None for what has no canonical form."""
    question = {
        "subject": asked.subject.model_dump(),
        "action": asked.action.model_dump(),
        "resource": asked.resource.model_dump(),
    }
    question["subject"]["properties"].pop("act", None)  # which may stand elsewhere by then
    try:
        return digest_of(question)
    except SigningError:
        return None


def rfc3339(micros: int) -> str:
    """A time as the profile has it, in UTC."""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
