"""Where data flows in a plan: references, holes, and the taint along the edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, assert_never, get_args

from permissions.plan.model import (
    Hole,
    LiteralValue,
    Reference,
    UserValue,
)
from permissions.plan.schemas import (
    field_schema,
    is_extractor,
    refused_arguments,
    types_of,
)
from permissions.plan.steps import run_order
from permissions.plan.verdict import PlanProblem, shown
from permissions.tools.trusted_fields import NO_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.model import JsonObject
    from permissions.plan.model import (
        Argument,
        Plan,
        PlannedTool,
        PlanStep,
    )
    from permissions.tools.trusted_fields import TrustedFields

Taint = Literal["clean", "extracted", "tainted"]
"""How much an untrusted source decides: nothing, a choice within an extractor, or anything."""

_ORDER: tuple[Taint, ...] = get_args(Taint)


class Flow:
    """The data flow of one plan over one set of tools.

    Of a plan with a circle every output counts as tainted and no step as an ancestor.
    """

    def __init__(self, plan: Plan, tools: Mapping[str, PlannedTool]) -> None:
        self._tools = tools
        self._steps: dict[str, PlanStep] = {}
        self._ancestors: dict[str, frozenset[str]] = {}
        self._given: dict[str, Taint] = {}
        for step in run_order(plan) or ():
            self._steps[step.id] = step
            above = frozenset(need for need in step.needs if need in self._ancestors)
            self._ancestors[step.id] = above.union(*(self._ancestors[n] for n in above))
            given = map(self._taint, step.arguments.values())
            self._given[step.id] = max(given, key=_ORDER.index, default="clean")

    def needs_person(self, step: PlanStep) -> bool:
        """Whether a person should see the step before the run."""
        tool = self._tools.get(step.tool)
        if tool is None or tool.effect == "irreversible" or tool.impact == "critical":
            return True
        if tool.impact == "high" and tool.effect != "read":
            return True
        return any(
            name in tool.control and self._taint(argument) == "extracted"
            for name, argument in step.arguments.items()
        )

    def problems(self, step: PlanStep, tool: PlannedTool) -> Iterator[PlanProblem]:
        """What is wrong with the references and holes of one step."""
        declared = tool.schema.get("properties", {})
        for name, argument in step.arguments.items():
            if name not in declared:
                continue
            match argument:
                case Reference():
                    yield from self._reference_problems(step, name, argument, tool)
                case Hole():
                    yield from _hole_problems(step, name, argument, tool)
                case LiteralValue() | UserValue():
                    pass
                case _:
                    assert_never(argument)
            if name in tool.control and self._taint(argument) == "tainted":
                yield PlanProblem(
                    "plan.tainted_control",
                    step.id,
                    f"untrusted text can reach {shown(name)}, which controls what"
                    f" {shown(tool.name)} does",
                    "pin it with a user value, take it from a trusted tool, or declare a"
                    " narrow extractor (enum, bounded number, pattern with maxLength)",
                )

    def vouched(self, step: PlanStep) -> frozenset[str]:
        """Arguments bound to one field of an output in which no untrusted source had a say.

        Any field is no such binding: which of them it is, the agent says at the call.
        """
        return frozenset(
            name
            for name, argument in step.arguments.items()
            if isinstance(argument, Reference)
            and not argument.any
            and self._taint(argument) == "clean"
        )

    def _output(self, reference: Reference) -> Taint:
        """Of a field, since some are filled in by the service of an untrusted tool."""
        step = self._steps.get(reference.step)
        tool = None if step is None else self._tools.get(step.tool)
        if step is None or tool is None:
            return "tainted"
        if (fields := vouched_fields(tool)) is not None and not (
            reference.any or all(map(fields.covers, reference.read_paths))
        ):
            return "tainted"
        return self._given[step.id]

    def _taint(self, argument: Argument) -> Taint:
        match argument:
            case LiteralValue() | UserValue():
                return "clean"
            case Reference(extract=schema):
                taint = self._output(argument)
            case Hole(hole=schema):
                taint = "tainted" if argument.admits_untrusted else "clean"
            case _:
                assert_never(argument)
        narrowed = taint == "tainted" and schema is not None and is_extractor(schema)
        return "extracted" if narrowed else taint

    def _reference_problems(
        self, step: PlanStep, name: str, reference: Reference, tool: PlannedTool
    ) -> Iterator[PlanProblem]:
        if reference.step not in self._ancestors.get(step.id, ()):
            yield PlanProblem(
                "plan.reference_order",
                step.id,
                f"{shown(name)} refers to {reference.step}, which need not have run by then",
                f"add {reference.step} to the step's needs",
            )
            return
        source = self._tools.get(self._steps[reference.step].tool)
        if source is not None and reference.any and vouched_fields(source) == NO_FIELDS:
            yield PlanProblem(
                "plan.reference_field",
                step.id,
                f"{shown(name)} refers to any field of {reference.step}, and"
                f" {shown(source.name)} vouches for none",
                "name a pointer and an extractor, or have the tool say its trusted_fields",
            )
        chooses = reference.any or reference.select is not None
        if source is None or source.output_schema is None or chooses:
            return
        field = field_schema(source.output_schema, reference.tokens)
        if field is None or field is False:
            yield PlanProblem(
                "plan.reference_field",
                step.id,
                f"{shown(name)} refers to {shown(reference.pointer)}, which the result of"
                f" {shown(source.name)} does not have",
                f"its fields are {_fields(source.output_schema)}",
            )
            return
        given = types_of(field, source.output_schema)
        wanted = types_of(tool.schema["properties"][name], tool.schema)
        if not given & wanted:
            yield PlanProblem(
                "plan.reference_type",
                step.id,
                f"{shown(name)} takes {_words(wanted)}, {shown(reference.pointer)} gives"
                f" {_words(given)}",
                "refer to a field of that type",
            )


def vouched_fields(tool: PlannedTool) -> TrustedFields | None:
    """Fields of the tool's output that may be believed; None when all of them may."""
    whole = tool.output == "trusted" and tool.effect == "read"
    return None if whole else tool.trusted_fields


def _hole_problems(
    step: PlanStep, name: str, hole: Hole, tool: PlannedTool
) -> Iterator[PlanProblem]:
    if name in tool.control and hole.kind != "control":
        yield PlanProblem(
            "plan.hole_kind",
            step.id,
            f"{shown(name)} controls what {shown(tool.name)} does and is no free text",
            "declare the hole with kind control",
        )
    given = types_of(hole.hole, hole.hole)
    wanted = types_of(tool.schema["properties"][name], tool.schema)
    values = hole.hole.get("enum", [hole.hole["const"]] if "const" in hole.hole else [])
    if not given <= wanted:
        yield PlanProblem(
            "plan.hole_type",
            step.id,
            f"the hole of {shown(name)} admits {_words(given - wanted)}, the tool takes"
            f" {_words(wanted)}",
            "give the hole the type of the tool's argument",
        )
    elif any(refused_arguments(tool.schema, {name: value}) for value in values):
        yield PlanProblem(
            "plan.hole_type",
            step.id,
            f"the hole of {shown(name)} lists a value that the tool's schema refuses",
            "list only values the tool takes",
        )


def _fields(schema: JsonObject) -> str:
    names = ", ".join("/" + str(name)[:40] for name in schema.get("properties", {}))
    return names[:300] or "not declared by name"


def _words(types: frozenset[str]) -> str:
    return " or ".join(sorted(types)) or "nothing"
