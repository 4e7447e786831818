"""A log in which a call starts although it was stopped tells a story that must not happen."""

from __future__ import annotations

from typing import Any

import pytest

from permissions.trace.decoded import DecodedEntry
from permissions.trace.rules import Story


def told(*entries: tuple[str, str, str | None, dict[str, Any]]) -> list[str]:
    """What is wrong about a log that begins well and goes on like this."""
    story, findings = Story(), list[str]()
    whole = [
        ("log.open", "", None, {}),
        ("run.start", "root", None, {"subject": {"id": "bot"}}),
        ("delegation", "root", None, {"sent": "child"}),
        ("run.start", "child", None, {"subject": {"id": "helper"}}),
        *entries,
    ]
    for index, (kind, run, call, body) in enumerate(whole):
        entry = DecodedEntry(body, call, {}, index, run or None, index, kind, 2)
        findings += story.observe(entry)
    return findings


def stop(scope: str, name: str = "") -> tuple[str, str, None, dict[str, Any]]:
    return ("stop", "", None, {"phase": "begun", "stop": "s", "scope": scope, "name": name})


RESUME = ("resume", "", None, {"stop": "s", "signed": True})
CALL = [
    ("intent", "child", "c", {"tool": "mail"}),
    ("decision", "child", "c", {"permitted": True}),
    ("start", "child", "c", {}),
    ("outcome", "child", "c", {"status": "ok"}),
]
BARS = [("all", ""), ("run", "child"), ("run", "root"), ("agent", "helper"), ("agent", "bot")]


@pytest.mark.parametrize(("scope", "name"), [*BARS, ("tool", "mail")])
def test_no_call_of_its_scope_starts_while_a_stop_stands(scope: str, name: str) -> None:
    assert told(stop(scope, name), *CALL) == ["call 'c' was started while s stopped it"]
    assert told(*CALL[:3], stop(scope, name), CALL[3]) == []
    assert told(stop(scope, name), RESUME, *CALL) == []


@pytest.mark.parametrize(("scope", "name"), [("run", "r"), ("agent", "b"), ("tool", "read")])
def test_others_go_on(scope: str, name: str) -> None:
    assert told(stop(scope, name), *CALL) == []


def test_a_resumption_that_nobody_signed_lifts_nothing() -> None:
    unsigned = ("resume", "", None, {"stop": "s", "signed": False})
    assert told(stop("all"), unsigned, *CALL) == ["call 'c' was started while s stopped it"]


def test_what_never_was_does_not_end() -> None:
    assert told(RESUME) == ["resume of 's', which was never stopped"]
    ended = ("stop", "", None, {"phase": "ended", "stop": "s"})
    assert told(ended) == ["stop 's' ended without having begun"]
    assert told(stop("all"), ended, RESUME, ended) == []


def test_an_agreement_lifts_one_stop() -> None:
    agreed = {"stop": "s", "signed": True, "request": "req-1"}
    again = told(
        stop("all"),
        ("resume", "", None, agreed),
        stop("all"),
        ("resume", "", None, agreed),
    )
    assert again == ["resume uses the approval of the entry at 5 again"]
