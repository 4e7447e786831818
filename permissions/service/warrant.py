"""What a sub-agent in another process shows the daemon: who sent it, and with what. Pure.

A warrant is a DSSE v1 envelope by a key that the daemon has for as long as it runs. Whoever has it,
and may name that agent, opens the sub-agent's session with it, once at a time; what it gives was
checked when it was signed and is checked again when it is used, and its sender's session has to be
open. It is no secret of more worth than that, and none the less a secret.

Not protected from: a client that hands a warrant to somebody else who may name the same agent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.errors import DelegationError, SigningError
from permissions.run.delegation import Delegation, delegation_from
from permissions.signing import dsse
from permissions.signing.canonical import canonical

if TYPE_CHECKING:
    from permissions.signing.keys import Signer

WARRANT_TYPE = "application/vnd.wardline.warrant+json"
WARRANT_SECONDS = 3600
"""For a warrant to be used first; what it gives may end before that, or last longer."""


@dataclass(frozen=True, slots=True)
class Warrant:
    """That a run sends an agent.

    Attributes:
        parent: run of the sender, whose session is open.
        run: of the sub-agent.
        agent: its name.
        may: what it may do.
        task: what it is told to do, for the record.
        until: when it can be used no more, microseconds since 1970 UTC.
    """

    parent: str
    run: str
    agent: str
    may: Delegation
    task: str
    until: int


def sign_warrant(warrant: Warrant, signer: Signer) -> str:
    """The text that is handed to the sub-agent's process."""
    payload = canonical(
        {
            "parent": warrant.parent,
            "run": warrant.run,
            "agent": warrant.agent,
            "may": warrant.may.model_dump(mode="json"),
            "task": warrant.task,
            "until": warrant.until,
        }
    )
    return dsse.sign(payload, payload_type=WARRANT_TYPE, signers=[signer]).dumps().decode()


def read_warrant(text: str, signer: Signer, *, now: int) -> Warrant:
    """The warrant of a text that this daemon signed.

    Raises:
        DelegationError: it did not, or the warrant has run out.
    """
    try:
        envelope = dsse.Envelope.parse(text.encode())
        dsse.verify(envelope, keys=[signer.public], payload_type=WARRANT_TYPE)
    except (SigningError, UnicodeError) as err:
        raise DelegationError(
            "the warrant was not signed by this daemon since it started; have another one made"
        ) from err
    said = json.loads(envelope.payload)
    if now >= said["until"]:
        raise DelegationError("the warrant has run out; have another one made")
    return Warrant(**{**said, "may": delegation_from(said["may"])})
