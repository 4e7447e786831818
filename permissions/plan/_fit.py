"""Whether a call's arguments are what a step declared, in words that name no value.

Values are compared by SHA-256 of their RFC 8785 bytes. A value without such a form (NaN, an
integer beyond 2^53 - 1) equals nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from permissions.errors import SigningError
from permissions.plan._flow import Flow
from permissions.plan._schemas import broken_keyword
from permissions.plan.model import Hole, Reference, UserValue
from permissions.plan.steps import known_arguments
from permissions.signing.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from permissions.model import Digest, JsonObject, JsonValue
    from permissions.plan.model import Plan, PlannedTool, PlanStep

Fields = dict[str, bytes]
"""Pointer to digest of the field it leads to; a pointer that leads nowhere is left out."""


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


def pointers_into(plan: Plan) -> dict[str, dict[str, tuple[str, ...]]]:
    """Per step, the pointers later steps follow into its output, with their tokens."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for step in plan.steps:
        for argument in step.arguments.values():
            if isinstance(argument, Reference):
                found.setdefault(argument.step, {})[argument.pointer] = argument.tokens
    return found


def fields_of(output: JsonValue, pointers: Mapping[str, tuple[str, ...]]) -> Fields:
    """Digests of the fields the pointers lead to."""
    found: Fields = {}
    for pointer, tokens in pointers.items():
        present, value = _follow(output, tokens)
        digest = _digest(value) if present else None
        if digest is not None:
            found[pointer] = digest
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
            all(_same(fields.get(ref.pointer), digests.get(name)) for name, ref in pairs)
            for fields in outputs.get(source, ())
        ):
            continue
        for name, reference in pairs:
            field = ascii(reference.pointer[:60]) if reference.pointer else "the whole"
            yield f"{_name(name)} must be {field} of what {source} returned"
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


def _follow(value: JsonValue, tokens: tuple[str, ...]) -> tuple[bool, JsonValue]:
    """Evaluates a JSON pointer (RFC 6901 section 4); the first item says whether it exists."""
    for key in tokens:
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and _is_index(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return False, None
    return True, value


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdecimal() and len(key) < 10 and (key == "0" or key[0] != "0")


def _name(name: str) -> str:
    return ascii(name[:60])
