"""Network access out of a sandbox: an allowlist, enforced by a proxy in a process of its own.

`Egress` in a profile's `network` opens it. Inside there is no route and no name service; a
forwarder passes connections to a unix socket, behind which the proxy reads them, asks, looks
up names, checks addresses and dials. `sandbox.egress.proxy` starts it.

What it does not protect from: what an allowed host does with what it is told. Over a tunnel
that is anything TLS carries, another site of the same front included (domain fronting).
"""

from __future__ import annotations

from sandbox.network.decision import (
    EgressDecision,
    EgressReport,
    EgressRequest,
    Gate,
)
from sandbox.network.rules import Egress, EgressRule, HeaderSecret

__all__ = [
    "Egress",
    "EgressDecision",
    "EgressReport",
    "EgressRequest",
    "EgressRule",
    "Gate",
    "HeaderSecret",
]
