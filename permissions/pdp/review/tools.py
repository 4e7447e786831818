"""Findings about tools: names and arguments that none has, and rules none of them can meet.

What is said of the registered tools is only true while they are registered, so this judges the
author's own modules, and is asked for with `wardline policy check --tools`.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from permissions.pdp.rego.ast import rule_bodies, rule_terms, string_constant, walk_terms
from permissions.pdp.review.bundle import scene_of, told
from permissions.pdp.review.scene import finding, is_literal, literal_value

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from permissions.pdp.bundle import PolicyBundle
    from permissions.pdp.rego.ast import Module, Rule, Statement, Term
    from permissions.pdp.rego.finding import Finding
    from permissions.pdp.review.scene import Scene
    from permissions.tools.definition import ToolDefinition
    from permissions.vocabulary import JsonObject

    _Tools = dict[str, ToolDefinition]

_ARGS = ("input", "resource", "properties", "args")
_NAME = ("input", "resource", "id")
_KINDS = ("path", "host", "recipient", "amount", "command")


def review_tools(
    bundle: PolicyBundle, tools: Sequence[ToolDefinition], *, within: Collection[str]
) -> list[Finding]:
    """What the modules at the paths `within` say of these tools that is not so.

    Args:
        bundle: all modules.
        tools: every tool that is registered.
        within: paths of the modules to judge.
    """
    scene = scene_of(bundle)
    if scene is None:
        return []
    by_name = {tool.name: tool for tool in tools}
    found = [
        each
        for module in scene.modules
        if module.path in within and module.package[1:2] != ("effects",)
        for rule in module.rules
        for each in _rule(scene, module, rule, by_name)
    ]
    texts = {path: text for path, text in bundle.modules.items() if path in within}
    return [each for each in told(texts, found) if each.code != "review.meant"]


def _rule(
    scene: Scene, module: Module, rule: Rule, tools: Mapping[str, ToolDefinition]
) -> Iterator[Finding]:
    for term in rule_terms(rule):
        if term.kind == "infix" and term.value in ("==", "!=", "=", "in"):
            yield from _names(scene, module, rule, term, tools)
    for body in rule_bodies(rule) if rule.bodies else ():
        left = dict(tools)
        for statement in body:
            before, left = left, _met(scene, module, rule, statement, left)
            if before and not left and not _is_name(scene, module, rule, statement):
                yield finding(
                    module,
                    statement.position,
                    "review.never_fires",
                    "no registered tool has this and what the lines before it ask for",
                    "correct the line, or mark and declare the tool so",
                )
        for term in (each for statement in body for each in walk_terms(statement.terms)):
            yield from _arguments(scene, module, rule, term, left or tools)


def _is_name(scene: Scene, module: Module, rule: Rule, statement: Statement) -> bool:
    """Whether a line asks for the tool's name, which `_names` judges."""
    term = statement.terms[0] if statement.terms else None
    return term is not None and any(
        _NAME in set(scene.members_of(module, rule, side)) for side in term.terms
    )


def _names(
    scene: Scene, module: Module, rule: Rule, term: Term, tools: Mapping[str, ToolDefinition]
) -> Iterator[Finding]:
    for value, other in (term.terms[-2:], term.terms[-2:][::-1]):
        if _NAME not in set(scene.members_of(module, rule, value)) or not is_literal(other):
            continue
        words = other.terms if other.kind in ("array", "set") else (other,)
        for word in words:
            name = string_constant(word)
            if name is not None and name not in tools:
                yield finding(
                    module,
                    word.position,
                    "review.unknown_tool",
                    f"no registered tool is called `{name[:60]}`",
                    _instead(name, tools),
                )


def _instead(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"it is one of {', '.join(sorted(known)[:12])}"


def _met(
    scene: Scene, module: Module, rule: Rule, statement: Statement, tools: _Tools
) -> _Tools:
    """The tools for which one line of a body may hold."""
    if statement.kind not in ("expression", "some_in"):
        return tools
    for term in walk_terms(statement.terms):
        if term.kind == "call" and str(term.value).rpartition(".")[2] == "targets":
            kind = string_constant(term.terms[0]) if term.terms else None
            if kind in _KINDS:
                return {name: tool for name, tool in tools.items() if kind in _kinds(tool)}
    term = statement.terms[0]
    is_compared = term.kind == "infix" and term.value in ("==", "=", "in")
    if statement.kind != "expression" or not is_compared or len(term.terms) != 2:
        return tools
    value, other = term.terms[::-1] if is_literal(term.terms[0]) else term.terms
    allowed = _values(other, is_in=term.value == "in") if is_literal(other) else set()
    for path in scene.members_of(module, rule, value) if allowed else ():
        if (read := _reader(path)) is not None:
            return {name: tool for name, tool in tools.items() if allowed & read(tool)}
    return tools


def _reader(path: tuple[str, ...]) -> Callable[[ToolDefinition], set[Any]] | None:
    """How a tool's definition answers for a path of the input."""
    if path[-1:] == ("kind",) and "targets" in path:
        return _kinds
    read = _READ.get(path)
    return None if read is None else lambda tool: {read(tool)}


def _values(other: Term, *, is_in: bool) -> set[Any]:
    value = literal_value(other)
    values = value if is_in and isinstance(value, list) else [value]
    return {each for each in values if isinstance(each, str | bool)}


_READ: dict[tuple[str, ...], Callable[[ToolDefinition], Any]] = {
    _NAME: lambda tool: tool.name,
    ("input", "action", "properties", "effect"): lambda tool: tool.effect,
    ("input", "action", "properties", "impact"): lambda tool: tool.impact,
    ("input", "resource", "properties", "isolation"): lambda tool: tool.isolation,
    ("input", "resource", "properties", "workspace"): lambda tool: tool.workspace,
    ("input", "resource", "properties", "stateful"): lambda tool: tool.options.stateful,
}


def _kinds(tool: ToolDefinition) -> set[str]:
    command = {"command"} if tool.options.command is not None else set()
    return {*tool.marks.values(), *command}


def _arguments(
    scene: Scene, module: Module, rule: Rule, term: Term, tools: Mapping[str, ToolDefinition]
) -> Iterator[Finding]:
    if term.kind == "ref":
        for path in scene.members_of(module, rule, term):
            if path[:4] == _ARGS and len(path) > 4:
                yield from _argument(module, term, path[4:], tools)
    elif term.kind == "infix" and term.value in ("==", "!=", "=", "<", "<=", ">", ">="):
        for value, other in (term.terms, term.terms[::-1]):
            is_plain = other.kind in _TYPES and value.kind in ("var", "ref")
            for path in scene.members_of(module, rule, value) if is_plain else ():
                if path[:4] == _ARGS and len(path) > 4:
                    yield from _compared(module, term, path[4:], other, tools)


def _argument(
    module: Module, term: Term, steps: tuple[str, ...], tools: Mapping[str, ToolDefinition]
) -> Iterator[Finding]:
    if any(_schemas(tool, steps) for tool in tools.values()):
        return
    depth = next(
        at
        for at in range(1, len(steps) + 1)
        if not any(_schemas(tool, steps[:at]) for tool in tools.values())
    )
    known = {
        name
        for tool in tools.values()
        for schema in _schemas(tool, steps[: depth - 1])
        for name in schema.get("properties", {})
    }
    of = f"the tool `{next(iter(tools))}`" if len(tools) == 1 else "any registered tool"
    yield finding(
        module,
        term.position,
        "review.unknown_argument",
        f"`{'.'.join(steps[:depth])}` is no argument of {of}",
        _instead(steps[depth - 1], known),
    )


def _compared(
    module: Module,
    term: Term,
    steps: tuple[str, ...],
    other: Term,
    tools: Mapping[str, ToolDefinition],
) -> Iterator[Finding]:
    schemas = [each for tool in tools.values() for each in _schemas(tool, steps)]
    if schemas and not any(_may_be(each, other, str(term.value)) for each in schemas):
        yield finding(
            module,
            term.position,
            "review.argument_value",
            f"the argument `{'.'.join(steps)}` is {_shown(schemas[0])}, so this never holds",
            "compare with a value the schema allows",
        )


_TYPES = {"string": {"string"}, "number": {"number", "integer"}, "boolean": {"boolean"}}


def _may_be(schema: JsonObject, other: Term, operator: str) -> bool:
    if "enum" in schema or "const" in schema:
        known = schema.get("enum", [schema.get("const")])
        return other.value in known or operator not in ("==", "=")
    types = schema.get("type")
    given = {*(types if isinstance(types, list) else [types])}
    return types is None or bool(_TYPES[other.kind] & given)


def _shown(schema: JsonObject) -> str:
    if "enum" in schema:
        return f"one of {', '.join(map(repr, schema['enum'][:8]))}"
    return str(schema.get("format") or schema.get("type"))


def _schemas(tool: ToolDefinition, steps: tuple[str, ...]) -> list[JsonObject]:
    """The schemas of what lies at a path of a tool's arguments; none when nothing does."""
    found = _flat(tool.schema, tool.schema)
    for step in steps:
        found = [each for schema in found for each in _step(schema, step, tool.schema)]
    return found


def _step(schema: JsonObject, step: str, whole: JsonObject) -> list[JsonObject]:
    if step in schema.get("properties", {}):
        return _flat(schema["properties"][step], whole)
    if step == "*":
        inner = [*schema.get("properties", {}).values(), schema.get("items")]
        return [each for one in inner if isinstance(one, dict) for each in _flat(one, whole)]
    rest = schema.get("additionalProperties", False)
    if isinstance(rest, dict):
        return _flat(rest, whole)
    is_open = schema == {} or (schema.get("type") == "object" and "properties" not in schema)
    return [{}] if is_open else []


def _flat(schema: JsonObject, whole: JsonObject) -> list[JsonObject]:
    """Alternatives side by side, references followed."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return _flat(whole.get("$defs", {}).get(name, {}), whole)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return [each for one in schema[word] for each in _flat(one, whole)]
    return [schema]
