"""The form of each agent: events that are read or refused, and answers that block."""

from __future__ import annotations

import json
from typing import Any

import pytest

from permissions.coding.dialects import DIALECTS, Asked, Ended, event_of
from permissions.coding.verdict import ALLOWED, EventError, Verdict, verdict_of

CLAUDE = {
    "session_id": "5f0c", "transcript_path": "/x.jsonl", "cwd": "/srv/r",
    "permission_mode": "default", "hook_event_name": "PreToolUse", "tool_name": "Bash",
    "tool_input": {"command": "ls"}, "tool_use_id": "toolu_1",
}  # fmt: skip
CODEX = {**CLAUDE, "turn_id": "t1", "model": "gpt-5", "transcript_path": None}
GEMINI = {
    "session_id": "5f0c", "transcript_path": "/x.json", "cwd": "/srv/r",
    "hook_event_name": "BeforeTool", "timestamp": "2026-11-30T12:00:00Z",
    "tool_name": "run_shell_command", "tool_input": {"command": "ls"},
}  # fmt: skip
CURSOR = {
    "conversation_id": "5f0c", "generation_id": "g", "hook_event_name": "beforeShellExecution",
    "workspace_roots": ["/srv/r"], "command": "ls", "cwd": "/srv/r",
}  # fmt: skip
EVENTS: dict[str, dict[str, Any]] = {
    "claude-code": CLAUDE,
    "codex": CODEX,
    "gemini": GEMINI,
    "cursor": CURSOR,
}
DENY = Verdict("deny", "because")
ASK = Verdict("ask", "because")


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_read(name: str) -> None:
    asked = DIALECTS[name].read(EVENTS[name])

    assert isinstance(asked, Asked)
    assert asked.call.arguments == {"command": "ls"}
    assert asked.call.folder == "/srv/r"
    assert asked.session == "5f0c"
    assert asked.attended is (name in {"claude-code", "cursor"})


@pytest.mark.parametrize(
    "change",
    [{"hook_event_name": "SessionStart"}, {"hook_event_name": None}, {"cwd": None},
     {"cwd": "relative"}, {"session_id": None, "conversation_id": None},
     {"tool_input": [1], "command": 5}, {"tool_name": "", "command": ""}],
    ids=["another event", "no event", "no folder", "a relative folder", "no session",
         "no arguments", "no tool"],
)  # fmt: skip
@pytest.mark.parametrize("name", EVENTS)
def test_an_event_that_is_none_is_refused(name: str, change: dict[str, Any]) -> None:
    event = {**EVENTS[name], **change}
    if name == "cursor":
        event["workspace_roots"] = []

    with pytest.raises(EventError):
        DIALECTS[name].read(event)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '"x"', '{"a": 1, "a": 2}', "[" * 100_000],
    ids=["empty", "cut", "list", "null", "text", "a member twice", "deep"],
)  # fmt: skip
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(EventError):
        event_of(text)


@pytest.mark.parametrize("name", ["claude-code", "codex"])
def test_claude_and_codex_are_told_no_by_json_and_by_their_exit_code(name: str) -> None:
    answer = DIALECTS[name].answer(DENY, "PreToolUse")

    said = json.loads(answer.stdout)["hookSpecificOutput"]
    assert said == {
        "hookEventName": "PreToolUse",
        "permissionDecision": "deny",
        "permissionDecisionReason": "because",
    }
    assert (answer.stderr, answer.exit_code) == ("because", 2)


def test_gemini_is_told_no_by_json_and_by_its_exit_code() -> None:
    answer = DIALECTS["gemini"].answer(DENY, "BeforeTool")

    assert json.loads(answer.stdout) == {"decision": "deny", "reason": "because"}
    assert (answer.stderr, answer.exit_code) == ("because", 2)


def test_cursor_is_told_no_by_json_with_the_reason() -> None:
    answer = DIALECTS["cursor"].answer(DENY, "preToolUse")

    said = json.loads(answer.stdout)
    assert said == {"permission": "deny", "user_message": "because", "agent_message": "because"}
    assert answer.exit_code == 0
    read = json.loads(DIALECTS["cursor"].answer(DENY, "beforeReadFile").stdout)
    assert read == {"permission": "deny", "user_message": "because"}


def test_a_question_is_put_where_the_agent_puts_it_to_a_person_and_else_is_a_no() -> None:
    claude = json.loads(DIALECTS["claude-code"].answer(ASK, "PreToolUse").stdout)
    cursor = json.loads(DIALECTS["cursor"].answer(ASK, "beforeShellExecution").stdout)

    assert claude["hookSpecificOutput"]["permissionDecision"] == "ask"
    assert cursor["permission"] == "ask"
    assert DIALECTS["codex"].answer(ASK, "PreToolUse").exit_code == 2
    assert DIALECTS["gemini"].answer(ASK, "BeforeTool").exit_code == 2
    read = DIALECTS["cursor"].answer(ASK, "beforeReadFile")
    assert json.loads(read.stdout)["permission"] == "deny"


def test_permission_leaves_the_agents_own_questions_in_place() -> None:
    for name in ("claude-code", "codex", "gemini"):
        assert DIALECTS[name].answer(ALLOWED, "PreToolUse") == ("{}", "", 0)
    cursor = DIALECTS["cursor"].answer(ALLOWED, "beforeShellExecution")
    assert cursor == ('{"permission": "allow"}', "", 0)


@pytest.mark.parametrize("mode", ["bypassPermissions", "dontAsk", "auto", "of a later version"])
def test_nobody_is_there_to_ask_in_modes_that_do_not_ask(mode: str) -> None:
    asked = DIALECTS["claude-code"].read({**CLAUDE, "permission_mode": mode})

    assert isinstance(asked, Asked)
    assert not asked.attended


def test_cursors_other_events_are_read() -> None:
    def read(event: dict[str, Any]) -> Asked:
        found = DIALECTS["cursor"].read(event)
        assert isinstance(found, Asked)
        return found

    mcp = read({**CURSOR, "hook_event_name": "beforeMCPExecution", "tool_name": "query",
                "tool_input": '{"sql": "select 1"}'})  # fmt: skip
    file = read({**CURSOR, "hook_event_name": "beforeReadFile", "file_path": "/srv/r/a",
                 "content": "x", "attachments": [{"type": "file", "filePath": "/srv/r/.env"}]})  # fmt: skip
    edit = read({**CURSOR, "hook_event_name": "preToolUse", "tool_name": "Write",
                 "tool_input": {"file_path": "a", "content": "x"}})  # fmt: skip

    assert (mcp.call.mcp, mcp.call.arguments) == (True, {"sql": "select 1"})
    assert file.call.arguments == {"paths": ["/srv/r/a", "/srv/r/.env"]}
    assert (edit.call.name, edit.attended) == ("Write", False)


def test_a_tool_of_a_server_is_known_by_geminis_context() -> None:
    asked = DIALECTS["gemini"].read({**GEMINI, "mcp_context": {"server_name": "x"}})

    assert isinstance(asked, Asked)
    assert asked.call.mcp


AFTER = {
    "claude-code": (CLAUDE, {"hook_event_name": "PostToolUse", "tool_response": {"stdout": "a"}}),
    "claude-code, failed": (CLAUDE, {"hook_event_name": "PostToolUseFailure", "error": "a"}),
    "codex": (CODEX, {"hook_event_name": "PostToolUse", "tool_response": "a"}),
    "gemini": (GEMINI, {"hook_event_name": "AfterTool", "tool_response": {"llmContent": "a"}}),
    "gemini, failed": (
        GEMINI, {"hook_event_name": "AfterTool", "tool_response": {"error": {"message": "a"}}}),
    "cursor": (CURSOR, {"hook_event_name": "afterShellExecution", "output": "a"}),
    "cursor, failed": (
        CURSOR, {"hook_event_name": "postToolUseFailure", "tool_name": "Shell",
                 "tool_input": {"command": "ls"}, "error_message": "a"}),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), AFTER.values(), ids=AFTER)
def test_what_came_of_a_call_is_told_by_the_same_key(
    before: dict[str, Any], after: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    name, _, failed = request.node.callspec.id.partition(", ")
    asked = DIALECTS[name].read(before)
    ended = DIALECTS[name].read({**before, **after})

    assert isinstance(asked, Asked)
    assert isinstance(ended, Ended)
    assert ended.asked.key == asked.key
    assert ended.failed is bool(failed)
    assert "a" in str(ended.output)


def test_an_agents_own_name_of_a_call_tells_it_apart() -> None:
    one, two = (
        DIALECTS["claude-code"].read({**CLAUDE, "tool_use_id": each}) for each in ("t1", "t2")
    )

    assert isinstance(one, Asked)
    assert isinstance(two, Asked)
    assert one.key != two.key


def denial(kind: str, request: str | None = None) -> dict[str, Any]:
    reasons = [{"code": "approval.pending", "agent": "Wait."}, {"code": "a.b", "agent": "No."}]
    return {"kind": kind, "reasons": reasons, "access_request": request}


def test_what_waits_for_a_person_says_how_it_goes_on() -> None:
    found = verdict_of(denial("pending", "req-1"), may_ask=False)

    assert found.decision == "deny"
    assert "wardline request approve req-1" in found.reason
    assert "make the same call again" in found.reason
    assert verdict_of(denial("pending", "req-1"), may_ask=True).decision == "ask"


@pytest.mark.parametrize("kind", ["denied", "expired", "unavailable", "in_doubt"])
def test_a_refusal_is_never_a_question(kind: str) -> None:
    found = verdict_of(denial(kind), may_ask=True)

    assert found.decision == "deny"
    assert "No. [a.b]" in found.reason
