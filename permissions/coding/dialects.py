"""The forms of four agents: the events around a call of theirs, and the answer each reads.

Pure, standard library alone. A refusal is told in both ways that an agent knows: by its JSON,
and by exit code 2 with the reason on standard error, which blocks also where the JSON is not
read. Permission is said by no opinion (`{}`), so that the agent's own rules and questions go on
to hold; only Cursor wants the word.

Not protected from: a version of an agent whose form is another than the one named here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from permissions.coding.calls import AgentCall
from permissions.coding.hook import BLOCKED
from permissions.coding.verdict import Answer, EventError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from permissions.coding.verdict import Verdict

MAX_REASON = 2000
"""Characters of a reason that an agent reads."""


class Asked(NamedTuple):
    """One event, read.

    Attributes:
        call: what the agent is about to do.
        session: by which the agent tells its conversations apart.
        event: its name.
        attended: whether the agent puts a question to a person when it is told `ask` here.
        use: by which the agent tells its calls apart, where it does.
    """

    call: AgentCall
    session: str
    event: str
    attended: bool
    use: str | None = None

    @property
    def key(self) -> str:
        """What the event after a call has in common with the one before it."""
        if self.use is not None:
            return f"use {self.use}"
        return json.dumps([self.call.name, self.call.arguments], sort_keys=True)


class Ended(NamedTuple):
    """What came of a call, as the agent tells it.

    Attributes:
        asked: the call.
        failed: whether it says that it failed.
        output: what it says came out.
    """

    asked: Asked
    failed: bool
    output: Any


class Dialect(NamedTuple):
    """One agent's form.

    Attributes:
        name: on the command line, and of the agent in the record.
        form: which version of the agent's form this is.
        read: an event's members to what they ask, or to what came of it.
        answer: a verdict to what is printed.
    """

    name: str
    form: str
    read: Callable[[Mapping[str, Any]], Asked | Ended]
    answer: Callable[[Verdict, str], Answer]


def event_of(text: str) -> dict[str, Any]:
    """The event that an agent sent.

    Raises:
        EventError: it is no JSON object, or has a member twice.
    """
    try:
        found = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as err:
        raise EventError(f"what came on standard input is no event in JSON ({err})") from err
    if not isinstance(found, dict):
        raise EventError("what came on standard input is no JSON object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands twice in one object")
    return found


def _member(event: Mapping[str, Any], *names: str) -> str:
    for name in names:
        value = event.get(name)
        if isinstance(value, str) and value:
            return value
    raise EventError(f"the event has no text under {' or '.join(names)}")


def _folder(event: Mapping[str, Any]) -> str:
    folder = event.get("cwd")
    if not folder and isinstance(roots := event.get("workspace_roots"), list) and roots:
        folder = roots[0]
    if not isinstance(folder, str) or not folder.startswith("/"):
        raise EventError("the event does not say in which folder (cwd) the agent stands")
    return folder


def _arguments(event: Mapping[str, Any]) -> dict[str, Any]:
    given = event.get("tool_input")
    if isinstance(given, str):  # Cursor sends those of an MCP tool as JSON text
        given = event_of(given)
    if not isinstance(given, dict):
        raise EventError("the event has no object under tool_input")
    return given


def _require_event(event: Mapping[str, Any], *names: str) -> str:
    name = _member(event, "hook_event_name")
    if name not in names:
        raise EventError(
            f"{name[:60]!r} is none of the events this hook answers: {', '.join(names)}"
        )
    return name


def _tool_event(event: Mapping[str, Any], names: tuple[str, ...], *, attended: bool) -> Asked:
    found = _require_event(event, *names)
    mcp = event.get("mcp_context") is not None
    call = AgentCall(_member(event, "tool_name"), _arguments(event), _folder(event), mcp)
    session, use = _member(event, "session_id", "conversation_id"), event.get("tool_use_id")
    use = use if isinstance(use, str) and use else None
    return Asked(call, session, found, attended, use)


def _ended(asked: Asked, event: Mapping[str, Any], output: str) -> Ended:
    """What came of a call: a failure has an event of its own, or is a member of the output."""
    if asked.event.endswith("Failure"):
        return Ended(asked, failed=True, output=event.get("error", event.get("error_message")))
    found = event.get(output)
    failed = isinstance(found, dict) and bool(found.get("error") or found.get("is_error"))
    return Ended(asked, failed, found)


def _read_claude(event: Mapping[str, Any]) -> Asked | Ended:
    # In the other modes nobody is there to answer, or the question is not put.
    mode = event.get("permission_mode", "default")
    attended = mode in {"default", "plan", "acceptEdits"}
    names = ("PreToolUse", "PostToolUse", "PostToolUseFailure")
    asked = _tool_event(event, names, attended=attended)
    return asked if asked.event == names[0] else _ended(asked, event, "tool_response")


def _read_codex(event: Mapping[str, Any]) -> Asked | Ended:
    asked = _tool_event(event, ("PreToolUse", "PostToolUse"), attended=False)
    return asked if asked.event == "PreToolUse" else _ended(asked, event, "tool_response")


def _read_gemini(event: Mapping[str, Any]) -> Asked | Ended:
    asked = _tool_event(event, ("BeforeTool", "AfterTool"), attended=False)
    return asked if asked.event == "BeforeTool" else _ended(asked, event, "tool_response")


_CURSORS = {
    "afterShellExecution": "output",
    "afterMCPExecution": "result_json",
    "postToolUse": "tool_output",
    "postToolUseFailure": "error_message",
}
"""Cursor's events after a call, and where each has what came out."""


def _read_cursor(event: Mapping[str, Any]) -> Asked | Ended:
    before = ("beforeShellExecution", "beforeMCPExecution", "beforeReadFile", "preToolUse")
    name = _require_event(event, *before, *_CURSORS)
    session = _member(event, "conversation_id", "session_id")
    if name == "beforeReadFile":
        paths = [_member(event, "file_path"), *_attached(event)]
        call = AgentCall("read_many_files", {"paths": paths}, _folder(event))
        return Asked(call, session, name, attended=False)
    use = event.get("tool_use_id")
    use = use if isinstance(use, str) and use and name.endswith(("Use", "Failure")) else None
    if name.endswith("ShellExecution"):
        arguments = {"command": _member(event, "command")}
        call = AgentCall("Shell", arguments, _folder(event))
        asked = Asked(call, session, name, attended=True)
    else:
        mcp = name.endswith("MCPExecution")
        call = AgentCall(_member(event, "tool_name"), _arguments(event), _folder(event), mcp)
        asked = Asked(call, session, name, mcp, use)
    return asked if name in before else _ended(asked, event, _CURSORS[name])


def _attached(event: Mapping[str, Any]) -> list[str]:
    attachments = event.get("attachments") or []
    if not isinstance(attachments, list):
        raise EventError("the attachments of the event are no list")
    paths = [
        each.get("filePath") or each.get("file_path")
        for each in attachments
        if isinstance(each, dict)
    ]
    return [path for path in paths if isinstance(path, str)]


def _json(**members: Any) -> str:
    return json.dumps(members)


def _pre_tool_use(decision: str, reason: str) -> str:
    said = {"permissionDecision": decision, "permissionDecisionReason": reason}
    return _json(hookSpecificOutput={"hookEventName": "PreToolUse", **said})


def _answer_claude(verdict: Verdict, _: str) -> Answer:
    reason = verdict.reason[:MAX_REASON]
    if verdict.decision == "allow":
        return Answer("{}", "", 0)
    if verdict.decision == "ask":
        return Answer(_pre_tool_use("ask", reason), "", 0)
    return Answer(_pre_tool_use("deny", reason), reason, BLOCKED)


def _answer_codex(verdict: Verdict, event: str) -> Answer:
    if verdict.decision == "ask":  # Codex lets pass what answers `ask`
        return _answer_claude(verdict._replace(decision="deny"), event)
    return _answer_claude(verdict, event)


def _answer_gemini(verdict: Verdict, _: str) -> Answer:
    if verdict.decision == "allow":
        return Answer("{}", "", 0)
    reason = verdict.reason[:MAX_REASON]
    return Answer(_json(decision="deny", reason=reason), reason, BLOCKED)


def _answer_cursor(verdict: Verdict, event: str) -> Answer:
    """By JSON and exit code 0: with another code Cursor does not read why."""
    reason, decision = verdict.reason[:MAX_REASON], verdict.decision
    if decision == "allow":
        return Answer(_json(permission="allow"), "", 0)
    if event == "beforeReadFile":
        return Answer(_json(permission="deny", user_message=reason), reason, 0)
    said = {"user_message": reason, "agent_message": reason}
    return Answer(_json(permission=decision, **said), reason, 0)


DIALECTS = {
    each.name: each
    for each in (
        Dialect("claude-code", "PreToolUse of Claude Code 2.1", _read_claude, _answer_claude),
        Dialect("codex", "PreToolUse of Codex 0.124", _read_codex, _answer_codex),
        Dialect("gemini", "BeforeTool of the Gemini CLI 0.26", _read_gemini, _answer_gemini),
        Dialect(
            "cursor",
            "preToolUse, beforeShellExecution, beforeMCPExecution, beforeReadFile of Cursor 2",
            _read_cursor,
            _answer_cursor,
        ),
    )
}
"""By name."""
