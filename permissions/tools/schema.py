"""From a function's signature to a tool's definition.

The schema comes from the signature by pydantic, so that policies, plans and approvers see the
same names, types and defaults the function does. Parameters that a framework injects are left
out of the schema and the digest of a call; their names are kept.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections import abc
from typing import TYPE_CHECKING, Any

from permissions.errors import ToolDefinitionError
from permissions.signing.canonical import digest_of
from permissions.tools.annotations import mark_of
from permissions.tools.checks import check_marks, check_requires
from permissions.tools.command import check_command_tool
from permissions.tools.definition import ToolDefinition
from permissions.tools.fact_kinds import fact_kinds
from permissions.tools.targets import FreeText
from permissions.tools.trusted_fields import TrustedFields
from permissions.tools.unmarked import carries_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel, TypeAdapter

    from permissions.model import JsonObject
    from permissions.tools.definition import Options
    from permissions.tools.targets import Target

_FRAMEWORK_MARKS = frozenset(
    {
        "InjectedState",
        "InjectedStore",
        "InjectedToolArg",
        "InjectedToolCallId",
        "RunContext",
        "RunContextWrapper",
        "RunnableConfig",
        "ToolRuntime",
    }
)
"""Names of annotations by which frameworks mark arguments that they fill in themselves."""


def define(function: Callable[..., Any], options: Options) -> ToolDefinition:
    """Builds the definition of a guarded function.

    Raises:
        ToolDefinitionError: a parameter has no usable type, or cannot be named in JSON.
    """
    name = options.name or function.__name__
    hints = _hints(function)
    parameters = {
        parameter.name: (hints.get(parameter.name, Any), parameter.default)
        for parameter in _parameters(function)
    }
    injected = frozenset(
        key for key, (hint, _) in parameters.items() if _is_injected(key, hint)
    )
    declared = {key: value for key, value in parameters.items() if key not in injected}
    marks = {key: mark_of(f"{name}: {key}", hint) for key, (hint, _) in declared.items()}
    free = frozenset(key for key, mark in marks.items() if isinstance(mark, FreeText))
    targets = {
        key: mark
        for key, mark in marks.items()
        if mark is not None and not isinstance(mark, FreeText)
    }
    check_marks(name, options, targets, frozenset(declared))
    model = _model(name, declared)
    schema = _schema(name, model)
    unmarked = frozenset(
        key
        for key, inner in schema.get("properties", {}).items()
        if marks[key] is None and carries_values(inner, schema)
    ) - _currencies(targets)
    _check_returns(name, hints.get("return", Any))
    adapter, output_schema = _output(hints.get("return", Any))
    control = frozenset(key for key, mark in targets.items() if mark.control)
    control |= _currencies(targets) | frozenset(options.control or ())
    if options.control is None and options.effect != "read":
        control |= unmarked  # nobody said that they do not decide where the effect goes
    if options.confirms and control:
        raise ToolDefinitionError(
            f"{name}: confirms=True, and {', '.join(sorted(control))} would decide where the"
            " effect goes; mark what is none as FreeText(), or drop confirms"
        )
    check_requires(name, options.requires)
    if options.command is not None:
        check_command_tool(name, options, schema, targets, hints.get("return"))
        if injected:
            raise ToolDefinitionError(f"{name}: a command gets nothing a framework injects")
        if options.control is None:
            control = frozenset(declared) - free
    trusted_fields = TrustedFields(options.trusted_fields)
    facts = fact_kinds(options.facts)
    digest = digest_of(
        {
            "name": name,
            "schema": schema,
            "effect": options.effect,
            "impact": options.impact,
            "isolation": options.sandbox,
            "profile": options.profile,
            "workspace": options.workspace,
            "stateful": options.stateful,
            "confirms": options.confirms,
            "output": options.output,
            "trusted_fields": list(trusted_fields.patterns),
            "facts": [str(each) for each in facts],
            "control": sorted(control),
            "targets": {key: mark.spelling() for key, mark in targets.items()},
            "free": sorted(free),
            "source": _source(function),
            "requires": sorted(options.requires),
            "command": None if options.command is None else list(options.command),
            "shell": options.shell,
        }
    )
    return ToolDefinition(
        name=name,
        description=inspect.getdoc(function) or "",
        function=function,
        options=options,
        model=model,
        schema=schema,
        output_adapter=adapter,
        output_schema=output_schema,
        targets=targets,
        free=free,
        unmarked=unmarked,
        control=control,
        injected=injected,
        trusted_fields=trusted_fields,
        facts=facts,
        digest=digest,
    )


def _currencies(targets: Mapping[str, Target]) -> frozenset[str]:
    """Arguments that hold the currency of an amount, and are read with it."""
    named = (getattr(mark, "currency_from", None) for mark in targets.values())
    return frozenset(each for each in named if each is not None)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as err:
        raise ToolDefinitionError(
            f"{function.__qualname__}: a type hint cannot be read at run time ({err});"
            " import the type outside `if TYPE_CHECKING:`"
        ) from err


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(function).parameters.values())
    for parameter in parameters:
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            raise ToolDefinitionError(
                f"{function.__qualname__}: *{parameter.name} takes arguments no policy could"
                " name; list them one by one"
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ToolDefinitionError(
                f"{function.__qualname__}: {parameter.name} is positional only; tools are"
                " called by argument name"
            )
    return parameters


def _is_injected(name: str, hint: Any) -> bool:
    if name == "runtime" and hint is Any:  # LangGraph fills it in by its name
        return True
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        return any(
            _is_injected(name, each) for each in typing.get_args(hint) if each is not Any
        )
    for candidate in (hint, *getattr(hint, "__metadata__", ())):
        origin = typing.get_origin(candidate) or candidate
        kind = origin if isinstance(origin, type) else type(origin)
        if any(base.__name__ in _FRAMEWORK_MARKS for base in kind.__mro__):
            return True
    return False


def _model(name: str, declared: dict[str, tuple[Any, Any]]) -> type[BaseModel]:
    from pydantic import ConfigDict, Field, create_model
    from pydantic.errors import PydanticUserError

    # Arguments may be called `schema`, `copy` or `_x`, which a model's own fields may not:
    # each is an alias of a field whose name collides with nothing.
    fields: dict[str, Any] = {
        f"argument_{key}": (
            hint,
            Field(alias=key)
            if default is inspect.Parameter.empty
            else Field(default=default, alias=key),
        )
        for key, (hint, default) in declared.items()
    }
    config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
    try:
        model = create_model(f"{name}_arguments", __config__=config, **fields)
        _check_shown(name, model)
    except (PydanticUserError, NameError, TypeError) as err:
        raise ToolDefinitionError(
            f"{name}: the signature cannot be turned into a schema: {err}"
        ) from err
    return model


def _check_shown(name: str, model: type[BaseModel]) -> None:
    """Refuses arguments that policies, approvers and the digest of a call would not see."""
    from pydantic import TypeAdapter

    for field in model.model_fields.values():
        if field.exclude:
            raise ToolDefinitionError(f"{name}: {field.alias} is excluded from its JSON form")
        if field.is_required():
            continue
        adapter: TypeAdapter[Any] = TypeAdapter(field.annotation)  # type: ignore[arg-type]  # each has one
        try:
            adapter.dump_python(adapter.validate_python(field.get_default()), mode="json")
        except (ValueError, TypeError) as err:
            raise ToolDefinitionError(
                f"{name}: the default of {field.alias} does not fit its type, or has no JSON"
                " form"
            ) from err


def _schema(name: str, model: type[BaseModel]) -> JsonObject:
    from pydantic.errors import PydanticInvalidForJsonSchema

    try:
        schema = model.model_json_schema()
    except PydanticInvalidForJsonSchema as err:
        raise ToolDefinitionError(
            f"{name}: an argument's type has no JSON form ({err.message}); tools take JSON"
        ) from err
    if _is_masked(schema):
        raise ToolDefinitionError(
            f"{name}: a secret type shows asterisks in place of its value, so two different"
            " calls would look the same; take the name of a secret instead"
        )
    return schema


def _is_masked(schema: Any) -> bool:
    if isinstance(schema, dict):
        return schema.get("writeOnly") is True or any(map(_is_masked, schema.values()))
    return isinstance(schema, list) and any(map(_is_masked, schema))


_LAZY = (
    *(abc.Iterator, abc.Generator, abc.AsyncIterator, abc.AsyncIterable, abc.AsyncGenerator),
    *(abc.Awaitable, abc.Coroutine),
)


def _check_returns(name: str, hint: Any) -> None:
    """Refuses a return type whose work would only be done after the call, unrecorded."""
    while typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    kind = typing.get_origin(hint) or hint
    if isinstance(kind, type) and issubclass(kind, _LAZY):
        raise ToolDefinitionError(
            f"{name}: it returns {kind.__name__}, whose work would be done after the call and go"
            " unrecorded; return what it gives, as a list"
        )


def _output(hint: Any) -> tuple[TypeAdapter[Any], JsonObject | None]:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError

    try:
        adapter = TypeAdapter(hint)
        return adapter, None if hint is Any else adapter.json_schema(mode="serialization")
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema):
        # A result only Python knows; it is recorded if it can be turned into JSON at run time.
        return TypeAdapter(Any), None


def _source(function: Callable[..., Any]) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return function.__code__.co_code.hex() + repr(function.__code__.co_consts)
