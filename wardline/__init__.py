"""Wardline: the permission broker between AI agents and their tools.

`tool` marks a function; `Broker` (sync) or `PermissionBroker` (async) decides, records and
runs its calls inside a session. Names are loaded on first use, so that decorating a function
costs a program no more than a few milliseconds of import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from permissions.broker.broker import PermissionBroker
    from permissions.errors import (
        ApprovalError,
        ArgumentsError,
        BrokerError,
        ConfigError,
        NoSessionError,
        PolicyLoadError,
        ToolDefinitionError,
        ToolFailedError,
        TraceError,
    )
    from permissions.model import (
        CallResult,
        Completed,
        Decision,
        Denial,
        Reason,
        Subject,
    )
    from permissions.setup.config import BrokerConfig
    from permissions.sync import Broker
    from permissions.tools.command import CommandOutput
    from permissions.tools.decorator import tool
    from permissions.tools.definition import ToolDefinition
    from permissions.tools.denied import CallDenied
    from permissions.tools.targets import (
        AmountArg,
        CommandArg,
        HostArg,
        PathArg,
        RecipientArg,
    )

_HOME = {
    "AmountArg": "permissions.tools.targets",
    "ApprovalError": "permissions.errors",
    "ArgumentsError": "permissions.errors",
    "Broker": "permissions.sync",
    "BrokerConfig": "permissions.setup.config",
    "BrokerError": "permissions.errors",
    "CallDenied": "permissions.tools.denied",
    "CallResult": "permissions.model",
    "CommandArg": "permissions.tools.targets",
    "CommandOutput": "permissions.tools.command",
    "Completed": "permissions.model",
    "ConfigError": "permissions.errors",
    "Decision": "permissions.model",
    "Denial": "permissions.model",
    "HostArg": "permissions.tools.targets",
    "NoSessionError": "permissions.errors",
    "PathArg": "permissions.tools.targets",
    "PermissionBroker": "permissions.broker.broker",
    "PolicyLoadError": "permissions.errors",
    "Reason": "permissions.model",
    "RecipientArg": "permissions.tools.targets",
    "Subject": "permissions.model",
    "ToolDefinition": "permissions.tools.definition",
    "ToolDefinitionError": "permissions.errors",
    "ToolFailedError": "permissions.errors",
    "TraceError": "permissions.errors",
    "tool": "permissions.tools.decorator",
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
        return getattr(import_module(home), name)
    raise AttributeError(f"module 'wardline' has no attribute {name!r}")
