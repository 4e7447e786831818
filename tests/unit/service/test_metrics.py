"""What is counted of the record, and that nobody's words become a label."""

from __future__ import annotations

import math
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from permissions.inquiry.assured import Assured
from permissions.model import Completed
from permissions.service.http.metrics_page import highest_share
from permissions.service.meter import UNMETERED
from permissions.service.metered_trace import MeteredTrace
from permissions.service.metrics import MOST_VALUES, Metrics
from permissions.sessions.open import open_session
from permissions.testing import memory_broker
from permissions.tools.call import ToolCall
from permissions.trace.entry import Receipt, TraceEntry
from wardline import tool


def entry(which: Any, call: str = "call-1", /, **body: Any) -> TraceEntry:
    return TraceEntry(which, "run-1", call, body)


def decision(*rules: str, permitted: bool = False, requestable: bool = False) -> TraceEntry:
    return entry(
        "decision",
        action="tools/call",
        permitted=permitted,
        requestable=requestable,
        rules=list(rules),
    )


def numbers(metrics: Metrics, **more: Any) -> dict[tuple[str, tuple[str, ...]], float]:
    told = {
        "pending": (),
        "now": 0,
        "unsynced": 3,
        "sessions": 2,
        "ready": True,
        "policy": "sha256:0",
        "version": "0",
        "assured": Assured(),
        "budget": 0.5,
        **more,
    }
    text = metrics.text(**told).decode()
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_calls_are_counted_by_tool_and_end() -> None:
    metrics = Metrics(["read"])
    story = [
        entry("intent", "a", tool="read"),
        decision("impact.ordinary", permitted=True),
        entry("start", "a", isolation="process"),
        entry("outcome", "a", status="ok", duration_us=250_000),
        entry("intent", "b", tool=None),
        entry("denied", "b", kind="denied", codes=["tool.unregistered", "more"]),
        entry("intent", "c", tool="read"),
        decision("impact.needs_person", requestable=True),
        entry("request", "c", request="req-1"),
        entry("approval", "c", request="req-1", approvers=["olga", "bea"]),
        entry("start", "c", isolation="none"),
        entry("gap", "c"),
        entry("run.end", ""),
    ]
    metrics.recorded(story, "durable", 0.002)
    metrics.failed(story[:2])
    metrics.answered("admit", 0.1)
    metrics.answered("whatever a client says", 0.1)
    found = numbers(metrics)

    assert found["wardline_calls_total", ("ok", "read")] == 1
    assert found["wardline_calls_total", ("in_doubt", "read")] == 1
    assert found["wardline_calls_total", ("denied", "unknown")] == 1
    assert found["wardline_denials_total", ("tool.unregistered",)] == 1
    assert found["wardline_decisions_total", ("tools/call", "allow")] == 1
    assert found["wardline_rules_total", ("impact.needs_person", "ask")] == 1
    assert found["wardline_answers_total", ("approve",)] == 2
    assert found["wardline_starts_total", ("process",)] == 1
    assert found["wardline_starts_total", ("kernel",)] == 0
    assert found["wardline_run_seconds_sum", ("process",)] == 0.25
    assert found["wardline_approval_wait_seconds_count", ()] == 1
    assert found["wardline_trace_failures_total", ()] == 2
    assert found["wardline_trace_append_seconds_count", ("durable",)] == 1
    assert found["wardline_question_seconds_count", ("other",)] == 1
    assert (found["wardline_sessions", ()], found["wardline_ready", ()]) == (2, 1)
    assert found["wardline_trace_unsynced_entries", ()] == 3


def test_labels_are_bounded_and_hold_nobodys_words() -> None:
    metrics = Metrics(["read"])
    for number in range(MOST_VALUES * 3):
        name = f"tool-{number}"
        metrics.recorded(
            [
                entry("intent", name, tool=name),
                decision(f"rule.{number}"),
                entry("denied", name, kind="denied", codes=[f"code.{number}"]),
            ],
            "durable",
            0.001,
        )
    found = numbers(metrics)
    assert "tool-1" not in str(found)
    assert found["wardline_calls_total", ("denied", "unknown")] == MOST_VALUES * 3
    rules = [labels for name, labels in found if name == "wardline_rules_total"]
    assert len(rules) == MOST_VALUES + 1
    assert found["wardline_rules_total", ("other", "deny")] == MOST_VALUES * 2


def test_calls_that_never_end_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    # The product's bound would need thousands of calls; what is tried is what lies beyond it.
    monkeypatch.setattr("permissions.service.metrics._REMEMBERED", 10)
    metrics = Metrics(["read"])
    for number in range(50):
        call = f"call-{number}"
        metrics.recorded(
            [entry("intent", call, tool="read"), entry("request", call, request=call)],
            "durable",
            0,
        )
    assert len(metrics._called) == len(metrics._asked) == 10


async def test_a_record_that_fails_is_counted_and_stays_a_failure() -> None:
    class Log:
        fails = False

        async def append(self, entries: Any, *, barrier: Any) -> Receipt:  # noqa: ARG002 - of the protocol
            if self.fails:
                raise OSError("the disk is gone")
            return Receipt(10, len(entries))

    metrics, log = Metrics([]), Log()
    trace = MeteredTrace(log, lambda: 10, metrics)
    await trace.append([entry("gap")], barrier="durable")
    assert trace.unsynced == 1
    log.fails = True
    with pytest.raises(OSError, match="the disk is gone"):
        await trace.append([entry("gap")], barrier="durable")
    assert numbers(metrics)["wardline_trace_failures_total", ()] == 1


def test_unmetered_counts_nothing() -> None:
    UNMETERED.answered("admit", 1.0)


def test_what_was_gathered_is_told_and_what_was_not_is_no_number() -> None:
    metrics = Metrics([])
    refused = entry("denied", kind="denied", codes=["approval.denied"],
                    answers=[{"request": "r", "approver": "olga", "verdict": "deny"}])  # fmt: skip
    metrics.recorded([refused], "durable", 0.001)
    known = Assured({"flood": 2.5}, {"flood": 1.0}, {"flood": False}, None, 0.875, 1.0)

    found = numbers(metrics, assured=known)

    assert found["wardline_answers_total", ("deny",)] == 1
    assert found["wardline_time_to_detect_seconds", ("flood",)] == 2.5
    assert found["wardline_time_to_mitigate_seconds", ("flood",)] == 1.0
    assert found["wardline_drill_worked", ("flood",)] == 0
    assert found["wardline_evidence_completeness", ()] == 0.875
    assert found["wardline_mitigation_closure", ()] == 1.0
    assert math.isnan(found["wardline_false_positive_rate", ()])
    gone = numbers(metrics, assured=Assured())
    assert ("wardline_drill_worked", ("flood",)) not in gone
    assert math.isnan(gone["wardline_evidence_completeness", ()])


async def test_the_budget_that_is_nearest_to_its_end_is_told() -> None:
    @tool(effect="read", impact="low")
    async def look() -> str:
        """Looks."""
        return "seen"

    async with memory_broker([look]) as broker:
        assert await highest_share(broker) == 0
        async with (
            open_session(broker, user="a", budgets={"calls": 4}) as session,
            open_session(broker, user="b"),
        ):
            assert isinstance(await broker.call(session, ToolCall("look", {})), Completed)
            share = await highest_share(broker)
        assert await highest_share(broker) == 0
    assert share == 0.25
    assert numbers(Metrics([]), budget=share)["wardline_budget_used_ratio", ()] == 0.25
