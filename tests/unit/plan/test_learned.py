"""A plan out of good runs: what they share is pinned, and nothing untrusted is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from permissions.errors import PlanError
from permissions.plan.learned import Learned, RecordedCall, learned_plan
from permissions.plan.verifier import verify_plan
from permissions.tools.decorator import tool
from permissions.tools.registry import ToolRegistry

if TYPE_CHECKING:
    from permissions.vocabulary import JsonObject


def leaf(origin: str, call: str | None = None, *, trusted: bool = True) -> JsonObject:
    source = (
        None if call is None else {"call": call, "entry": 1, "pointer": "/0/id", "cut": None}
    )
    return {"origin": origin, "trusted": trusted, "from": source}


def run(number: int, to: str, note: str = "hi", *, sends: int = 1) -> list[RecordedCall]:
    found = RecordedCall(f"f{number}", "find", "read", {"name": to}, {}, frozenset())
    log = RecordedCall(f"l{number}", "look", "read", {}, {}, frozenset())
    origins = {
        "/to": leaf("tool", f"f{number}"),
        "/via": leaf("user"),
        "/note": leaf("unknown", trusted=False),
    }
    send = RecordedCall(
        f"s{number}",
        "send",
        "send",
        {"to": to, "via": "mail", "note": note},
        origins,
        frozenset({"to", "via"}),
    )
    return [found, log, *[send] * sends]


def learn(*runs: list[RecordedCall]) -> Learned:
    return learned_plan(runs, goal="g", subject="agent:a", behalf=None, now=5)


@tool(effect="read", trusted_fields=["id"])
def find(name: str) -> list[dict[str, Any]]:
    return []


@tool(effect="read")
def look() -> str:
    return ""


@tool(effect="send", control=["to", "via"])
def send(to: str, via: str, note: str) -> None: ...


TOOLS = {each.name: each for each in ToolRegistry([find, look, send])}


def test_what_runs_share_is_pinned_and_what_fed_them_is_referred_to() -> None:
    learned = learn(run(1, "u1"), run(2, "u2", sends=3))

    steps = {step["id"]: step for step in learned.plan.document()["steps"]}
    assert sorted(steps) == ["find", "send"]
    assert learned.plan.read_scope == ("look",)
    assert steps["send"]["uses"] == 3
    assert steps["send"]["needs"] == ["find"]
    arguments = steps["send"]["arguments"]
    assert arguments["via"] == {"literal": "mail"}
    assert (arguments["to"]["step"], arguments["to"]["any"]) == ("find", True)
    assert arguments["note"]["kind"] == "free_text"
    assert learned.notes == ()


def test_a_learned_plan_is_verified_like_any_other() -> None:
    verdict = verify_plan(learn(run(1, "u1"), run(2, "u2")).plan, TOOLS, now=6)

    assert verdict.accepted, verdict.problems


def test_one_run_pins_nothing() -> None:
    (_, sending) = learn(run(1, "u1")).plan.document()["steps"]

    assert sending["arguments"]["via"]["hole"] == {"type": ["string"]}


def test_an_untrusted_value_is_told_and_never_learned() -> None:
    call = run(1, "eve")[2]._replace(provenance={"/to": leaf("tool", "f1", trusted=False)})
    learned = learn([call], [call])

    (sending,) = learned.plan.document()["steps"]
    assert sending["arguments"]["to"]["hole"] == {"type": ["string"]}
    assert "untrusted" not in sending["arguments"]["to"]["sources"]
    assert learned.notes == ("send: to was tool; left open",)


def test_runs_that_only_read_are_no_plan() -> None:
    with pytest.raises(PlanError):
        learn(run(1, "u1")[:2])
