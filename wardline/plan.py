"""Plans: read one, and verify it against the tools it uses."""

from __future__ import annotations

from permissions.plan.model import Plan, parse_plan, plan_from, plan_schema
from permissions.plan.prompt import planning_prompt
from permissions.plan.trim import Trimmed, trim_plan
from permissions.plan.verdict import PlanProblem, PlanVerdict
from permissions.plan.verifier import verify_plan
from permissions.sessions.plan_tools import amend_plan, approve_plan
from permissions.tools.registry import ToolRegistry

__all__ = [
    "Plan",
    "PlanProblem",
    "PlanVerdict",
    "ToolRegistry",
    "Trimmed",
    "amend_plan",
    "approve_plan",
    "parse_plan",
    "plan_from",
    "plan_schema",
    "planning_prompt",
    "trim_plan",
    "verify_plan",
]
