"""The innermost ring: what happens when a decorated function is called.

With a grant of an outer ring the function runs, once, if it is exactly the call that was
decided. Without one the call is decided here. Sync functions run in their caller's own
thread, async ones in their caller's own task; only what runs in a sandbox runs elsewhere.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from permissions.broker.call import Admission
from permissions.errors import ArgumentsError
from permissions.execution.base import Outcome
from permissions.execution.in_process import run_async, run_sync
from permissions.model import Completed
from permissions.tools.call import ToolCall
from permissions.tools.context import take_grant
from permissions.tools.denied import CallDenied

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from permissions.broker.broker import PermissionBroker
    from permissions.broker.explanation import Explanation
    from permissions.model import CallResult
    from permissions.run.state import RunState
    from permissions.tools.definition import Arguments, ToolDefinition


class Ring:
    """A session as decorated functions reach it.

    Args:
        run_sync: runs a coroutine function on the broker's event loop and waits, for callers
            in another thread; raises `NoSessionError` when called on that loop itself.
        run_async: the same for callers that can await.
    """

    def __init__(
        self,
        broker: PermissionBroker,
        session: RunState,
        *,
        run_sync: Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any],
        run_async: Callable[[Callable[[], Coroutine[Any, Any, Any]]], Awaitable[Any]],
    ) -> None:
        self.broker = broker
        self.session = session
        self._run_sync = run_sync
        self._run_async = run_async

    def admit(self, call: ToolCall) -> Admission | CallResult:
        """Decides a call for an outer ring, which then grants it; see `PermissionBroker`."""
        admitted: Admission | CallResult = self._run_sync(
            partial(self.broker.admit, self.session, call)
        )
        return admitted

    async def aadmit(self, call: ToolCall) -> Admission | CallResult:
        """`admit` for callers that can await."""
        admitted: Admission | CallResult = await self._run_async(
            partial(self.broker.admit, self.session, call)
        )
        return admitted

    def withdraw(self, admitted: Admission) -> CallResult:
        """Ends an admitted call whose grant nobody took; nothing was run."""
        settled: CallResult = self._run_sync(partial(self.broker.settle, admitted, UNREACHED))
        return settled

    async def awithdraw(self, admitted: Admission) -> CallResult:
        """`withdraw` for callers that can await; a cancelled caller still waits for it."""
        with anyio.CancelScope(shield=True):
            settled: CallResult = await self._run_async(
                partial(self.broker.settle, admitted, UNREACHED)
            )
        return settled

    def call_guarded(
        self, definition: ToolDefinition, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Decides, records and runs a sync tool in this thread."""
        declared, injected = split(definition, args, kwargs)
        admitted = granted(definition) or self.admit(ToolCall(definition.name, declared))
        if not isinstance(admitted, Admission):
            return unwrap(definition, admitted)
        if not same_call(definition, admitted, declared):
            settled = self._run_sync(partial(self.broker.settle, admitted, CHANGED))
        elif admitted.executor is not None:
            settled = self._run_sync(partial(self.broker.complete, admitted))
        else:
            settled = self._finish_here(admitted, injected)
        return unwrap(definition, settled)

    def _finish_here(self, admitted: Admission, injected: Mapping[str, Any]) -> CallResult:
        try:
            outcome = run_sync(admitted.execution, injected)
        except BaseException:
            gave_up = Outcome("cancelled", enforced=admitted.enforced)
            self._run_sync(partial(self.broker.settle, admitted, gave_up))
            raise
        settled: CallResult = self._run_sync(partial(self.broker.settle, admitted, outcome))
        return settled

    async def acall_guarded(
        self, definition: ToolDefinition, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Decides, records and runs an async tool in this task."""
        declared, injected = split(definition, args, kwargs)
        admitted = granted(definition) or await self.aadmit(ToolCall(definition.name, declared))
        if not isinstance(admitted, Admission):
            return unwrap(definition, admitted)
        if not same_call(definition, admitted, declared):
            settled = await self._run_async(partial(self.broker.settle, admitted, CHANGED))
        elif admitted.executor is not None:
            settled = await self._run_async(partial(self.broker.complete, admitted))
        else:
            settled = await self._afinish_here(admitted, injected)
        return unwrap(definition, settled)

    async def _afinish_here(
        self, admitted: Admission, injected: Mapping[str, Any]
    ) -> CallResult:
        try:
            outcome = await run_async(admitted.execution, injected)
        except BaseException:
            gave_up = Outcome("cancelled", enforced=admitted.enforced)
            with anyio.CancelScope(shield=True):
                await self._run_async(partial(self.broker.settle, admitted, gave_up))
            raise
        settled: CallResult = await self._run_async(
            partial(self.broker.settle, admitted, outcome)
        )
        return settled

    def explain(self, definition: ToolDefinition, arguments: Mapping[str, Any]) -> Explanation:
        """What would be decided for a call."""
        explained: Explanation = self._run_sync(
            partial(self.broker.explain, self.session, ToolCall(definition.name, arguments))
        )
        return explained

    async def aexplain(
        self, definition: ToolDefinition, arguments: Mapping[str, Any]
    ) -> Explanation:
        """What would be decided for a call, for callers that can await."""
        explained: Explanation = await self._run_async(
            partial(self.broker.explain, self.session, ToolCall(definition.name, arguments))
        )
        return explained


CHANGED = Outcome(
    "not_run", detail="the tool was reached with other arguments", verdict="changed"
)

UNREACHED = Outcome("not_run", detail="the tool was never reached", verdict="unreached")


def granted(definition: ToolDefinition) -> Admission | Completed | None:
    """What an outer ring decided about this call, used up by this."""
    decided = take_grant(definition)
    return decided if isinstance(decided, Admission | Completed) else None


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


def same_call(
    definition: ToolDefinition, admitted: Admission, declared: Mapping[str, Any]
) -> bool:
    """Whether what reached the function is what was decided, defaults and coercions included.

    A function that only shares its name with the registered one is another tool.
    """
    if admitted.definition is not definition:
        return False
    try:
        arguments: Arguments = definition.validate(declared)
    except ArgumentsError:
        return False
    return arguments.document == admitted.question.arguments.document


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
