"""What the owner of a broker asks of it while it runs: by the first frame of a connection.

`wardline policy reload` asks it to load its policies again, `wardline stop` and `resume` to carry
out what they wrote down, and a vote by a command that whose turn it is now is told. Its own account and root may ask, as the kernel tells who connects; it
is no matter of which clients the settings list.

Not protected from: code that runs as the same user, in a tool of the broker's own process say.
It can ask that the policies the settings name are loaded, not what they are.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from permissions.errors import BrokerError, PolicyLoadError, StateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from permissions.broker.broker import PermissionBroker
    from permissions.model import JsonObject
    from permissions.service.address import Peer

    Answering = Callable[[PermissionBroker, JsonObject, str], Awaitable[JsonObject]]
    """Answers a question; it is told who asks."""


def may_control(peer: Peer) -> bool:
    """Whether the broker obeys who is at the other end."""
    return peer.uid in (0, os.geteuid())


async def answered(
    controls: Mapping[str, Answering], broker: PermissionBroker, question: JsonObject, by: str
) -> JsonObject:
    """The answer to a question whose `do` is one of `controls`; a refusal says why."""
    try:
        return await controls[question["do"]](broker, question, by)
    except BrokerError as err:
        findings = list(err.findings) if isinstance(err, PolicyLoadError) else []
        return {"refused": {"message": str(err), "findings": findings}}


async def _reload(broker: PermissionBroker, _: JsonObject, by: str) -> JsonObject:
    done = await broker.reload_policies(by=by)
    return {"before": done.before, "now": done.now}


async def _stop(broker: PermissionBroker, question: JsonObject, _: str) -> JsonObject:
    """The proof that `wardline stop` asks for."""
    await broker.stopping.carry_out()
    proof = broker.stopping.proof(str(question.get("stop")))
    if proof is None:
        raise StateError("no such stop is in force here")
    scope = proof.stop.scope
    is_tool = scope.kind == "tool" and broker.known(scope.name) is None
    return {
        **proof.document(),
        "recorded": proof.recorded,
        "fault": proof.fault,
        "unknown_tool": is_tool,
    }


async def _resume(broker: PermissionBroker, _: JsonObject, __: str) -> JsonObject:
    """Records what was lifted."""
    await broker.stopping.carry_out()
    return {}


async def _announce(broker: PermissionBroker, question: JsonObject, _: str) -> JsonObject:
    """Has people told of a request that a command made, or voted on."""
    await broker.parts.approvals.announce(str(question.get("request")))
    return {}


CONTROLS: Mapping[str, Answering] = {
    "reload": _reload,
    "stop": _stop,
    "resume": _resume,
    "announce": _announce,
}
