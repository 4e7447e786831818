"""A connection as a question, its answer, and how it ended. The static allowlist is pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from sandbox.network.rules import plain_path

if TYPE_CHECKING:
    from sandbox.network.rules import Egress, EgressRule

Kind = Literal["connect", "http"]
"""How the job asked: for a tunnel, or for one plain request."""

EndReason = Literal[
    "complete",
    "refused",
    "malformed",
    "server_name",
    "address",
    "unreachable",
    "upstream",
    "client",
    "idle",
    "deadline",
    "bytes",
    "policy",
    "fault",
]
"""`complete` both sides are done; `refused` by a rule or the gate; `malformed` no request this
proxy takes; `server_name` the TLS name is missing or another; `address` every address of the
name is forbidden; `unreachable` nobody answered; `upstream` the host broke off or answered
what may not be passed on; `client` the job went away; `idle`, `deadline`, `bytes` a bound;
`policy` closed from outside; `fault` the proxy itself failed."""


@dataclass(frozen=True, slots=True)
class EgressRequest:
    """What the job wants to reach. Parsed, but chosen by hostile code.

    Attributes:
        method: and `path` (without its query) of a plain request; None for a tunnel.
    """

    kind: Kind
    host: str
    port: int
    method: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class EgressDecision:
    """The answer to one request; `reason` is a code for the record and for the job.

    Attributes:
        number: the gate's own number of the question, which the report then carries too.
    """

    permitted: bool
    reason: str
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressReport:
    """One connection, from its acceptance to its end.

    Attributes:
        request: None when none could be read.
        reason: the decision's code, or of the refusal before it.
        address: that was dialled; None when nothing was.
        bytes_out: from the job to the host.
        bytes_in: from the host to the job.
        number: the gate's own; None when no gate was asked, or it gave none.
    """

    request: EgressRequest | None
    permitted: bool
    reason: str
    address: str | None
    bytes_out: int
    bytes_in: int
    seconds: float
    end: EndReason
    number: int | None = None


class Gate(Protocol):
    """Whoever may refuse what the profile's own rules allow: never the other way round."""

    async def decide(self, request: EgressRequest) -> EgressDecision:
        """Answers one request. An exception, or no answer in time, is a refusal."""
        ...


def matching_rule(egress: Egress, request: EgressRequest) -> EgressRule | None:
    """The first rule that covers the request."""
    return next((rule for rule in egress.allow if _covers(rule, request)), None)


def nearest_refusal(egress: Egress, request: EgressRequest) -> str:
    """Why no rule covers the request, as the code of the first thing in its way."""
    rules = [rule for rule in egress.allow if rule.host == request.host]
    if not rules:
        return "egress.host_unlisted"
    rules = [rule for rule in rules if (rule.mode == "tunnel") == (request.kind == "connect")]
    if not rules:
        return "egress.mode_unlisted"
    rules = [rule for rule in rules if _port_fits(rule, request.port)]
    if not rules:
        return "egress.port_unlisted"
    if not any(request.method in rule.methods for rule in rules):
        return "egress.method_unlisted"
    return "egress.path_unlisted"


def _covers(rule: EgressRule, request: EgressRequest) -> bool:
    if rule.host != request.host or not _port_fits(rule, request.port):
        return False
    if request.kind == "connect" or rule.mode == "tunnel":
        return request.kind == "connect" and rule.mode == "tunnel"
    return request.method in rule.methods and _path_fits(rule.path_prefix, request.path or "")


def _port_fits(rule: EgressRule, port: int) -> bool:
    # `http://host/` says port 80 for what the proxy takes to the rule's own port.
    return port in rule.ports or (rule.mode == "https" and port == 80)


def _path_fits(prefix: str, path: str) -> bool:
    if prefix == "/":
        return path.startswith("/")
    if not plain_path(path):
        return False
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")
