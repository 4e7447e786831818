"""Tools: a function with what the broker must know about it.

`@tool` works bare or with keyword options, before any broker exists, and never changes what
callers see: signature, docstring, type hints and sync or async kind stay. What it adds is
`fn.guard`: the tool's definition, and `fn.guard.explain(**arguments)`.
"""

from __future__ import annotations

import inspect
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

from permissions.errors import NoSessionError, ToolDefinitionError
from permissions.tools.checks import check
from permissions.tools.context import CURRENT_SESSION
from permissions.tools.definition import Options, ToolDefinition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from permissions.vocabulary import (
        Effect,
        Impact,
        Isolation,
        Trust,
        WorkspaceUse,
    )

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


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
        self.framework_tool: object | None = None
        """The framework's own tool that it was made from, if it was."""

    @cached_property
    def definition(self) -> ToolDefinition:
        """Built on first use, so that decorating costs an import nothing.

        Raises:
            ToolDefinitionError: the signature cannot be turned into a schema.
        """
        from permissions.tools.schema import define

        return define(self.function, self.options)

    def explain(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """What would be decided for this call in the current session, without running it.

        Returns:
            A `permissions.broker.explanation.Explanation`; for an async tool, an awaitable of one.

        Raises:
            NoSessionError: no session is open.
        """
        session = CURRENT_SESSION.get()
        if session is None:
            raise NoSessionError(_no_session(self.definition.name))
        arguments = self.definition.bind(args, kwargs)
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
    stateful: bool = False,
    workspace: WorkspaceUse = "copy",
    control: Iterable[str] | None = None,
    output: Trust = "untrusted",
    trusted_fields: Iterable[str] = (),
    facts: Iterable[str] = (),
    idempotent: bool = False,
    confirms: bool = False,
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
            boundary it may run behind), `profile` (name of a sandbox profile), `stateful`
            (the calls of one run share a sandbox, and what they leave in it),
            `workspace` (`copy`: files that path arguments name go in and out by copy; `overlay`:
            it works on the whole workspace, and what it changed there is decided after the
            run), `control`
            (arguments that decide where effects go; marked targets always count), `output`
            (`trusted` only for tools whose results nobody else can write into),
            `trusted_fields` (of any other output, the fields that the service itself fills in:
            ids, senders, times; see `permissions.tools.trusted_fields`), `facts` (records of a
            trusted read that policies may reason with, as in `reservation by id`),
            `idempotent`, `confirms` (it completes an effect that an earlier call of the run began,
            as a one-time code does, and names nothing itself), `on_deny` (`raise` `CallDenied`, or `return` the `Denial`),
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
    for name in ("control", "requires", "command", "trusted_fields", "facts"):
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
            return await session.call_guarded(guard.definition, args, kwargs)

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

    A framework's tool that was made from a decorated function counts as that.

    Raises:
        ToolDefinitionError: the object was not decorated with `@tool`.
    """
    guard = getattr(function, "guard", None)
    if guard is None and hasattr(function, "args_schema"):  # one of LangChain's
        for kept in ("func", "coroutine"):
            guard = guard or getattr(getattr(function, kept, None), "guard", None)
    if not isinstance(guard, Guard):
        name = getattr(function, "__qualname__", None) or getattr(function, "name", None)
        raise ToolDefinitionError(
            f"{name or repr(function)[:60]} is not a guarded tool; decorate it with @tool, or"
            " put it under the broker with guard(...) where it is somebody else's"
        )
    return cast("Guard[..., Any]", guard)


def _no_session(name: str) -> str:
    return (
        f"{name} is guarded and was called outside a broker session, so it was not run."
        " Open one: `with Broker(tools=[...]) as broker, broker.session(user=...):`. A thread"
        " of your own does not see it: start it by `contextvars.copy_context().run`, or use"
        " `broker.call(session, ...)`"
    )
