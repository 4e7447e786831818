"""Tools that are known by a JSON Schema instead of a signature: of a server, a file, a framework.

`tool_from_schema` gives what `@tool` gives, so that a broker, a plan and a policy see no
difference. Arguments are checked by the schema as it stands (draft 2020-12): nothing is
converted, `"5"` is no integer, and names the schema does not list are refused, whatever its
`additionalProperties` says.

Not protected from: a description or a schema that its author wrote to mislead a model; and
`format`, which draft 2020-12 does not assert.
"""

from __future__ import annotations

import inspect
import keyword
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from permissions.errors import ToolDefinitionError
from permissions.tools.decorator import tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from permissions.tools.decorator import GuardedTool
    from permissions.tools.definition import ToolDefinition
    from permissions.tools.targets import FreeText, Target
    from permissions.vocabulary import JsonObject, JsonValue

_KNOWN = frozenset(
    {
        "$defs", "$id", "$schema", "additionalProperties", "definitions", "description",
        "properties", "required", "title", "type",
    }
)  # fmt: skip
"""What may stand beside `properties`. Others (`oneOf`, `if`) tie arguments together."""
MAX_DEPTH = 32


def tool_from_schema(
    run: Callable[..., Any],
    *,
    name: str,
    parameters: JsonObject,
    description: str = "",
    marks: Mapping[str, Target | FreeText] | None = None,
    **options: Any,
) -> GuardedTool[..., Any]:
    """Puts a function under the broker whose arguments a JSON Schema describes.

    Args:
        run: called with the arguments by name, sync or async. An optional argument without a
            default that nobody gave is left out.
        name: what the tool is called.
        parameters: JSON Schema of the arguments object.
        description: what it does, for a model.
        marks: what an argument points at, as `Annotated[..., RecipientArg()]` says it of a
            function.
        **options: as for `@tool`: `effect`, `impact`, `control`, `output`, ...

    Raises:
        ToolDefinitionError: the schema cannot be read, an argument cannot be named in Python,
            a mark is on no argument, or an option has a value outside its vocabulary.
    """
    properties = _properties(name, parameters)
    required = _required(name, parameters, properties)
    marks = dict(marks or {})
    if unknown := sorted(marks.keys() - properties.keys()):
        raise ToolDefinitionError(f"{name}: marks names no argument: {unknown}")
    given, absent = [], set()
    for each, schema in properties.items():
        if each in required:
            default = inspect.Parameter.empty
        elif "default" in schema:
            default = schema["default"]
        else:
            default, schema = None, _or_null(schema)  # noqa: PLW2901 - the schema from here on
            absent.add(each)
        hint = _hint(name, each, schema, marks.get(each))
        given.append(
            inspect.Parameter(
                each, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint
            )
        )
    function = _function(run, frozenset(absent))
    function.__name__ = function.__qualname__ = name
    function.__doc__ = description
    function.__module__ = getattr(run, "__module__", __name__)
    function.__wrapped__ = run  # its source is the tool's, for the digest
    function.__annotations__ = {each.name: each.annotation for each in given}
    function.__signature__ = inspect.Signature(given)  # inspect reads it
    guarded: GuardedTool[..., Any] = tool(name=name, **options)(function)
    return guarded


def run_by(definition: ToolDefinition, run: Callable[..., Any]) -> ToolDefinition:
    """The same tool, run by something else: a framework's own way to call it, say.

    Args:
        definition: of a tool that `tool_from_schema` made.
        run: called in the place of what that was given, sync or async.
    """
    known: Any = definition.function
    function = _function(run, known.absent)
    function.__signature__ = known.__signature__
    return replace(definition, function=function)


def _function(run: Callable[..., Any], absent: frozenset[str]) -> Any:
    def present(arguments: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in arguments.items() if not (v is None and k in absent)}

    function: Any
    if inspect.iscoroutinefunction(run):

        async def called_async(**arguments: Any) -> Any:
            return await run(**present(arguments))

        function = called_async
    else:

        def called(**arguments: Any) -> Any:
            return run(**present(arguments))

        function = called
    function.absent = absent
    function.is_made_of_an_object = True
    return function


def _properties(name: str, parameters: JsonObject) -> dict[str, JsonObject]:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(parameters)
    except SchemaError as err:
        where = "/".join(map(str, err.absolute_path)) or "the top"
        raise ToolDefinitionError(
            f"{name}: its parameters are no JSON Schema at {where} ({err.validator})"
        ) from err
    if parameters.get("type", "object") != "object":
        raise ToolDefinitionError(f"{name}: its parameters are no object; tools take names")
    if unknown := sorted(parameters.keys() - _KNOWN):
        raise ToolDefinitionError(
            f"{name}: {unknown[0]!r:.40} beside the properties ties arguments together, which"
            " policies do not see; describe each argument by itself"
        )
    definitions = {
        f"#/{key}/{each}": schema
        for key in ("$defs", "definitions")
        for each, schema in parameters.get(key, {}).items()
    }
    found = {}
    for each, schema in parameters.get("properties", {}).items():
        if not each.isidentifier() or keyword.iskeyword(each):
            raise ToolDefinitionError(
                f"{name}: {each[:80]!r} cannot be the name of an argument in Python"
            )
        whole = _inlined(f"{name}: {each}", schema, definitions)
        found[each] = whole if isinstance(whole, dict) else {}
    return found


def _required(
    name: str, parameters: JsonObject, properties: Mapping[str, JsonObject]
) -> frozenset[str]:
    required = frozenset(parameters.get("required", ()))
    if missing := sorted(required - properties.keys()):
        raise ToolDefinitionError(
            f"{name}: requires {missing[0]!r:.80}, which it never describes"
        )
    return required


def _inlined(
    label: str, schema: JsonValue, definitions: Mapping[str, JsonValue], depth: int = 0
) -> JsonValue:
    """A schema with what it refers to in its place."""
    if depth > MAX_DEPTH:
        raise ToolDefinitionError(
            f"{label}: its schema refers to itself, or is nested too deep"
        )
    if isinstance(schema, list):
        return [_inlined(label, each, definitions, depth + 1) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        target = schema["$ref"]
        if target not in definitions:
            raise ToolDefinitionError(
                f"{label}: refers to {target!r:.80}, which is none of its own definitions"
            )
        beside = {key: each for key, each in schema.items() if key != "$ref"}
        whole = _inlined(label, definitions[target], definitions, depth + 1)
        inner = _inlined(label, beside, definitions, depth + 1)
        return {"allOf": [whole], **inner} if inner else whole
    return {key: _inlined(label, each, definitions, depth + 1) for key, each in schema.items()}


def _or_null(schema: JsonObject) -> JsonObject:
    return {"anyOf": [schema, {"type": "null"}], "default": None}


def _hint(name: str, argument: str, schema: JsonObject, mark: Target | FreeText | None) -> Any:
    from pydantic import AfterValidator, WithJsonSchema

    extras: list[Any] = [WithJsonSchema(schema), AfterValidator(_checker(schema))]
    if mark is not None:
        extras.append(mark)
    if "default" in schema and next(_faults(schema, schema["default"]), None) is not None:
        raise ToolDefinitionError(f"{name}: the default of {argument} does not fit its schema")
    return Annotated[(Any, *extras)]


def _checker(schema: JsonObject) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        for keyword_broken in _faults(schema, value):
            raise ValueError(f"does not fit the tool's schema ({keyword_broken})")
        return value

    return check


def _faults(schema: JsonObject, value: Any) -> Iterator[str]:
    """The keywords that a value breaks."""
    from jsonschema import Draft202012Validator
    from referencing import Registry

    for error in Draft202012Validator(schema, registry=Registry()).iter_errors(value):
        where = "/".join(map(str, error.absolute_path))
        yield f"{error.validator} at {where}" if where else str(error.validator)
