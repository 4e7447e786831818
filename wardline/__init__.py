"""Wardline: the permission broker between AI agents and their tools.

`tool` puts a function under the broker; `Broker` (sync) or `open_broker` (async) decides,
records and runs its calls inside a session. Names are loaded on first use, so that decorating
a function costs a program a few milliseconds of import.

This folder is the public surface: `wardline` and its modules re-export, and hold nothing of
their own. What is in no `__all__` here may change without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wardline._loading import from_homes, require_own_packages

if TYPE_CHECKING:
    from permissions.broker.broker import PermissionBroker
    from permissions.errors import (
        ApprovalError,
        ArgumentsError,
        BrokerError,
        ConfigError,
        DelegationError,
        NoSessionError,
        PolicyLoadError,
        ToolDefinitionError,
        ToolFailedError,
        TraceError,
    )
    from permissions.model import CallResult, Completed, Decision, Denial, Reason, Subject
    from permissions.run.delegation import DelegatedTool, Delegation
    from permissions.run.state import RunState
    from permissions.sessions.delegate import open_delegate, open_warranted, warrant_for
    from permissions.sessions.open import open_session
    from permissions.setup.config import BrokerConfig
    from permissions.setup.factory import open_broker
    from permissions.sync import Broker
    from permissions.tools.call import ToolCall
    from permissions.tools.command import CommandOutput
    from permissions.tools.decorator import tool
    from permissions.tools.definition import ToolDefinition
    from permissions.tools.denied import CallDenied
    from permissions.tools.from_schema import tool_from_schema
    from permissions.tools.guarding import guard
    from permissions.tools.manifest import guard_all
    from permissions.tools.targets import (
        AmountArg,
        CommandArg,
        FreeText,
        HostArg,
        PathArg,
        RecipientArg,
        ResourceArg,
        SecretArg,
        SqlArg,
    )

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
    "DelegatedTool",
    "Delegation",
    "DelegationError",
    "Denial",
    "FreeText",
    "HostArg",
    "NoSessionError",
    "PathArg",
    "PermissionBroker",
    "PolicyLoadError",
    "Reason",
    "RecipientArg",
    "ResourceArg",
    "RunState",
    "SecretArg",
    "SqlArg",
    "Subject",
    "ToolCall",
    "ToolDefinition",
    "ToolDefinitionError",
    "ToolFailedError",
    "TraceError",
    "guard",
    "guard_all",
    "open_broker",
    "open_delegate",
    "open_session",
    "open_warranted",
    "tool",
    "tool_from_schema",
    "warrant_for",
]

_HOMES = {
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
    "DelegatedTool": "permissions.run.delegation",
    "Delegation": "permissions.run.delegation",
    "DelegationError": "permissions.errors",
    "Denial": "permissions.model",
    "FreeText": "permissions.tools.targets",
    "HostArg": "permissions.tools.targets",
    "NoSessionError": "permissions.errors",
    "PathArg": "permissions.tools.targets",
    "PermissionBroker": "permissions.broker.broker",
    "PolicyLoadError": "permissions.errors",
    "Reason": "permissions.model",
    "RecipientArg": "permissions.tools.targets",
    "ResourceArg": "permissions.tools.targets",
    "RunState": "permissions.run.state",
    "SecretArg": "permissions.tools.targets",
    "SqlArg": "permissions.tools.targets",
    "Subject": "permissions.model",
    "ToolCall": "permissions.tools.call",
    "ToolDefinition": "permissions.tools.definition",
    "ToolDefinitionError": "permissions.errors",
    "ToolFailedError": "permissions.errors",
    "TraceError": "permissions.errors",
    "guard": "permissions.tools.guarding",
    "guard_all": "permissions.tools.manifest",
    "open_broker": "permissions.setup.factory",
    "open_delegate": "permissions.sessions.delegate",
    "open_session": "permissions.sessions.open",
    "open_warranted": "permissions.sessions.delegate",
    "tool": "permissions.tools.decorator",
    "tool_from_schema": "permissions.tools.from_schema",
    "warrant_for": "permissions.sessions.delegate",
}

require_own_packages(__file__)

if not TYPE_CHECKING:  # a checker would otherwise let any name pass
    __getattr__ = from_homes(__name__, _HOMES)
