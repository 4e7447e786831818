"""From a call to the question policies answer: the Rego input, every key present.

The mapping follows the default of the AuthZEN MCP binding draft (action `tools/call`, the
tool as resource). Of a permitted call two further questions may follow: while it runs, may it
make this connection (`egress/connect`); after it, may what it changed be committed
(`effects/commit`). Who asks, which tool and why stay what they were.

Nothing a caller passes can name its own action, tool, role or label: these come from the
definition and the session only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.errors import ArgumentsError
from permissions.tools.command import argv_of, command_target
from permissions.tools.targets import TargetError, parse_targets

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from permissions.model import Digest, Isolation, JsonObject
    from permissions.run.state import RunState
    from permissions.tools.definition import Arguments, ToolDefinition


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
            within = getattr(mark, "within", None)
            read = mark if within is None else within(arguments.document)
            found.extend(parse_targets(read, name, arguments.document[name], workspace))
        except TargetError as err:
            raise ArgumentsError([f"{name}: {err}"]) from err
    if (template := definition.options.command) is not None:
        shell = definition.options.shell
        argv = argv_of(template, arguments.document, shell=shell)
        found.append(command_target(template, argv, shell=shell))
    return found


def question_document(
    *,
    session: RunState,
    definition: ToolDefinition,
    arguments: Arguments,
    args_digest: Digest,
    targets: Sequence[JsonObject],
    context: JsonObject,
) -> JsonObject:
    """The whole Rego input."""
    known = tool_question(session, definition)
    properties = {
        **known["resource"]["properties"],
        "args": arguments.document,
        "args_digest": args_digest,
        "confirms": session.unconfirmed if definition.options.confirms else None,
        "targets": list(targets),
    }
    return {
        **known,
        "resource": {**known["resource"], "properties": properties},
        "context": context,
    }


def tool_question(session: RunState, definition: ToolDefinition) -> JsonObject:
    """What the input of every call of this tool by this subject has in common.

    `permissions.pdp.possible` names it, for whoever wants to know which tools to offer.
    """
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
                "tool_digest": definition.digest,
                "isolation": definition.isolation,
                "stateful": definition.options.stateful,
                "workspace": definition.workspace,
                "control": sorted(definition.control),
                "marks": definition.marks,
            },
        },
    }


def boundaries_of(
    definition: ToolDefinition, isolation: Sequence[Isolation]
) -> tuple[Isolation, ...]:
    """Of the boundaries at hand, weakest first: those that a tool can run behind.

    What needs more is so denied before a person is asked about it.
    """
    return ("none",) if definition.stays_here else tuple(isolation)


def environment_of(
    session: RunState, environment: str, isolation: Sequence[Isolation]
) -> JsonObject:
    """Where calls run."""
    return {
        "name": environment,
        "workspace": str(session.workspace),
        "isolation": list(isolation),
    }


def connection_question(
    call: JsonObject,
    *,
    connection: JsonObject,
    profile: str | None,
    labels: Collection[str],
    now: int,
) -> JsonObject:
    """The Rego input about one connection that a permitted call wants to make.

    Args:
        call: the Rego input the call was permitted with.
        connection: `kind`, `host`, `port`, `method` and `path` (without its query).
        profile: name of the sandbox's profile.
        labels: of the session by now.
        now: microseconds since 1970-01-01 UTC.
    """
    known = {name: connection[name] for name in ("kind", "host", "port", "method", "path")}
    resource = {**_of_call(call), **known, "profile": profile}
    return {
        **_later(call, "egress/connect", labels=labels, now=now),
        "resource": {"type": "connection", "id": known["host"], "properties": resource},
    }


def change_set_question(
    call: JsonObject,
    *,
    changes: JsonObject,
    approval: JsonObject | None,
    labels: Collection[str],
    unseen: tuple[int, int],
    now: int,
) -> JsonObject:
    """The Rego input about what a permitted call's run changed in its workspace.

    Args:
        call: the Rego input the call was permitted with. Its approval is not one of the
            changes, which nobody had seen by then.
        changes: the change set's own document (`sandbox.workspace`).
        approval: of exactly these changes; its `args_digest` is the change set's digest.
        labels: of the session by now.
        unseen: files, and their bytes, that earlier calls of the run changed and no person saw.
        now: microseconds since 1970-01-01 UTC.
    """
    of_call = call["resource"]["properties"]
    properties = {
        **_of_call(call),
        "digest": changes["digest"],
        "counts": {kind: changes[kind] for kind in ("created", "changed", "deleted")},
        "bytes": changes["bytes"],
        "changes": [_change(entry) for entry in changes["entries"]],
        "complete": changes["complete"],
        "refused": len(changes["refused"]),
        "conflicts": len(changes["conflicts"]),
        "targets": [target for target in of_call["targets"] if target["kind"] == "path"],
    }
    question = _later(call, "effects/commit", labels=labels, now=now)
    return {
        **question,
        "resource": {
            "type": "change_set",
            "id": properties["tool"],
            "properties": properties,
        },
        "context": {
            **question["context"],
            "approval": approval,
            "usage": {
                **question["context"]["usage"],
                "unseen_files": {"used": unseen[0], "limit": None},
                "unseen_bytes": {"used": unseen[1], "limit": None},
            },
        },
    }


_FACTS = ("type", "size", "mode")


def _change(entry: JsonObject) -> JsonObject:
    """One change. Its contents' digest stands in the digest of all; no policy needs it."""
    names = ("path", "kind", *_FACTS, "executable", "target", "protected")
    was = entry["was"]
    if was is not None:
        is_program = was["type"] == "file" and bool(int(was["mode"], 8) & 0o111)
        was = {**{name: was[name] for name in _FACTS}, "executable": is_program}
    return {**{name: entry[name] for name in names}, "was": was}


def _of_call(call: JsonObject) -> JsonObject:
    properties = call["resource"]["properties"]
    return {
        "tool": call["resource"]["id"],
        "tool_digest": properties["tool_digest"],
        "args_digest": properties["args_digest"],
    }


def _later(call: JsonObject, name: str, *, labels: Collection[str], now: int) -> JsonObject:
    """Who asks and why, as the call was decided, at a later moment of its run."""
    return {
        "subject": call["subject"],
        "action": {**call["action"], "name": name},
        "context": {**call["context"], "labels": sorted(labels), "time": now},
    }


def context_of(
    *,
    session: RunState,
    call: str,
    now: int,
    targets: Sequence[JsonObject],
    plan: JsonObject | None,
    provenance: Mapping[str, JsonObject],
    used: Mapping[str, int],
    environment: str,
    isolation: Sequence[Isolation],
    detected: Mapping[str, Sequence[JsonObject]],
    history: bool = True,
) -> JsonObject:
    """The attributes of the moment (the PIP's part, NIST SP 800-162).

    Args:
        targets: of the call; each currency of an amount has a budget, if one without a limit.
        used: per budget, what the run has used so far.
        now: microseconds since 1970-01-01 UTC.
        isolation: boundaries this machine can give.
        detected: per detector that looked at the arguments, what it found.
        history: whether a policy reads the calls before this one.
    """
    moving = {
        f"amount_{each['currency'].lower()}" for each in targets if each["kind"] == "amount"
    }
    names = {"calls", *session.limits, *used, *moving}
    used = {**session.moved, **used}
    started = session.calls + session.delegated_calls
    # A run that goes on without a budget is counted anew by its ledger, not by its session.
    used = {**used, "calls": max(used.get("calls", 0), started)}
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
        "environment": environment_of(session, environment, isolation),
        "facts": session.facts.document(),
        "detected": {name: list(found) for name, found in detected.items()},
        **({"history": session.history.document()} if history else {}),
    }
