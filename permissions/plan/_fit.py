"""Whether a call's arguments are what a step declared, in words that name no value.

Values are compared by SHA-256 of their RFC 8785 bytes. A value without such a form (NaN, an
integer beyond 2^53 - 1) equals nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from permissions.errors import SigningError
from permissions.plan._flow import Flow, vouched_fields
from permissions.plan.model import Hole, Reference, UserValue
from permissions.plan.schemas import broken_keyword
from permissions.plan.selection import selected
from permissions.plan.steps import known_arguments
from permissions.signing.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from permissions.model import Digest, JsonObject, JsonValue
    from permissions.plan.model import Plan, PlannedTool, PlanStep
    from permissions.tools.trusted_fields import TrustedFields

Fields = dict[str, frozenset[bytes]]
"""By `Reference.key`: digests of the values it may stand for; none where it leads nowhere."""


class Into(NamedTuple):
    """References into the output of one step, and which of its fields are vouched for."""

    fields: TrustedFields | None
    references: dict[str, Reference]


@dataclass(frozen=True, slots=True)
class CompiledStep:
    """A step with everything that can be computed once."""

    step: PlanStep
    position: int
    fixed: Mapping[str, bytes]
    pinned: frozenset[str]
    references: Mapping[str, Reference]
    holes: Mapping[str, Hole]


@dataclass(frozen=True, slots=True)
class CompiledTool:
    """What a cursor keeps of a tool: the definition that was verified, and its steps."""

    digest: Digest
    defaults: Mapping[str, bytes]
    steps: tuple[CompiledStep, ...]
    in_scope: bool


def compile_tools(plan: Plan, tools: Mapping[str, PlannedTool]) -> dict[str, CompiledTool]:
    """Every tool a verified plan names."""
    flow = Flow(plan, tools)
    steps = [
        _compile(step, position, flow.vouched(step)) for position, step in enumerate(plan.steps)
    ]
    return {
        name: CompiledTool(
            digest=tools[name].digest,
            defaults=_defaults(tools[name].schema),
            steps=tuple(each for each in steps if each.step.tool == name),
            in_scope=name in plan.read_scope and tools[name].effect == "read",
        )
        for name in {step.tool for step in plan.steps} | set(plan.read_scope)
    }


def references_into(plan: Plan, tools: Mapping[str, PlannedTool]) -> dict[str, Into]:
    """Per step, the references of later steps into its output, by their keys."""
    found: dict[str, Into] = {}
    sources = {step.id: tools[step.tool] for step in plan.steps}
    for step in plan.steps:
        for argument in step.arguments.values():
            if isinstance(argument, Reference):
                into = found.setdefault(
                    argument.step, Into(vouched_fields(sources[argument.step]), {})
                )
                into.references[argument.key] = argument
    return found


def fields_of(output: JsonValue, into: Into | None) -> Fields:
    """Digests of the values the references lead to."""
    found: Fields = {}
    for key, reference in (into.references if into is not None else {}).items():
        digests = map(_digest, selected(reference, output, into.fields if into else None))
        found[key] = frozenset(each for each in digests if each is not None)
    return found


def digests_of(arguments: JsonObject) -> dict[str, bytes | None]:
    """Per argument the digest of its value, None for one without a canonical form."""
    return {name: _digest(value) for name, value in arguments.items()}


def pinned_objections(
    compiled: CompiledStep, tool: CompiledTool, digests: Mapping[str, bytes | None]
) -> Iterator[str]:
    """Arguments missing, added, or different from what the plan pins."""
    declared = compiled.step.arguments
    for name, argument in declared.items():
        if name not in digests:
            yield f"{_name(name)} is missing"
        elif name in compiled.fixed and not _same(compiled.fixed[name], digests[name]):
            who = "the person gave" if isinstance(argument, UserValue) else "the plan pins"
            yield f"{_name(name)} must be the value {who}"
    for name, found in digests.items():
        if name not in declared and not _same(tool.defaults.get(name), found):
            yield f"{_name(name)} is not declared, so it must keep its default"


def hole_objections(
    compiled: CompiledStep, arguments: JsonObject, provenance: Mapping[str, JsonObject]
) -> Iterator[str]:
    """Values that do not fit their hole, or come from where the hole does not allow."""
    for name, hole in compiled.holes.items():
        if name not in arguments:
            continue
        broken = broken_keyword(hole.hole, arguments[name])
        if broken is not None:
            yield f"{_name(name)} does not fit its hole ({broken})"
        strange = _sources(name, provenance) - set(hole.sources)
        if strange and arguments[name] not in _NOTHING:
            yield (
                f"{_name(name)} comes from {', '.join(sorted(strange))}, its hole allows"
                f" {', '.join(hole.sources)}"
            )


def reference_objections(
    compiled: CompiledStep,
    arguments: JsonObject,
    digests: Mapping[str, bytes | None],
    outputs: Mapping[str, Sequence[Fields]],
) -> Iterator[str]:
    """References that no single use of their step bears out."""
    by_source: dict[str, list[tuple[str, Reference]]] = {}
    for name, reference in compiled.references.items():
        by_source.setdefault(reference.step, []).append((name, reference))
        if reference.extract is not None and name in arguments:
            broken = broken_keyword(reference.extract, arguments[name])
            if broken is not None:
                yield f"{_name(name)} does not pass its extractor ({broken})"
    for source, pairs in by_source.items():
        if any(
            all(_leads(ref, fields, name, arguments, digests) for name, ref in pairs)
            for fields in outputs.get(source, ())
        ):
            continue
        for name, reference in pairs:
            yield f"{_name(name)} must be {_field(reference)} of what {source} returned"
        if len(pairs) > 1:
            yield f"all of these from one and the same result of {source}"


def _compile(step: PlanStep, position: int, vouched: frozenset[str]) -> CompiledStep:
    known = known_arguments(step).known
    return CompiledStep(
        step=step,
        position=position,
        fixed={name: sha256(canonical(value)).digest() for name, value in known.items()},
        pinned=vouched.union(known),
        references={n: a for n, a in step.arguments.items() if isinstance(a, Reference)},
        holes={n: a for n, a in step.arguments.items() if isinstance(a, Hole)},
    )


_NOTHING: tuple[JsonValue, ...] = (None, "", [], {})
"""Values that hold nothing, so they come from nowhere."""


def _sources(argument: str, provenance: Mapping[str, JsonObject]) -> set[str]:
    top = "/" + argument.replace("~", "~0").replace("/", "~1")
    leaves = [
        entry
        for pointer, entry in provenance.items()
        if pointer == top or pointer.startswith(top + "/")
    ]
    return {_source(entry) for entry in leaves} or {"unknown"}


def _source(entry: JsonObject) -> str:
    origin = entry.get("origin")
    if origin == "tool":
        return "tool" if entry.get("trusted") is True else "untrusted"
    if origin == "approval":
        return "user"  # a person saw it
    if origin in ("user", "plan", "default") and entry.get("trusted") is True:
        return str(origin)
    return "unknown"


def _defaults(schema: JsonObject) -> dict[str, bytes]:
    found = {
        name: _digest(inner["default"])
        for name, inner in schema.get("properties", {}).items()
        if isinstance(inner, dict) and "default" in inner
    }
    return {name: each for name, each in found.items() if each is not None}


def _digest(value: JsonValue) -> bytes | None:
    """None for a value without a canonical form: it equals nothing, itself included."""
    try:
        return sha256(canonical(value)).digest()
    except SigningError:
        return None


def _same(one: bytes | None, other: bytes | None) -> bool:
    return one is not None and one == other


def _leads(
    reference: Reference,
    fields: Fields,
    name: str,
    arguments: JsonObject,
    digests: Mapping[str, bytes | None],
) -> bool:
    """Whether the argument is a value the reference stands for; of `any`, each of its items."""
    found = fields.get(reference.key, frozenset())
    if digests.get(name) in found:
        return True
    value = arguments.get(name)
    return (
        reference.any
        and isinstance(value, list)
        and bool(value)
        and all(_digest(item) in found for item in value)
    )


def _field(reference: Reference) -> str:
    if reference.any:
        return "a field"
    field = ascii(reference.pointer[:60]) if reference.pointer else "the whole"
    return field if reference.select is None else f"{field} ({reference.select})"


def _name(name: str) -> str:
    return ascii(name[:60])
