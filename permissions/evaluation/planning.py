"""From a plan that a model wrote as a list of tools to a plan that can be declared.

The steps name the tools, in any order and number, with every argument left open within the
origins a plan trusts; reading is free. That is as much as such a list says. Tools that do not
exist are dropped, and counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from permissions.plan.model import Plan, plan_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from permissions.evaluation.suite import RecordedPlan, Suite, Task
    from permissions.tools.definition import ToolDefinition

USES = 20
"""Most uses of a step; a list of tools does not say how many."""
FAR = 4_000_000_000_000_000
"""Microseconds since 1970: in the year 2096, for plans that do not end."""
MOST = 1_000_000
"""Most that a planned call moves, in whole units of a currency."""
TYPES = ("string", "integer", "number", "boolean", "null", "array", "object")


def most_seen(plans: Sequence[RecordedPlan], planner: str | None = None) -> RecordedPlan | None:
    """The plan that most runs of a planner had; the first of those that tie."""
    chosen = [each for each in plans if planner is None or each.planner == planner]
    return max(chosen, key=lambda each: each.seen, default=None)


def completed(plan: RecordedPlan, task: Task) -> tuple[str, ...]:
    """The tools of a plan, and those that doing the task takes."""
    return tuple(dict.fromkeys([*plan.tools, *(step.tool for step in task.steps)]))


def declared(
    suite: Suite, named: Iterable[str], tools: dict[str, ToolDefinition], *, goal: str
) -> Plan | None:
    """The plan that names these tools; None when none of them has an effect or none is known."""
    wanted = [name for name in dict.fromkeys(named) if name in suite.tools]
    steps = [_step(tools[name], position) for position, name in enumerate(wanted)]
    if not steps:
        return None
    reads = [name for name in suite.tools if tools[name].effect == "read"]
    return plan_from(
        {
            "id": "recorded",
            "goal": goal[:2000],
            "subject": "agent:agent",
            "on_behalf_of": "user:user",
            "steps": steps,
            "budget": {"calls": USES * len(steps) + 1000},
            "expires_at": FAR,
            "read_scope": reads[:200],
        }
    )


def _step(tool: ToolDefinition, position: int) -> dict[str, Any]:
    return {
        "id": f"s{position}",
        "tool": tool.name,
        "uses": USES,
        "arguments": {
            name: _amount(schema)
            if tool.marks.get(name) == "amount"
            else _hole(schema, is_control=name in tool.control)
            for name, schema in tool.schema.get("properties", {}).items()
        },
    }


def _amount(schema: Any) -> dict[str, Any]:
    """Open as to how much, within a bound: policy judges where an amount comes from."""
    types = _types(schema)
    hole: dict[str, Any] = {"type": types, "minimum": 0, "maximum": MOST}
    if "string" in types:
        hole = {"type": types, "pattern": r"[0-9]{1,12}(\.[0-9]{1,4})?", "maxLength": 20}
    return {"hole": hole, "sources": ["user", "plan", "tool", "default", "unknown"]}


def _hole(schema: Any, *, is_control: bool) -> dict[str, Any]:
    return {
        "hole": {"type": _types(schema)},
        "kind": "control" if is_control else "free_text",
    }


def _types(schema: Any) -> list[str]:
    """The JSON types that a tool's argument may have."""
    if not isinstance(schema, dict):
        return list(TYPES)
    if "anyOf" in schema or "allOf" in schema:
        inner = [*schema.get("anyOf", ()), *schema.get("allOf", ())]
        return sorted({kind for each in inner for kind in _types(each)})
    given = schema.get("type", list(TYPES))
    return [given] if isinstance(given, str) else list(given)
