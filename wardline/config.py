"""The sections of `BrokerConfig`, for programs that write their settings in Python."""

from __future__ import annotations

from permissions.setup.config import (
    ApprovalConfig,
    ApproverConfig,
    BrokerConfig,
    EgressConfig,
    PdpConfig,
    ProfileConfig,
    SandboxConfig,
    SessionConfig,
    TraceConfig,
)

__all__ = [
    "ApprovalConfig",
    "ApproverConfig",
    "BrokerConfig",
    "EgressConfig",
    "PdpConfig",
    "ProfileConfig",
    "SandboxConfig",
    "SessionConfig",
    "TraceConfig",
]
