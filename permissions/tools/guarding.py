"""Tools that cannot be decorated, because they are somebody else's or made anew for each session.

`guard` takes functions of other packages, bound methods, partials, callable objects, LangChain
tools, and anything that a JSON Schema describes; it gives what `@tool` gives, with the same most
suspicious defaults. What it is given stays as it is.

A tool is its name and its definition, not the object: one that is made for each session or request
(a closure over a connection, a method of a client) is the registered tool when both are equal, and
the one that was called runs. `broker.call(session, NAME)` runs the one that was registered.

Not protected from: what a closure, a partial or an object holds. It is no argument, no policy sees
it, and it is not in the tool's digest.
"""

from __future__ import annotations

import functools
import inspect
import typing
from typing import TYPE_CHECKING, Annotated, Any

from permissions.errors import ToolDefinitionError
from permissions.tools.decorator import Guard, tool
from permissions.tools.from_schema import tool_from_schema
from permissions.tools.targets import FreeText, TargetError, mark_named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from permissions.tools.decorator import GuardedTool
    from permissions.tools.targets import Target
    from permissions.vocabulary import JsonObject

_LANGCHAIN = "langchain_core.tools.base"


def guard(
    target: Any,
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: JsonObject | None = None,
    marks: Mapping[str, Target | FreeText | str] | None = None,
    **options: Any,
) -> GuardedTool[..., Any]:
    """Puts something under the broker that cannot be decorated.

    Args:
        target: a function, bound method, partial, callable object, or LangChain tool.
        name: what the tool is called; its own name by default.
        description: what it does, for a model; its own by default.
        parameters: JSON Schema of its arguments, for what has no signature of its own.
        marks: what arguments point at: a mark, or its name as in a manifest (`email`,
            `path write`, `free`).
        **options: as for `@tool`: `effect`, `impact`, `control`, `output`, ...

    Raises:
        ToolDefinitionError: it is guarded already, is no callable or has no signature, a mark
            is on no argument, or an option does not fit it.
    """
    if isinstance(getattr(target, "guard", None), Guard):
        raise ToolDefinitionError(f"{target.__name__} is guarded already")
    known = named_marks(marks or {})
    label = name or _name_of(target)
    if parameters is not None or is_langchain_tool(target):
        run = target if parameters is not None else _runs(target)
        made = tool_from_schema(
            run,
            name=label,
            parameters=_schema_of(target) if parameters is None else parameters,
            description=_described(target) if description is None else description,
            marks=known,
            **_unboxed(label, options),
        )
        if parameters is None:
            made.guard.framework_tool = target
        return made
    function = _function(target, label, known)
    function.__doc__ = _described(target) if description is None else description
    function.is_made_of_an_object = True  # type: ignore[attr-defined]
    guarded: GuardedTool[..., Any] = tool(name=label, **_unboxed(label, options))(function)
    return guarded


def is_langchain_tool(target: object) -> bool:
    """Whether it is one of LangChain's tools; asks without importing LangChain."""
    return any(
        (base.__module__, base.__name__) == (_LANGCHAIN, "BaseTool")
        for base in type(target).__mro__
    )


def named_marks(
    marks: Mapping[str, Target | FreeText | str],
) -> dict[str, Target | FreeText]:
    """Marks, or their names as in a manifest, by argument.

    Raises:
        ToolDefinitionError: there is no mark of that name.
    """
    return {argument: _mark(argument, mark) for argument, mark in marks.items()}


def _mark(argument: str, mark: Target | FreeText | str) -> Target | FreeText:
    if not isinstance(mark, str):
        return mark
    if mark == "free":
        return FreeText()
    try:
        return mark_named(mark)
    except TargetError as err:
        raise ToolDefinitionError(f"marks: {argument} {err}, free") from err


def _unboxed(label: str, options: dict[str, Any]) -> dict[str, Any]:
    """A sandbox finds a function by its import path, and these have none that is guarded."""
    if options.get("sandbox", "none") != "none":
        raise ToolDefinitionError(
            f"{label}: guard() is for tools of this process; for a sandbox decorate a function of"
            " your own that calls it"
        )
    return options


def _name_of(target: Any) -> str:
    if is_langchain_tool(target):
        return str(target.name)
    if isinstance(target, functools.partial):
        return _name_of(target.func)
    return str(getattr(target, "__name__", None) or type(target).__name__)


def _described(target: Any) -> str:
    if is_langchain_tool(target):
        return str(target.description)
    if isinstance(target, functools.partial):
        return _described(target.func)
    return inspect.getdoc(target) or ""


def _origin(target: Any) -> Any:
    """The plain function behind it, for its types, its module and its source."""
    if isinstance(target, functools.partial):
        return _origin(target.func)
    if inspect.ismethod(target):
        return target.__func__
    if inspect.isroutine(target):
        return target
    return type(target).__call__


def _function(
    target: Any, label: str, marks: Mapping[str, Target | FreeText]
) -> Callable[..., Any]:
    """A plain function that calls it, with its signature and these marks."""
    if inspect.isclass(target) or not callable(target):
        raise ToolDefinitionError(f"{label} is no function, method or callable object")
    origin = _origin(target)
    if inspect.isgeneratorfunction(origin) or inspect.isasyncgenfunction(origin):
        raise ToolDefinitionError(
            f"{label} is a generator: its effects would happen after the decision and outside"
            " the record"
        )
    hints, given = _hints(origin), []
    for each in _parameters(target, label):
        hint = hints.get(each.name, Any)
        if (mark := marks.get(each.name)) is not None:
            hint = Annotated[hint, mark]
        given.append(each.replace(annotation=hint))
    if unknown := sorted(marks.keys() - {each.name for each in given}):
        raise ToolDefinitionError(f"{label}: marks names no argument: {unknown}")
    first = [each.name for each in given if each.kind is each.POSITIONAL_ONLY]
    given = [
        each.replace(kind=each.POSITIONAL_OR_KEYWORD) if each.name in first else each
        for each in given
    ]
    function = _calling(target, origin, first)
    function.__name__ = function.__qualname__ = label
    function.__module__ = getattr(origin, "__module__", None) or __name__
    function.__wrapped__ = origin  # its source is the tool's, for the digest
    function.__annotations__ = {each.name: each.annotation for each in given}
    if "return" in hints:
        function.__annotations__["return"] = hints["return"]
    function.__signature__ = inspect.Signature(given)
    whole: Callable[..., Any] = function
    return whole


def _calling(target: Any, origin: Any, first: list[str]) -> Any:
    def call(arguments: dict[str, Any]) -> Any:
        by_position = [arguments.pop(name) for name in first if name in arguments]
        return target(*by_position, **arguments)

    if inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(origin):

        async def called_async(**arguments: Any) -> Any:
            return await call(arguments)

        return called_async

    def called(**arguments: Any) -> Any:
        return call(arguments)

    return called


def _parameters(target: Any, label: str) -> list[inspect.Parameter]:
    """Those that a caller may give: not what a partial fixes, and no `*args` and `**kwargs`."""
    try:
        found = inspect.signature(target).parameters.values()
    except (ValueError, TypeError) as err:
        raise ToolDefinitionError(
            f"{label} has no signature that Python can tell; describe it with parameters="
        ) from err
    fixed = target.keywords if isinstance(target, functools.partial) else {}
    return [
        each
        for each in found
        if each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD} and each.name not in fixed
    ]


def _hints(origin: Any) -> dict[str, Any]:
    """Its types; one that cannot be read at run time is any type, for it is somebody else's."""
    try:
        return typing.get_type_hints(origin, include_extras=True)
    except Exception:  # noqa: BLE001 - whatever evaluating somebody's annotations raises
        given = getattr(origin, "__annotations__", {})
        return {name: Any if isinstance(hint, str) else hint for name, hint in given.items()}


def _schema_of(target: Any) -> JsonObject:
    """What a model may give to a LangChain tool.

    Raises:
        ToolDefinitionError: an argument has no JSON form.
    """
    from pydantic.errors import PydanticInvalidForJsonSchema

    schema = target.tool_call_schema
    try:
        asked: JsonObject = schema if isinstance(schema, dict) else _json_schema(schema)
    except PydanticInvalidForJsonSchema as err:
        raise ToolDefinitionError(
            f"{target.name}: an argument's type has no JSON form ({err.message}); tools take JSON"
        ) from err
    left_out = hidden_arguments(target) | _unnamed(_below(target))
    found: JsonObject = {**asked}
    if "properties" in found:
        found["properties"] = {
            name: _without_null(each)
            for name, each in asked["properties"].items()
            if name not in left_out
        }
        found["required"] = [k for k in asked.get("required", ()) if k not in left_out]
    return found


def _without_null(schema: Any) -> Any:
    """A default of None says that the function fills it in, whatever the type is."""
    if isinstance(schema, dict) and "default" in schema and schema["default"] is None:
        return {key: each for key, each in schema.items() if key != "default"}
    return schema


def _below(target: Any) -> Any:
    """The function of a LangChain tool."""
    return getattr(target, "func", None) or getattr(target, "coroutine", None)


def _unnamed(function: Any) -> frozenset[str]:
    """`*args` and `**kwargs`, which no policy could name."""
    parameters = {} if function is None else inspect.signature(function).parameters
    unnamed = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return frozenset(name for name, each in parameters.items() if each.kind in unnamed)


def _json_schema(model: Any) -> JsonObject:
    """Of a pydantic model, version 1 or 2."""
    made: JsonObject = (getattr(model, "model_json_schema", None) or model.schema)()
    return made


def hidden_arguments(target: Any) -> frozenset[str]:
    """Arguments of a LangChain tool that its framework fills in, and no model gives.

    Those that are in what it runs on and not in what a model is told; and one called `runtime`
    without a type of its own, which LangGraph fills in by its name.
    """
    told = target.tool_call_schema
    names = _fields(told)
    whole = _fields(target.get_input_schema())
    function = _below(target)
    if function is not None:
        parameters = inspect.signature(function).parameters
        whole |= parameters.keys()
        if "runtime" in parameters:
            names -= {"runtime"}
    return frozenset(whole - names) - _unnamed(function)


def _fields(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        return {*schema.get("properties", {})}
    found = getattr(schema, "model_fields", None)
    return {*(schema.__fields__ if found is None else found)}


def _runs(target: Any) -> Callable[..., Any]:
    """What runs a LangChain tool, with everything it does around its function."""
    hidden = hidden_arguments(target)
    required = sorted(hidden & _required(target.get_input_schema()))

    def check() -> None:
        if required:
            raise ToolDefinitionError(
                f"{target.name}: LangGraph fills in {', '.join(required)}, and only in an agent"
                " does; give it to guard_node or WardlineMiddleware"
            )

    if getattr(target, "coroutine", None) is not None:

        async def run_async(**arguments: Any) -> Any:
            check()
            return await target.ainvoke(arguments)

        run_async.__wrapped__ = target.coroutine  # type: ignore[attr-defined] # for the digest
        return run_async

    def run(**arguments: Any) -> Any:
        check()
        return target.invoke(arguments)

    run.__wrapped__ = getattr(target, "func", None) or type(target)._run  # type: ignore[attr-defined] # noqa: SLF001
    return run


def _required(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        return {*schema.get("required", ())}
    fields = getattr(schema, "model_fields", None)
    if fields is None:
        return {name for name, each in schema.__fields__.items() if each.required}
    return {name for name, each in fields.items() if each.is_required()}
