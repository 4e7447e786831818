"""Tools: a function with what the broker must know about it.

`@tool` works bare or with keyword options, before any broker exists, and never changes what
callers see: signature, docstring, type hints and sync or async kind stay. What it adds is
`fn.guard`: the tool's definition, and `fn.guard.explain(**arguments)`.

A tool is known by its definition's digest: name, schema, declarations and source text. An
approval or a plan made for one digest does not hold for another.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, update_wrapper
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    overload,
)

from permissions.declaration import check
from permissions.errors import ArgumentsError, NoSessionError, ToolDefinitionError
from permissions.grants import CURRENT_SESSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import BaseModel, TypeAdapter

    from permissions.targets import Target
    from permissions.vocabulary import (
        Digest,
        Effect,
        Impact,
        Isolation,
        JsonObject,
        Trust,
        WorkspaceUse,
    )

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Options:
    """What the decorator was told. The defaults are the most suspicious reading."""

    name: str | None = None
    effect: Effect = "execute"
    impact: Impact = "high"
    sandbox: Isolation = "none"
    profile: str | None = None
    single_use: bool = True
    workspace: WorkspaceUse = "copy"
    control: tuple[str, ...] | None = None
    output: Trust = "untrusted"
    idempotent: bool = False
    on_deny: Literal["raise", "return"] = "raise"
    requires: tuple[str, ...] = ()
    command: tuple[str, ...] | None = None
    shell: bool = False


@dataclass(frozen=True, slots=True)
class Arguments:
    """Arguments that fit the tool's schema, defaults filled in.

    `values` are the coerced Python values the function gets; `document` the same as JSON;
    `defaulted` the names nobody gave.
    """

    values: dict[str, Any]
    document: JsonObject
    defaulted: frozenset[str]

    @property
    def given(self) -> JsonObject:
        """The arguments somebody gave, as JSON: what has the same `defaulted` when validated."""
        return {k: value for k, value in self.document.items() if k not in self.defaulted}


@dataclass(frozen=True)
class ToolDefinition:
    """Everything the stages need to know about one tool."""

    name: str
    description: str
    function: Callable[..., Any]
    options: Options
    model: type[BaseModel]
    schema: JsonObject
    output_adapter: TypeAdapter[Any]
    output_schema: JsonObject | None
    targets: Mapping[str, Target]
    control: frozenset[str]
    injected: frozenset[str]
    digest: Digest

    @property
    def effect(self) -> Effect:
        """What the tool does to the world."""
        return self.options.effect

    @property
    def impact(self) -> Impact:
        """How bad a wrong call would be."""
        return self.options.impact

    @property
    def isolation(self) -> Isolation:
        """The weakest boundary it may run behind."""
        return self.options.sandbox

    @property
    def workspace(self) -> WorkspaceUse:
        """How it meets the workspace when it runs behind a boundary."""
        return self.options.workspace

    @property
    def output(self) -> Trust:
        """Whether what it returns may be believed."""
        return self.options.output

    @cached_property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return inspect.iscoroutinefunction(self.function)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Positional and keyword arguments by name.

        Raises:
            ArgumentsError: they do not fit the signature.
        """
        try:
            return dict(inspect.signature(self.function).bind(*args, **kwargs).arguments)
        except TypeError as err:
            raise ArgumentsError([str(err)]) from err

    def validate(self, arguments: Mapping[str, Any]) -> Arguments:
        """Checks arguments with the tool's own schema and fills in defaults.

        The values are read back from the document, so that the function gets exactly what
        was decided: nothing the caller still holds, and nothing that JSON cannot show.

        Raises:
            ArgumentsError: they do not fit; unknown names are refused, injected ones too. Or
                they have no JSON form that reads back as the same.
        """
        checked = self._checked(arguments)
        shown = _document(checked)
        again = self._checked(shown)
        document = _document(again)
        if document != shown:
            raise ArgumentsError(["arguments: a value does not read back from its JSON form"])
        fields = self.model.model_fields
        return Arguments(
            values={str(field.alias): getattr(again, key) for key, field in fields.items()},
            document=document,
            defaulted=frozenset(
                str(field.alias)
                for key, field in fields.items()
                if key not in checked.model_fields_set
            ),
        )

    def _checked(self, arguments: Mapping[str, Any]) -> BaseModel:
        from pydantic import ValidationError

        if not isinstance(arguments, Mapping):
            raise ArgumentsError(["arguments: not an object of names and values"])
        try:
            return self.model.model_validate(dict(arguments))
        except ValidationError as err:
            raise ArgumentsError(
                [
                    f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}"
                    for fault in err.errors(include_url=False, include_input=False)
                ]
            ) from err


def _document(checked: BaseModel) -> JsonObject:
    try:
        return checked.model_dump(mode="json", by_alias=True, warnings=False)
    except (ValueError, TypeError, RecursionError) as err:
        raise ArgumentsError(
            [f"arguments: a value has no JSON form ({type(err).__name__})"]
        ) from err


class GuardedTool(Protocol[P, R_co]):
    """A decorated function: called as before, with `guard` beside it."""

    __name__: str

    @property
    def guard(self) -> Guard[P, R_co]:
        """The tool's definition, and what would be decided for a call."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Decides, records and runs; refuses with `CallDenied`."""
        ...


class Guard(Generic[P, R_co]):
    """What stands beside a decorated function as `fn.guard`."""

    def __init__(self, function: Callable[P, R_co], options: Options) -> None:
        self.function = function
        self.options = options

    @cached_property
    def definition(self) -> ToolDefinition:
        """Built on first use, so that decorating costs an import nothing.

        Raises:
            ToolDefinitionError: the signature cannot be turned into a schema.
        """
        from permissions.definition import define

        return define(self.function, self.options)

    def explain(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """What would be decided for this call in the current session, without running it.

        Returns:
            A `permissions.explain.Explanation`; for an async tool, an awaitable of one.

        Raises:
            NoSessionError: no session is open.
        """
        session = CURRENT_SESSION.get()
        if session is None:
            raise NoSessionError(_no_session(self.definition.name))
        arguments = self.definition.bind(args, kwargs)
        if self.definition.is_async:
            return session.aexplain(self.definition, arguments)
        return session.explain(self.definition, arguments)


@overload
def tool(function: Callable[P, R], /) -> GuardedTool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    effect: Effect = "execute",
    impact: Impact = "high",
    sandbox: Isolation = "none",
    profile: str | None = None,
    single_use: bool = True,
    workspace: WorkspaceUse = "copy",
    control: Iterable[str] | None = None,
    output: Trust = "untrusted",
    idempotent: bool = False,
    on_deny: Literal["raise", "return"] = "raise",
    requires: Iterable[str] = (),
    command: Iterable[str] | None = None,
    shell: bool = False,
) -> Callable[[Callable[P, R]], GuardedTool[P, R]]: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Puts a function under the broker.

    Args:
        function: the function, when used without options.
        **options: `name` (default: the function's), `effect`, `impact`, `sandbox` (weakest
            boundary it may run behind), `profile` (name of a sandbox profile), `single_use`
            (false: the calls of one run share a sandbox, and what they leave in it),
            `workspace` (`copy`: files that path arguments name go in and out by copy; `layer`:
            it works on the whole workspace, and what it changed there is decided after the
            run), `control`
            (arguments that decide where effects go; marked targets always count), `output`
            (`trusted` only for tools whose results nobody else can write into),
            `idempotent`, `on_deny` (`raise` `CallDenied`, or `return` the `Denial`),
            `requires` (distributions a sandbox must have, PEP 508), `command` (the words of an
            argv with `{argument}` in them, run in place of the function, which only declares
            the arguments), `shell` (`command` is one text for a shell; arguments are `$1`, ...).

    Raises:
        ToolDefinitionError: an option has a value outside its vocabulary, or the function is
            of a kind that cannot be guarded (method, generator, finished framework tool).
    """
    if function is not None:
        return _decorate(function, Options())
    if unknown := options.keys() - Options.__dataclass_fields__.keys():
        raise ToolDefinitionError(
            f"@tool has no option {', '.join(map(repr, sorted(unknown)))}; it knows"
            f" {', '.join(Options.__dataclass_fields__)}"
        )
    for name in ("control", "requires", "command"):
        if options.get(name) is not None:
            options[name] = _words(name, options[name])
    chosen = Options(**options)
    return lambda fn: _decorate(fn, chosen)


def _words(option: str, given: Any) -> tuple[str, ...]:
    words = (given,) if isinstance(given, str) else tuple(given)
    if not all(isinstance(word, str) for word in words):
        raise ToolDefinitionError(f"@tool: {option}= takes texts")
    return words


def _decorate(function: Callable[..., Any], options: Options) -> Any:
    check(function, options)
    guard: Guard[..., Any] = Guard(function, options)
    if inspect.iscoroutinefunction(function):

        async def guarded_async(*args: Any, **kwargs: Any) -> Any:
            session = CURRENT_SESSION.get()
            if session is None:
                raise NoSessionError(_no_session(guard.definition.name))
            return await session.acall_guarded(guard.definition, args, kwargs)

        wrapper: Any = guarded_async
    else:

        def guarded(*args: Any, **kwargs: Any) -> Any:
            session = CURRENT_SESSION.get()
            if session is None:
                raise NoSessionError(_no_session(guard.definition.name))
            return session.call_guarded(guard.definition, args, kwargs)

        wrapper = guarded
    update_wrapper(wrapper, function)
    wrapper.guard = guard
    return wrapper


def guard_of(function: object) -> Guard[..., Any]:
    """The guard of a decorated function.

    Raises:
        ToolDefinitionError: the object was not decorated with `@tool`.
    """
    guard = getattr(function, "guard", None)
    if not isinstance(guard, Guard):
        name = getattr(function, "__qualname__", repr(function)[:60])
        raise ToolDefinitionError(f"{name} is not a guarded tool; decorate it with @tool")
    return cast("Guard[..., Any]", guard)


def _no_session(name: str) -> str:
    return (
        f"{name} is guarded and was called outside a broker session, so it was not run."
        " Open one: `with Broker(tools=[...]) as broker, broker.session(user=...):`. A thread"
        " of your own does not see it: start it by `contextvars.copy_context().run`, or use"
        " `broker.call(session, ...)`"
    )
