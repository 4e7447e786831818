"""What Prometheus is told of a daemon: what it decided, how fast, and what it waits for.

Counted from the entries of the trace as they are recorded, so that a graph and the record say
the same. No label holds what a caller, a tool or a person wrote: tools and rules are those of
the registry and the policies, and of more than `MOST_VALUES` of a label the rest is `other`.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict, defaultdict
from typing import TYPE_CHECKING, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)

from permissions.vocabulary import ISOLATION_ORDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.approval.model import AccessRequest
    from permissions.inquiry.assured import Assured
    from permissions.trace.entry import TraceEntry
    from permissions.vocabulary import Barrier

_Value = TypeVar("_Value", str, float)

MOST_VALUES = 200
"""Different values of one label."""
_REMEMBERED = 10_000
"""Access requests whose waiting time is measured."""
_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_LONG = (0.01, 0.1, 0.5, 1, 5, 15, 60, 300)
_HUMAN = (5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
_ASSURED = {
    "false_positive_rate": "Honest calls that were held up, in the last evaluation.",
    "evidence_completeness": "Parts of the gate that were measured under these policies.",
    "mitigation_closure": "Risks of the register that are mitigated, accepted or closed.",
}
"""Shares; NaN for what was not measured."""
_DRILLS = {
    "time_to_detect_seconds": "From an incident to its detection, in the last drill.",
    "time_to_mitigate_seconds": "From its detection until it was stopped, in the last drill.",
    "drill_worked": "Whether each step of the runbook worked, in the last drill.",
}
_QUESTIONS = frozenset({"admit", "complete", "settle", "explain", "possible"})


class Metrics:
    """The numbers of one daemon; a `Meter`.

    Args:
        tools: names of the tools it knows; any other is `unknown`.
    """

    def __init__(self, tools: Sequence[str]) -> None:
        self._tools = frozenset(tools)
        self._values: defaultdict[str, set[str]] = defaultdict(set)
        self._asked: OrderedDict[str, float] = OrderedDict()
        self._called: OrderedDict[str, str] = OrderedDict()
        self._boundaries: OrderedDict[str, str] = OrderedDict()
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._build = Info("wardline_build", "Version and policies.", registry=registry)
        self._decisions = Counter(
            "wardline_decisions",
            "Answers of the decision point.",
            ("action", "verdict"),
            registry=registry,
        )
        self._rules = Counter(
            "wardline_rules",
            "Decisions by rule that fired.",
            ("rule", "verdict"),
            registry=registry,
        )
        self._denials = Counter(
            "wardline_denials",
            "Calls that ended without running, by reason.",
            ("code",),
            registry=registry,
        )
        self._calls = Counter(
            "wardline_calls", "Calls that ended, by how.", ("tool", "ended"), registry=registry
        )
        self._starts = Counter(
            "wardline_starts",
            "Calls that began to run, by boundary.",
            ("isolation",),
            registry=registry,
        )
        for level in ISOLATION_ORDER:
            self._starts.labels(level)
        self._ran = Histogram(
            "wardline_run_seconds",
            "From a call's start to its outcome.",
            ("isolation",),
            buckets=_LONG,
            registry=registry,
        )
        self._questions = Histogram(
            "wardline_question_seconds",
            "From a client's question to its answer, waiting for people included.",
            ("do",),
            buckets=(*_FAST, 60, 600),
            registry=registry,
        )
        self._appends = Histogram(
            "wardline_trace_append_seconds",
            "To record entries.",
            ("barrier",),
            buckets=_FAST,
            registry=registry,
        )
        self._failures = Counter(
            "wardline_trace_failures", "Entries that could not be recorded.", registry=registry
        )
        self._unsynced = Gauge(
            "wardline_trace_unsynced_entries",
            "Recorded and not yet on stable storage.",
            registry=registry,
        )
        self._pending = Gauge(
            "wardline_approvals_pending",
            "Access requests that wait for people.",
            registry=registry,
        )
        self._oldest = Gauge(
            "wardline_approval_oldest_seconds",
            "Since the oldest of them was made.",
            registry=registry,
        )
        self._answers = Counter(
            "wardline_answers",
            "What people said to access requests.",
            ("verdict",),
            registry=registry,
        )
        for verdict in ("approve", "deny", "edit"):
            self._answers.labels(verdict)
        self._waited = Histogram(
            "wardline_approval_wait_seconds",
            "From a request to its approval.",
            buckets=_HUMAN,
            registry=registry,
        )
        self._sessions = Gauge("wardline_sessions", "Open sessions.", registry=registry)
        self._assured = {
            name: Gauge(f"wardline_{name}", said, registry=registry)
            for name, said in _ASSURED.items()
        }
        self._drills = {
            name: Gauge(f"wardline_{name}", said, ("drill",), registry=registry)
            for name, said in _DRILLS.items()
        }
        self._budget = Gauge(
            "wardline_budget_used_ratio",
            "Of the budget that is used most, of all open sessions.",
            registry=registry,
        )
        self._ready = Gauge(
            "wardline_ready", "Whether new sessions are taken.", registry=registry
        )

    def answered(self, do: str, seconds: float) -> None:
        """See `Meter`."""
        self._questions.labels(do if do in _QUESTIONS else "other").observe(seconds)

    def recorded(self, entries: Sequence[TraceEntry], barrier: Barrier, seconds: float) -> None:
        """Entries were recorded, in that time."""
        self._appends.labels(barrier).observe(seconds)
        for entry in entries:
            self._count(entry)

    def failed(self, entries: Sequence[TraceEntry]) -> None:
        """Entries could not be recorded."""
        self._failures.inc(len(entries))

    def text(
        self,
        *,
        pending: Sequence[AccessRequest],
        now: int,
        unsynced: int,
        sessions: int,
        ready: bool,
        policy: str,
        version: str,
        assured: Assured,
        budget: float,
    ) -> bytes:
        """All of it in Prometheus' text format.

        Args:
            pending: requests that wait for people.
            now: microseconds since 1970 UTC.
            unsynced: entries that are recorded and not yet on stable storage.
            sessions: open ones.
            ready: whether new ones are taken.
            policy, version: revision of the policies in force, and of the program.
            assured: figures of what was gathered.
            budget: the highest share that an open session used of one of its budgets.
        """
        self._budget.set(budget)
        self._pending.set(len(pending))
        since = min((each.created_at for each in pending), default=now)
        self._oldest.set(max(0, now - since) / 1e6)
        self._unsynced.set(unsynced)
        self._sessions.set(sessions)
        self._ready.set(ready)
        self._build.info({"version": version, "policy": policy})
        self._tell_assured(assured)
        return generate_latest(self.registry)

    def _tell_assured(self, found: Assured) -> None:
        for name, share in (
            ("false_positive_rate", found.false_positives),
            ("evidence_completeness", found.completeness),
            ("mitigation_closure", found.closure),
        ):
            self._assured[name].set(math.nan if share is None else share)
        for name, values in (
            ("time_to_detect_seconds", found.detect),
            ("time_to_mitigate_seconds", found.mitigate),
            ("drill_worked", found.worked),
        ):
            self._drills[name].clear()
            for drill, value in values.items():
                self._drills[name].labels(self._bounded("drill", drill)).set(value)

    def _count(self, entry: TraceEntry) -> None:
        body = entry.body
        for answer in body.get("answers", ()):
            self._answers.labels(self._bounded("answer", answer["verdict"])).inc()
        match entry.type:
            case "intent":
                tool = body.get("tool")
                known = str(tool) if tool in self._tools else "unknown"
                self._remember(self._called, entry.call or "", known)
            case "decision":
                self._decided(entry)
            case "request":
                self._remember(self._asked, body["request"], time.monotonic())
            case "approval":
                self._answers.labels("approve").inc(len(body["approvers"]))
                since = self._asked.pop(body["request"], None)
                if since is not None:
                    self._waited.observe(time.monotonic() - since)
            case "start":
                self._starts.labels(body["isolation"]).inc()
                self._remember(self._boundaries, entry.call or "", body["isolation"])
            case "denied" | "outcome" | "gap":
                self._ended(entry)
            case _:
                pass

    def _decided(self, entry: TraceEntry) -> None:
        body = entry.body
        verdict = "allow" if body["permitted"] else "ask" if body["requestable"] else "deny"
        self._decisions.labels(self._bounded("action", body["action"]), verdict).inc()
        for rule in body["rules"]:
            self._rules.labels(self._bounded("rule", rule), verdict).inc()

    def _ended(self, entry: TraceEntry) -> None:
        body, call = entry.body, entry.call or ""
        tool, boundary = self._called.pop(call, "unknown"), self._boundaries.pop(call, "none")
        if entry.type == "outcome":
            self._ran.labels(boundary).observe(body["duration_us"] / 1e6)
        elif entry.type == "denied":
            self._denials.labels(self._bounded("code", body["codes"][0])).inc()
        how = {"denied": body.get("kind"), "outcome": body.get("status")}.get(entry.type)
        self._calls.labels(tool, self._bounded("ended", how or "in_doubt")).inc()

    def _bounded(self, label: str, value: str) -> str:
        known = self._values[label]
        if value not in known:
            if len(known) >= MOST_VALUES:
                return "other"
            known.add(value)
        return value

    @staticmethod
    def _remember(where: OrderedDict[str, _Value], key: str, value: _Value) -> None:
        where.setdefault(key, value)
        while len(where) > _REMEMBERED:
            where.popitem(last=False)
