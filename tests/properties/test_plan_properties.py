"""What holds for every plan: no deadlock, no use too many, no pinned value changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st
from json_values import SAFE_SCALARS, json_values

from permissions.errors import PlanError
from permissions.model import (
    Digest,
    Effect,
    Impact,
    JsonObject,
)
from permissions.plan.cursor import PlanCursor
from permissions.plan.model import (
    LiteralValue,
    Plan,
    Reference,
    parse_plan,
    plan_from,
)
from permissions.plan.steps import run_order
from permissions.plan.verifier import verify_plan
from permissions.tools.trusted_fields import NO_FIELDS, TrustedFields

NOW = 1_000_000
TOOLS = ("alpha", "beta", "gamma")
DIGEST = Digest("sha256:relay")


@dataclass(frozen=True)
class Relay:
    """A tool that takes anything and returns an object; the smallest manifest there is."""

    name: str
    effect: Effect = "read"
    impact: Impact = "low"
    output: Literal["trusted", "untrusted"] = "untrusted"
    trusted_fields: TrustedFields = NO_FIELDS
    control: frozenset[str] = frozenset()
    output_schema: JsonObject | None = None
    digest: Digest = DIGEST

    @property
    def schema(self) -> JsonObject:
        return {"type": "object", "properties": {name: {} for name in "abc"}}


MANIFEST = {name: Relay(name) for name in TOOLS}

JSON = json_values(SAFE_SCALARS, leaves=5)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Acyclic by construction: a step needs only earlier ones; then the steps are shuffled."""
    count = draw(st.integers(1, 8))
    steps: list[JsonObject] = []
    for index in range(count):
        earlier = st.sets(st.sampled_from(range(index))) if index else st.just(set[int]())
        needs = draw(earlier)
        arguments: JsonObject = {}
        for name in draw(st.sets(st.sampled_from("abc"))):
            if draw(st.booleans()) and needs:
                source = draw(st.sampled_from(sorted(needs)))
                pointer = draw(st.sampled_from(["", "/out", "/list/0"]))
                arguments[name] = {"step": f"s{source}", "pointer": pointer}
            else:
                key = draw(st.sampled_from(["literal", "user"]))
                arguments[name] = {key: draw(JSON)}
        steps.append(
            {
                "id": f"s{index}",
                "tool": draw(st.sampled_from(TOOLS)),
                "uses": draw(st.integers(1, 3)),
                "needs": [f"s{need}" for need in sorted(needs)],
                "arguments": arguments,
            }
        )
    return plan_from(
        {
            "id": "p",
            "goal": "",
            "subject": "agent:a",
            "budget": {"calls": 100},
            "expires_at": NOW + 1,
            "steps": draw(st.permutations(steps)),
        }
    )


def begin(plan: Plan) -> PlanCursor:
    verdict = verify_plan(plan, MANIFEST, now=NOW)
    assert verdict.accepted, verdict.problems
    return PlanCursor.start(plan, MANIFEST, verdict)


def output_of(step: str) -> JsonObject:
    return {"out": f"{step}-out", "list": [f"{step}-first"]}


def fitting(plan: Plan, step_id: str) -> tuple[str, JsonObject]:
    """The call a faithful agent makes for a step."""
    step = next(step for step in plan.steps if step.id == step_id)
    given: dict[str, Any] = {}
    for name, argument in step.arguments.items():
        match argument:
            case LiteralValue(literal=value):
                given[name] = value
            case Reference(step=source, pointer=pointer):
                output = output_of(source)
                fields = {"": output, "/out": output["out"], "/list/0": output["list"][0]}
                given[name] = fields[pointer]
            case _:
                given[name] = argument.user  # type: ignore[union-attr] # no holes are drawn
    return step.tool, given


def ask(cursor: PlanCursor, tool: str, arguments: JsonObject) -> Any:
    return cursor.match(
        tool, arguments, tool_digest=MANIFEST[tool].digest, now=NOW, provenance={}
    )


@given(plans(), st.data())
def test_verified_plan_never_deadlocks(plan: Plan, data: st.DataObject) -> None:
    """As long as uses are left, some step can run, whichever ran before."""
    cursor = begin(plan)

    for number in range(sum(step.uses for step in plan.steps)):
        answers = [ask(cursor, *fitting(plan, step.id)) for step in plan.steps]
        enabled = [found for found in answers if found.verdict == "matched"]
        assert enabled, [found.detail for found in answers]
        found = data.draw(st.sampled_from(enabled))
        call = f"c{number}"
        cursor = cursor.reserve(found, call=call).complete(call, output_of(found.step))

    for step in plan.steps:
        assert ask(cursor, *fitting(plan, step.id)).verdict == "exhausted"


@given(plans(), st.data())
def test_no_interleaving_grants_a_use_too_many(plan: Plan, data: st.DataObject) -> None:
    """Calls match, race for uses, finish, fail and give back in any order."""
    cursor = begin(plan)
    declared = {step.id: step.uses for step in plan.steps}
    started: Counter[str] = Counter()
    holding: dict[str, str] = {}
    stale: list[Any] = []

    for number in range(data.draw(st.integers(0, 40))):
        action = data.draw(st.sampled_from(["match", "reserve", "complete", "fail", "release"]))
        if action == "match":
            step = data.draw(st.sampled_from(sorted(declared)))
            stale.append(ask(cursor, *fitting(plan, step)))
        elif action == "reserve" and stale:
            match = data.draw(st.sampled_from(stale))
            try:
                cursor = cursor.reserve(match, call=f"c{number}")
            except PlanError:
                continue
            holding[f"c{number}"] = match.step
            started[match.step] += 1
        elif holding:
            call = data.draw(st.sampled_from(sorted(holding)))
            step = holding.pop(call)
            if action == "complete":
                cursor = cursor.complete(call, output_of(step))
            elif action == "fail":
                cursor = cursor.fail(call)
            else:
                cursor = cursor.release(call)
                started[step] -= 1
        assert all(started[step] <= uses for step, uses in declared.items())
        for step, uses in declared.items():
            found = ask(cursor, *fitting(plan, step))
            assert (found.verdict == "exhausted") <= (started[step] == uses)
            # A call that fits two steps takes the one that has a use left.
            if found.verdict == "matched":
                assert started[found.step] < declared[found.step]
        assert cursor.in_flight == holding.keys()


@given(plans(), st.data())
def test_no_step_runs_before_its_needs(plan: Plan, data: st.DataObject) -> None:
    """Whatever was completed, a match's needs were completed before."""
    cursor = begin(plan)
    needs = {step.id: set(step.needs) for step in plan.steps}
    completed: set[str] = set()

    for number in range(data.draw(st.integers(0, 20))):
        found = ask(cursor, *fitting(plan, data.draw(st.sampled_from(sorted(needs)))))
        if found.verdict != "matched":
            continue
        assert needs[found.step] <= completed
        cursor = cursor.reserve(found, call=f"c{number}")
        if data.draw(st.booleans()):
            cursor = cursor.complete(f"c{number}", output_of(found.step))
            completed.add(found.step)


@given(plans(), st.data())
def test_changed_pinned_argument_is_never_matched(plan: Plan, data: st.DataObject) -> None:
    """Any other JSON value in a pinned argument, and the step does not take the call."""
    cursor = begin(plan)
    for number, step in enumerate(run_order(plan) or ()):
        tool, given_arguments = fitting(plan, step.id)
        for name in given_arguments:
            changed = data.draw(JSON)
            if same_json(changed, given_arguments[name]):
                continue
            found = ask(cursor, tool, {**given_arguments, name: changed})
            assert (found.verdict, found.step) != ("matched", step.id)
        found = ask(cursor, tool, given_arguments)
        if found.verdict == "matched":
            call = f"c{number}"
            cursor = cursor.reserve(found, call=call).complete(call, output_of(found.step))


@given(plans(), st.data())
def test_circle_is_always_found(plan: Plan, data: st.DataObject) -> None:
    """Close any chain of needs into a ring, and the plan is refused."""
    document = plan.document()
    steps = {step["id"]: step for step in document["steps"]}
    ring = data.draw(st.lists(st.sampled_from(sorted(steps)), min_size=1, unique=True))
    for one, other in zip(ring, [*ring[1:], ring[0]], strict=True):
        steps[one]["needs"] = [*steps[one]["needs"], other]

    verdict = verify_plan(plan_from(document), MANIFEST, now=NOW)

    assert "plan.cycle" in {problem.code for problem in verdict.problems}


@given(plans())
def test_payload_keeps_the_plan_and_its_name(plan: Plan) -> None:
    again = parse_plan(plan.payload())

    assert (again, again.digest) == (plan, plan.digest)


def same_json(one: Any, other: Any) -> bool:
    """Equality of JSON, where true is not 1 (it is in Python)."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[k], other[k]) for k in one)
    return bool(one == other)


@given(plans(), st.data())
def test_an_amendment_gives_no_use_back(plan: Plan, data: st.DataObject) -> None:
    """Whatever schedule of calls and amendments there is, an unchanged step has its uses once."""
    cursor, ran = begin(plan), Counter[str]()
    for number in range(data.draw(st.integers(1, 12))):
        if data.draw(st.booleans()):
            kept = data.draw(st.sets(st.sampled_from([step.id for step in plan.steps])))
            others = [step for step in plan.document()["steps"] if step["id"] in kept]
            changed = [{**step, "id": step["id"] + "x"} for step in others]
            document = {**plan.document(), "steps": [*plan.document()["steps"], *changed]}
            amended = plan_from(document)
            verdict = verify_plan(amended, MANIFEST, now=NOW)
            if verdict.accepted:
                cursor = cursor.amended(amended, MANIFEST, verdict)
            continue
        tool, given_ = fitting(plan, data.draw(st.sampled_from(plan.steps)).id)
        match = ask(cursor, tool, given_)
        if match.verdict == "matched":
            cursor = cursor.reserve(match, call=f"c{number}")
            ran[match.step] += 1
            if data.draw(st.booleans()):
                cursor = cursor.complete(f"c{number}", output_of(match.step))

    assert all(ran[step.id] <= step.uses for step in plan.steps)
