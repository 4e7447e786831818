"""From a call to the question policies answer: the Rego input, every key present.

The mapping follows the default of the AuthZEN MCP binding draft (action `tools/call`, the
tool as resource). Nothing a caller passes can name its own action, tool, role or label: these
come from the definition and the session only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.command import argv_of, command_target
from permissions.errors import ArgumentsError
from permissions.targets import TargetError, parse_targets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from permissions.model import Digest, Isolation, JsonObject
    from permissions.session import Session
    from permissions.tools import Arguments, ToolDefinition


def targets_of(
    definition: ToolDefinition, arguments: Arguments, workspace: Path
) -> list[JsonObject]:
    """Everything the marked arguments point at, and the command of a command tool.

    Raises:
        ArgumentsError: a marked argument cannot be parsed without doubt, or one would be read
            as an option of the command.
    """
    found: list[JsonObject] = []
    for name, mark in definition.targets.items():
        try:
            found.extend(parse_targets(mark, name, arguments.document[name], workspace))
        except TargetError as err:
            raise ArgumentsError([f"{name}: {err}"]) from err
    if (template := definition.options.command) is not None:
        shell = definition.options.shell
        argv = argv_of(template, arguments.document, shell=shell)
        found.append(command_target(argv, shell=shell))
    return found


def question_document(
    *,
    session: Session,
    definition: ToolDefinition,
    arguments: Arguments,
    args_digest: Digest,
    targets: Sequence[JsonObject],
    context: JsonObject,
) -> JsonObject:
    """The whole Rego input."""
    return {
        "subject": session.subject.document(),
        "action": {
            "name": "tools/call",
            "properties": {"effect": definition.effect, "impact": definition.impact},
        },
        "resource": {
            "type": "tool",
            "id": definition.name,
            "properties": {
                "args": arguments.document,
                "args_digest": args_digest,
                "tool_digest": definition.digest,
                "isolation": definition.isolation,
                "single_use": definition.options.single_use,
                "control": sorted(definition.control),
                "targets": list(targets),
            },
        },
        "context": context,
    }


def context_of(
    *,
    session: Session,
    call: str,
    now: int,
    plan: JsonObject | None,
    provenance: Mapping[str, JsonObject],
    used: Mapping[str, int],
    environment: str,
    isolation: Sequence[Isolation],
) -> JsonObject:
    """The attributes of the moment (the PIP's part, NIST SP 800-162).

    Args:
        used: per budget, what the run has used so far.
        now: microseconds since 1970-01-01 UTC.
        isolation: boundaries this machine can give.
    """
    names = {"calls", *session.limits, *used}
    # A run that goes on without a budget is counted anew by its ledger, not by its session.
    used = {**used, "calls": max(used.get("calls", 0), session.calls)}
    return {
        "run": session.run,
        "call": call,
        "time": now,
        "plan": plan,
        "provenance": dict(provenance),
        "labels": sorted(session.labels),
        "usage": {
            name: {
                "used": used.get(name, 0) + (name == "calls"),
                "limit": session.limits.get(name),
            }
            for name in sorted(names)
        },
        "approval": None,
        "environment": {
            "name": environment,
            "workspace": str(session.workspace),
            "isolation": list(isolation),
        },
        "history": list(session.history),
    }
