"""A plan less the tools a model invented, and what a model is told so that it invents none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from permissions.errors import PlanError
from permissions.plan.model import parse_plan, plan_from
from permissions.plan.prompt import planning_prompt
from permissions.plan.trim import trim_plan
from permissions.plan.verifier import verify_plan
from permissions.tools.registry import ToolRegistry
from wardline import tool

if TYPE_CHECKING:
    from permissions.plan.model import Plan


@tool(effect="read", output="trusted")
def look(name: str) -> dict[str, str]:
    """Looks somebody up."""
    return {"mail": name}


@tool(effect="send", control=["to"])
def send(to: str, text: str = "") -> str:
    """Sends a mail."""
    return to


TOOLS = {each.name: each for each in ToolRegistry([look, send])}


def plan(*steps: dict[str, Any], scope: tuple[str, ...] = ()) -> Plan:
    return plan_from(
        {
            "id": "p",
            "goal": "g",
            "subject": "agent:a",
            "steps": list(steps),
            "budget": {"calls": 9},
            "expires_at": 4_000_000_000_000_000,
            "read_scope": list(scope),
        }
    )


LOOK = {"id": "look", "tool": "look", "arguments": {"name": {"literal": "ann"}}}
INVENTED = {"id": "magic", "tool": "magic"}
BUILT = {"id": "built", "tool": "send", "arguments": {"to": {"step": "magic", "any": True}}}
AFTER = {
    "id": "after",
    "tool": "send",
    "needs": ["magic"],
    "arguments": {"to": {"literal": "x"}},
}


def test_unknown_tools_go_with_what_builds_on_them() -> None:
    trimmed = trim_plan(
        plan(LOOK, INVENTED, BUILT, AFTER, scope=("look", "gone")), TOOLS.keys()
    )

    assert [step.id for step in trimmed.plan.steps] == ["look", "after"]
    assert trimmed.plan.steps[1].needs == ()
    assert trimmed.plan.read_scope == ("look",)
    assert trimmed.dropped == (
        "step 'magic': no tool 'magic'",
        "step 'built': an argument is what 'magic' returns",
        "read_scope: no tool 'gone'",
    )
    assert not verify_plan(plan(LOOK, INVENTED), TOOLS, now=1).accepted, (
        "untrimmed it is refused"
    )
    assert verify_plan(trimmed.plan, TOOLS, now=1).accepted


def test_a_plan_of_known_tools_stays_as_it_is() -> None:
    whole = plan(LOOK)

    assert trim_plan(whole, TOOLS.keys()) == (whole, ())


def test_a_plan_without_any_known_tool_is_none() -> None:
    with pytest.raises(PlanError, match="no step of the plan is left: step 'magic'"):
        trim_plan(plan(INVENTED), TOOLS.keys())


def test_a_model_is_told_the_tools_and_the_form() -> None:
    text = planning_prompt(
        TOOLS.values(), subject="agent:a", on_behalf_of="user:u", expires_at=7
    )

    assert "- look(name: string) [read] Looks somebody up." in text
    assert "- send(to*: string, text?: string) [send] Sends a mail." in text
    assert '{"subject": "agent:a", "on_behalf_of": "user:u", "expires_at": 7}' in text
    schema = json.loads(text.rpartition("# JSON Schema of a plan\n\n")[2])
    assert schema["properties"].keys() >= {"steps", "budget", "read_scope"}


def test_each_form_of_the_prompt_is_one_that_a_plan_takes() -> None:
    text = planning_prompt(TOOLS.values(), subject="agent:a", on_behalf_of=None, expires_at=7)
    forms = [line.strip() for line in text.splitlines() if line.startswith('  {"')]
    assert len(forms) == 7
    for form in forms:
        told = json.JSONDecoder().raw_decode(
            form.replace("value", '"v"').replace("id,", '"look",')
        )[0]
        step = {"id": "s", "tool": "send", "needs": ["look"], "arguments": {"to": told}}
        written = plan(LOOK, step).document()
        assert parse_plan(json.dumps(written)).steps[1].arguments.keys() == {"to"}
