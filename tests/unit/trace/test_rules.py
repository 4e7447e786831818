"""The state machine of runs and calls: which stories may happen, and which are findings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from permissions.trace.decoded import DecodedEntry
from permissions.trace.rules import Story

Step = tuple[str, str | None, dict[str, Any]]


def told(steps: list[Step]) -> tuple[Story, list[str]]:
    story, findings = Story(), []
    for index, (kind, call, body) in enumerate([("log.open", None, {}), *steps]):
        in_run = not kind.startswith("log.") and kind != "config"
        run = "r" if in_run else None
        entry = DecodedEntry(body, call, {}, index, run, index, kind, 2)
        findings.extend(story.observe(entry))
    return story, findings


def of_log(kind: str, time: int) -> DecodedEntry:
    """An entry of the log's own."""
    return DecodedEntry({}, None, {}, 0, None, time, kind, 2)


START: Step = ("run.start", None, {})
RESUMED: Step = ("run.start", None, {"resumed": True})
INTENT: Step = ("intent", "c", {})
PERMIT: Step = ("decision", "c", {"permitted": True})
REFUSAL: Step = ("decision", "c", {"permitted": False})
REQUEST: Step = ("request", "c", {"request": "q"})
APPROVAL: Step = ("approval", "c", {"request": "q"})
BEGUN: Step = ("start", "c", {"request": None})
BEGUN_APPROVED: Step = ("start", "c", {"request": "q"})
KEYED: Step = ("intent", "c", {"key": "tag-k", "args": "tag-a"})
SAME: Step = ("start", "c", {"request": None, "args": "tag-a"})
OTHER: Step = ("intent", "c", {"args": "tag-a"})
EFFECT: Step = ("effect", "c", {})
DONE: Step = ("outcome", "c", {})
CHANGES: Step = ("effect", "c", {"kind": "changes", "change_set": "tag-d"})
COMMITTED: Step = ("effect", "c", {"kind": "fate", "change_set": "tag-d", "fate": "committed"})
DISCARDED: Step = ("effect", "c", {"kind": "fate", "change_set": "tag-d", "fate": "discarded"})
MAY_COMMIT: Step = ("decision", "c", {"action": "effects/commit", "permitted": True})
MAY_NOT_COMMIT: Step = ("decision", "c", {"action": "effects/commit", "permitted": False})
SEEN: list[Step] = [
    MAY_NOT_COMMIT,
    ("request", "c", {"request": "e"}),
    ("approval", "c", {"request": "e"}),
    MAY_COMMIT,
]
COMMITTED_SEEN: Step = (COMMITTED[0], "c", {**COMMITTED[2], "request": "e"})
DENIED: Step = ("denied", "c", {})
GAP: Step = ("gap", "c", {})


MADE = {"kind": "connection", "permitted": True}


def reaching(number: int, *, permitted: bool = True) -> Step:
    body = {"action": "egress/connect", "connection": number, "permitted": permitted}
    return "decision", "c", body


def made(number: int | None, *, permitted: bool = True) -> Step:
    return "effect", "c", {**MADE, "connection": number, "permitted": permitted}


def end(calls: int) -> Step:
    return ("run.end", None, {"calls": calls})


def other(step: Step) -> Step:
    return (step[0], "d", step[2])


@dataclass(frozen=True)
class Case:
    id: str
    steps: list[Step]
    finds: list[str] = field(default_factory=list)


CASES = [
    Case("permitted", [START, INTENT, PERMIT, BEGUN, DONE, end(1)]),
    Case("with effects", [START, INTENT, PERMIT, BEGUN, EFFECT, EFFECT, DONE, end(1)]),
    Case("denied", [START, INTENT, REFUSAL, DENIED, end(0)]),
    Case("denied before any decision", [START, INTENT, DENIED, end(0)]),
    Case(
        "approved",
        [START, INTENT, REFUSAL, REQUEST, APPROVAL, PERMIT, BEGUN_APPROVED, DONE, end(1)],
    ),
    Case(
        "committed",
        [START, INTENT, PERMIT, BEGUN, CHANGES, MAY_COMMIT, COMMITTED, DONE, end(1)],
    ),
    Case(
        "committed by a person's word",
        [START, INTENT, PERMIT, BEGUN, CHANGES, *SEEN, COMMITTED_SEEN, DONE, end(1)],
    ),
    Case("discarded unasked", [START, INTENT, PERMIT, BEGUN, CHANGES, DISCARDED, DONE, end(1)]),
    Case(
        "a fate nobody knows", [START, INTENT, PERMIT, BEGUN, CHANGES, MAY_COMMIT, GAP, end(1)]
    ),
    Case(
        "committed on the permit of the call",
        [START, INTENT, PERMIT, BEGUN, CHANGES, COMMITTED, DONE],
        ["committed without a permit"],
    ),
    Case(
        "committed against a denial",
        [START, INTENT, PERMIT, BEGUN, CHANGES, MAY_NOT_COMMIT, COMMITTED, DONE],
        ["committed without a permit"],
    ),
    Case(
        "committed with no change set",
        [START, INTENT, PERMIT, BEGUN, COMMITTED, DONE],
        ["another change set than its own", "committed without a permit"],
    ),
    Case(
        "another change set committed",
        [
            *[START, INTENT, PERMIT, BEGUN, CHANGES, MAY_COMMIT],
            ("effect", "c", {"kind": "fate", "change_set": "tag-e", "fate": "committed"}),
            DONE,
        ],
        ["another change set than its own"],
    ),
    Case(
        "two change sets",
        [START, INTENT, PERMIT, BEGUN, CHANGES, CHANGES, DISCARDED, DONE],
        ["second change set"],
    ),
    Case(
        "no fate",
        [START, INTENT, PERMIT, BEGUN, CHANGES, MAY_COMMIT, DONE],
        ["nothing says what became of its change set"],
    ),
    Case(
        "decided after its fate",
        [START, INTENT, PERMIT, BEGUN, CHANGES, DISCARDED, MAY_COMMIT, DONE],
        ["not recorded, or ended"],
    ),
    Case(
        "the call decided again over its change set",
        [START, INTENT, PERMIT, BEGUN, CHANGES, PERMIT, COMMITTED, DONE],
        ["after its start", "committed without a permit"],
    ),
    Case(
        "a connection while its changes are held",
        [
            *[START, INTENT, PERMIT, BEGUN, CHANGES, MAY_NOT_COMMIT],
            ("decision", "c", {"action": "egress/connect", "permitted": True, "connection": 1}),
            *[COMMITTED, DONE],
        ],
        ["committed without a permit"],
    ),
    Case(
        "denied over its change set",
        [START, INTENT, PERMIT, BEGUN, CHANGES, DENIED],
        ["after its start"],
    ),
    Case(
        "committed on the approval of the call",
        [
            *[START, INTENT, REFUSAL, REQUEST, APPROVAL, PERMIT, BEGUN_APPROVED, CHANGES],
            *[MAY_COMMIT, (COMMITTED[0], "c", {**COMMITTED[2], "request": "q"}), DONE],
        ],
        ["not recorded with it", "uses the approval of the entry at 7 again"],
    ),
    Case("gap", [START, INTENT, PERMIT, BEGUN, GAP, end(1)]),
    Case("no call", [START, end(0)]),
    Case("closed and opened", [("log.close", None, {}), ("log.open", None, {}), START, end(0)]),
    Case("a later type", [START, ("effect.seen", "c", {}), end(0)]),
    Case("not permitted", [START, INTENT, REFUSAL, BEGUN, DONE], ["without a permit"]),
    Case("never decided", [START, INTENT, BEGUN, DONE], ["without a permit"]),
    Case(
        "permit taken back",
        [START, INTENT, PERMIT, REFUSAL, BEGUN, DONE],
        ["without a permit"],
    ),
    Case(
        "connections",
        [
            *[START, INTENT, PERMIT, BEGUN, reaching(1), reaching(2, permitted=False)],
            *[made(1), made(None, permitted=False), made(2, permitted=False), DONE, end(1)],
        ],
    ),
    Case(
        "connections of an earlier version",
        [START, INTENT, PERMIT, BEGUN, ("effect", "c", MADE), DONE, end(1)],
    ),
    Case(
        "a connection nobody decided",
        [START, INTENT, PERMIT, BEGUN, made(None), DONE],
        ["connection without a permit"],
    ),
    Case(
        "a connection with an odd number",
        [START, INTENT, PERMIT, BEGUN, reaching([1]), made([1]), made("1"), DONE],  # type: ignore[arg-type]
        ["connection without a permit", "connection without a permit"],
    ),
    Case(
        "a connection that was refused",
        [START, INTENT, PERMIT, BEGUN, reaching(1, permitted=False), made(1), DONE],
        ["connection without a permit"],
    ),
    Case(
        "one permit, two connections",
        [START, INTENT, PERMIT, BEGUN, reaching(1), made(1), made(1), DONE],
        ["connection without a permit"],
    ),
    Case(
        "the permit of a connection starts nothing",
        [START, INTENT, reaching(1), BEGUN, DONE],
        ["about egress/connect of call 'c' before its start", "without a permit"],
    ),
    Case("no intent", [START, PERMIT], ["without an intent"]),
    Case("two intents", [START, INTENT, INTENT], ["second intent"]),
    Case("after its end", [START, INTENT, DENIED, PERMIT], ["after its end"]),
    Case("intent after its end", [START, INTENT, DENIED, INTENT], ["second intent"]),
    Case("two outcomes", [START, INTENT, PERMIT, BEGUN, DONE, DONE], ["after its end"]),
    Case("outcome without start", [START, INTENT, PERMIT, DONE], ["never started"]),
    Case("effect without start", [START, INTENT, PERMIT, EFFECT], ["never started"]),
    Case("two starts", [START, INTENT, PERMIT, BEGUN, BEGUN], ["after its start"]),
    Case("denied after start", [START, INTENT, PERMIT, BEGUN, DENIED], ["after its start"]),
    Case("decided after start", [START, INTENT, PERMIT, BEGUN, PERMIT], ["after its start"]),
    Case("approval unasked", [START, INTENT, APPROVAL], ["something else than it asked"]),
    Case(
        "approval of another request",
        [START, INTENT, REQUEST, ("approval", "c", {"request": "other"})],
        ["something else than it asked"],
    ),
    Case(
        "start on an approval that is not there",
        [START, INTENT, PERMIT, BEGUN_APPROVED],
        ["not recorded with it"],
    ),
    Case(
        "one approval, two calls",
        [
            START,
            *[INTENT, REQUEST, APPROVAL, PERMIT, BEGUN_APPROVED, DONE],
            *map(other, [INTENT, REQUEST, APPROVAL, PERMIT, BEGUN_APPROVED, DONE]),
        ],
        ["call 'd' uses the approval of the entry at 6 again"],
    ),
    Case(
        "one approval, two calls of a run that ended in between",
        [
            *[START, INTENT, REQUEST, APPROVAL, PERMIT, BEGUN_APPROVED, DONE, end(1), RESUMED],
            *map(other, [INTENT, REQUEST, APPROVAL, PERMIT, BEGUN_APPROVED, DONE]),
            end(2),
        ],
        ["call 'd' uses the approval of the entry at 6 again"],
    ),
    Case(
        "one approval, two calls under two writers",
        [
            *[START, INTENT, REQUEST, APPROVAL, PERMIT, BEGUN_APPROVED, GAP, end(1)],
            *[("log.close", None, {}), ("log.open", None, {}), RESUMED],
            *map(other, [INTENT, REQUEST, APPROVAL, PERMIT, BEGUN_APPROVED, DONE]),
        ],
        ["call 'd' uses the approval of the entry at 6 again"],
    ),
    Case(
        "one key, two starts",
        [START, KEYED, PERMIT, SAME, DONE, *map(other, [KEYED, PERMIT, SAME, DONE])],
        ["call 'd' has the key, tool and arguments of the start at 4"],
    ),
    Case(
        "one key, two starts, one unknown end",
        [START, KEYED, PERMIT, SAME, GAP, *map(other, [KEYED, PERMIT, SAME, DONE])],
    ),
    Case(
        "no key, two starts",
        [START, OTHER, PERMIT, SAME, DONE, *map(other, [OTHER, PERMIT, SAME, DONE])],
    ),
    Case("outside any run", [INTENT], ["outside any run"]),
    Case("run twice", [START, START], ["started twice"]),
    Case("run resumed by the next writer", [START, ("log.open", None, {}), START]),
    Case(
        "run resumed with its calls",
        [
            *[START, INTENT, PERMIT, BEGUN, DONE, ("log.open", None, {}), RESUMED],
            *map(other, [INTENT, PERMIT, BEGUN, DONE]),
            end(2),
        ],
    ),
    Case(
        "run resumed after its end",
        [
            *[START, INTENT, PERMIT, BEGUN, DONE, end(1), RESUMED],
            *map(other, [INTENT, PERMIT, BEGUN, DONE]),
            end(2),
        ],
    ),
    Case("run begun anew under its old name", [START, end(0), START, end(0)]),
    Case("end without start", [end(0)], ["outside any run"]),
    Case("ended with an open call", [START, INTENT, end(0)], ["was open"]),
    Case("wrong count", [START, end(3)], ["says it started 3 calls; 0 are recorded"]),
    Case("call of nobody", [START, ("intent", None, {})], ["names no run or no call"]),
    Case("after close", [("log.close", None, {}), START], ["after log.close"]),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_story(case: Case):
    _, findings = told(case.steps)

    assert len(findings) == len(case.finds), findings
    for finding, expected in zip(findings, case.finds, strict=True):
        assert expected in finding


def test_open_calls_are_those_without_an_end():
    story, _ = told([START, INTENT, PERMIT, BEGUN, other(INTENT), other(DENIED)])

    [call] = story.open_calls
    assert (call.call, call.last, call.since, call.started) == ("c", "start", 2, True)
    assert story.open_runs == ("r",)


def test_a_clock_that_jumps_back_is_a_finding():
    story = Story()

    assert not list(story.observe(of_log("log.open", 10_000_000)))
    assert not list(story.observe(of_log("log.open", 9_500_000)))
    assert list(story.observe(of_log("log.open", 8_000_000))) == [
        "the clock went back by 2000000 us"
    ]
    assert not list(story.observe(of_log("log.open", 8_000_001)))
    assert not list(story.observe(of_log("log.open", 11_000_000)))


def test_a_clock_that_walks_back_in_small_steps_is_a_finding():
    story = Story()

    said = [
        text
        for step in range(10)
        for text in story.observe(of_log("log.open", 100_000_000 - step * 900_000))
    ]

    assert len(said) == 4
    assert said[0] == "the clock went back by 1800000 us"


def test_nothing_may_precede_the_opening():
    story = Story()

    assert list(story.observe(of_log("config", 0))) == ["config before log.open"]


LATE = [
    Case("asked for after the end", [START, end(0), INTENT, DENIED], []),
    Case(
        "twice", [START, end(0), INTENT, DENIED, ("intent", "d", {}), ("denied", "d", {})], []
    ),
    Case("and the run goes on", [START, end(0), INTENT, RESUMED, DENIED, end(0)], []),
    Case("cut off by a crash", [START, end(0), INTENT, ("log.open", None, {}), GAP], []),
    Case(
        "started after the end",
        [START, end(0), INTENT, PERMIT, BEGUN, DONE],
        ["start of call 'c' after the end"],
    ),
    Case(
        "still running at the end",
        [START, INTENT, PERMIT, BEGUN, end(1), DONE],
        ["ended while its call 'c' was open"],
    ),
]


@pytest.mark.parametrize("case", LATE, ids=lambda case: case.id)
def test_a_call_after_the_end_opens_no_run_again(case: Case):
    story, findings = told(case.steps)

    assert len(findings) == len(case.finds), findings
    assert all(said in found for said, found in zip(case.finds, findings, strict=True))
    assert story.open_runs == ()
    assert story.open_calls == ()
