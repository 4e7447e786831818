"""What happens when a decorated function is called in a session: the innermost ring.

With a grant of an outer ring the function runs, once, if it is exactly the call that was
decided. Without one the call is decided here. Sync functions run in their caller's own
thread, async ones in their caller's own task; only what runs in a sandbox runs elsewhere.

There is one way through, written once as coroutines. How the caller waits is a `Bridge`: with
`InTask` it awaits; with `InThread` nothing in the coroutine ever suspends, and `at_once` runs
it to its end like a function.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast

import anyio

from permissions.broker.call import Earlier
from permissions.errors import ArgumentsError, SigningError
from permissions.execution.base import Outcome
from permissions.execution.in_process import run_async, run_sync
from permissions.model import Completed, Denial
from permissions.reasons import Code, reason
from permissions.signing.canonical import digest_of
from permissions.tools.call import ToolCall
from permissions.tools.context import CURRENT_GRANT
from permissions.tools.denied import CallDenied

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from permissions.execution.base import Execution
    from permissions.model import CallResult
    from permissions.sessions.rings import Admitted, OpenRun, Rings
    from permissions.tools.definition import ToolDefinition

T = TypeVar("T")
Work: TypeAlias = "Callable[[], Coroutine[Any, Any, Any]]"
"""Something to be run on the broker's event loop."""


class Bridge(Protocol):
    """How a caller reaches the broker's event loop, and where its in-process tools run."""

    async def ask(self, work: Work) -> Any:
        """Runs `work` on the broker's loop and gives its result.

        Raises:
            NoSessionError: the loop cannot be reached from here.
        """
        ...

    async def finish(self, work: Work) -> Any:
        """`ask` for what ends a call: a caller that was cancelled waits for it all the same."""
        ...

    async def run(self, execution: Execution, injected: Mapping[str, Any]) -> Outcome:
        """Runs the tool's function where its caller is."""
        ...


class InThread:
    """A `Bridge` for callers that block; none of its coroutines suspends.

    Args:
        wait: runs `work` on the broker's loop and waits for it in this thread.
    """

    def __init__(self, wait: Callable[[Work], Any]) -> None:
        self._wait = wait

    async def ask(self, work: Work) -> Any:
        """See `Bridge`."""
        return self._wait(work)

    async def finish(self, work: Work) -> Any:
        """See `Bridge`."""
        return self._wait(work)

    async def run(self, execution: Execution, injected: Mapping[str, Any]) -> Outcome:
        """See `Bridge`."""
        return run_sync(execution, injected)


class InTask:
    """A `Bridge` for callers that await.

    Args:
        wait: runs `work` on the broker's loop, which may be another one.
    """

    def __init__(self, wait: Callable[[Work], Awaitable[Any]]) -> None:
        self._wait = wait

    async def ask(self, work: Work) -> Any:
        """See `Bridge`."""
        return await self._wait(work)

    async def finish(self, work: Work) -> Any:
        """See `Bridge`."""
        with anyio.CancelScope(shield=True):
            return await self._wait(work)

    async def run(self, execution: Execution, injected: Mapping[str, Any]) -> Outcome:
        """See `Bridge`."""
        return await run_async(execution, injected)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits by an `InThread` only, so that it never suspends."""
    try:
        work.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    work.close()
    raise RuntimeError("a coroutine for blocking callers was about to suspend")


class CurrentSession:
    """A session as decorated functions and adapters reach it, wherever its broker runs."""

    def __init__(
        self,
        broker: Rings,
        session: OpenRun,
        *,
        in_thread: InThread,
        in_task: InTask,
    ) -> None:
        self.broker = broker
        self.session = session
        self.in_thread = in_thread
        self.in_task = in_task

    def call_guarded(
        self, definition: ToolDefinition, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Decides, records and runs a call; for an async tool, an awaitable of that.

        Raises:
            NoSessionError: the process was forked since the broker was opened.
            CallDenied: the call was refused.
        """
        self.broker.require_own_process()
        if definition.is_async:
            return self._call(definition, args, kwargs, self.in_task)
        return at_once(self._call(definition, args, kwargs, self.in_thread))

    def explain(self, definition: ToolDefinition, arguments: Mapping[str, Any]) -> Any:
        """What would be decided for a call; for an async tool, an awaitable of that."""
        call = ToolCall(definition.name, arguments)
        work = partial(self.broker.explain, self.session, call)
        self.broker.require_own_process()
        if definition.is_async:
            return self.in_task.ask(work)
        return at_once(self.in_thread.ask(work))

    async def admit(self, call: ToolCall, via: Bridge) -> Admitted | Earlier | Denial:
        """Decides a call; an outer ring then grants it. See `PermissionBroker.admit`."""
        self.broker.require_own_process()
        admitted: Admitted | Earlier | Denial = await via.ask(
            partial(self.broker.admit, self.session, call)
        )
        return admitted

    async def call(
        self, call: ToolCall, injected: Mapping[str, Any], via: Bridge
    ) -> CallResult:
        """Decides a call and runs it, for adapters that run the tool themselves.

        Args:
            call: as it was asked for.
            injected: arguments that a framework fills in, by name; no policy sees them.
            via: how the caller waits.

        Raises:
            Exception: whatever the tool raised, once that is recorded.
        """
        decided = await self.admit(call, via)
        if isinstance(decided, Denial):
            return decided
        return await self.run(decided, injected, via)

    async def run(
        self, admitted: Admitted | Earlier, injected: Mapping[str, Any], via: Bridge
    ) -> CallResult:
        """Runs an admitted call where it is to be run, and ends it.

        Raises:
            Exception: whatever the tool raised, once that is recorded.
        """
        if isinstance(admitted, Earlier):
            return admitted.result
        if admitted.executor is not None:
            settled: CallResult = await via.ask(partial(self.broker.complete, admitted))
            return settled
        return await self._run_here(admitted, admitted.execution, injected, via)

    async def withdraw(self, admitted: Admitted, via: Bridge) -> CallResult:
        """Ends an admitted call whose grant nobody took; nothing was run."""
        return await self._settle(admitted, UNREACHED, via)

    async def _call(
        self,
        definition: ToolDefinition,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        via: Bridge,
    ) -> Any:
        declared, injected = split(definition, args, kwargs)
        grant = CURRENT_GRANT.get()
        if grant is not None and isinstance(grant.void, Denial):
            return unwrap(definition, grant.void)
        if grant is not None and grant.take():
            admitted = cast("Admitted | Earlier", grant.decided)
            if not same_call(definition, admitted, declared):
                grant.void = await self._changed(admitted, via)
                return unwrap(definition, grant.void)
        else:
            decided = await self.admit(ToolCall(definition.name, declared), via)
            if isinstance(decided, Denial):
                return unwrap(definition, decided)
            admitted = decided
            if not is_same_tool(admitted.definition, definition):  # it only shares the name
                return unwrap(definition, await self._changed(admitted, via))
        if not isinstance(admitted, Earlier) and admitted.executor is None:
            called = replace(
                admitted.execution, definition=definition
            )  # the one that was called
            return unwrap(definition, await self._run_here(admitted, called, injected, via))
        return unwrap(definition, await self.run(admitted, injected, via))

    async def _changed(self, admitted: Admitted | Earlier, via: Bridge) -> CallResult:
        """Ends what was decided, since something else reached the tool."""
        if not isinstance(admitted, Earlier):
            return await self._settle(admitted, CHANGED, via)
        earlier = admitted.result
        return Denial(earlier.call, earlier.tool, "denied", (reason(Code.CALL_CHANGED),))

    async def _run_here(
        self, admitted: Admitted, execution: Execution, injected: Mapping[str, Any], via: Bridge
    ) -> CallResult:
        try:
            outcome = await via.run(execution, injected)
        except BaseException:
            gave_up = Outcome("cancelled", enforced=admitted.enforced)
            await self._settle(admitted, gave_up, via)
            raise
        return await self._settle(admitted, outcome, via)

    async def _settle(self, admitted: Admitted, outcome: Outcome, via: Bridge) -> CallResult:
        settled: CallResult = await via.finish(partial(self.broker.settle, admitted, outcome))
        return settled


CHANGED = Outcome(
    "not_run", detail="the tool was reached with other arguments", verdict="changed"
)

UNREACHED = Outcome("not_run", detail="the tool was never reached", verdict="unreached")


def split(
    definition: ToolDefinition, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Declared arguments, which policy sees, and injected ones, which a framework filled in."""
    try:
        bound = definition.bind(args, kwargs)
    except ArgumentsError:
        # Not callable like this at all: let the broker say so, and record it.
        bound = {f"argument {index}": type(value).__name__ for index, value in enumerate(args)}
        bound |= kwargs
    declared = {name: value for name, value in bound.items() if name not in definition.injected}
    injected = {name: bound[name] for name in bound if name in definition.injected}
    return declared, injected


def is_same_tool(known: ToolDefinition, reached: ToolDefinition) -> bool:
    """Whether a function is the tool that was decided: by name and definition, source included.

    One that is made for each session is another object each time, and the same tool.
    """
    return known is reached or (known.name, known.digest) == (reached.name, reached.digest)


def same_call(
    definition: ToolDefinition, admitted: Admitted | Earlier, declared: Mapping[str, Any]
) -> bool:
    """Whether what reached the function is what was decided, defaults and coercions included.

    A function that only shares its name with the registered one is another tool. Arguments are
    compared by digest, as everywhere else; Python takes 1 and True for equal.
    """
    if not is_same_tool(admitted.definition, definition):
        return False
    try:
        reached = digest_of(definition.validate(declared).document)
    except (ArgumentsError, SigningError):
        return False
    # What runs are the arguments that were decided, whatever reached the function.
    return reached == (admitted.asked_digest or admitted.args_digest)


def unwrap(definition: ToolDefinition, result: CallResult) -> Any:
    """A result as a plain Python caller wants it.

    Raises:
        CallDenied: the call was refused and the tool says `on_deny="raise"`.
    """
    if isinstance(result, Completed):
        return result.value
    if definition.options.on_deny == "return":
        return result
    raise CallDenied(result)
