"""Wardline: the permission broker between AI agents and their tools.

`tool` marks a function; `Broker` (sync) or `PermissionBroker` (async) decides, records and
runs its calls inside a session. Names are loaded on first use, so that decorating a function
costs a program no more than a few milliseconds of import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from permissions.broker import PermissionBroker
    from permissions.command import CommandOutput
    from permissions.config import BrokerConfig
    from permissions.errors import (
        ApprovalError,
        ArgumentsError,
        BrokerError,
        CallDenied,
        ConfigError,
        NoSessionError,
        PolicyLoadError,
        ToolDefinitionError,
        ToolFailedError,
        TraceError,
    )
    from permissions.facade import Broker
    from permissions.model import CallResult, Completed, Decision, Denial, Reason, Subject
    from permissions.targets import AmountArg, CommandArg, HostArg, PathArg, RecipientArg
    from permissions.tools import ToolDefinition, tool

_HOME = {
    "AmountArg": "targets",
    "ApprovalError": "errors",
    "ArgumentsError": "errors",
    "Broker": "facade",
    "BrokerConfig": "config",
    "BrokerError": "errors",
    "CallDenied": "errors",
    "CallResult": "model",
    "CommandArg": "targets",
    "CommandOutput": "command",
    "Completed": "model",
    "ConfigError": "errors",
    "Decision": "model",
    "Denial": "model",
    "HostArg": "targets",
    "NoSessionError": "errors",
    "PathArg": "targets",
    "PermissionBroker": "broker",
    "PolicyLoadError": "errors",
    "Reason": "model",
    "RecipientArg": "targets",
    "Subject": "model",
    "ToolDefinition": "tools",
    "ToolDefinitionError": "errors",
    "ToolFailedError": "errors",
    "TraceError": "errors",
    "tool": "tools",
}

__all__ = [
    "AmountArg",
    "ApprovalError",
    "ArgumentsError",
    "Broker",
    "BrokerConfig",
    "BrokerError",
    "CallDenied",
    "CallResult",
    "CommandArg",
    "CommandOutput",
    "Completed",
    "ConfigError",
    "Decision",
    "Denial",
    "HostArg",
    "NoSessionError",
    "PathArg",
    "PermissionBroker",
    "PolicyLoadError",
    "Reason",
    "RecipientArg",
    "Subject",
    "ToolDefinition",
    "ToolDefinitionError",
    "ToolFailedError",
    "TraceError",
    "tool",
]


def __getattr__(name: str) -> Any:
    """Loads a public name from its module (PEP 562)."""
    if home := _HOME.get(name):
        return getattr(import_module(f"permissions.{home}"), name)
    raise AttributeError(f"module 'permissions' has no attribute {name!r}")
