"""Runs a tool inside the caller's own process: no boundary at all.

A path argument reaches the function as the absolute path that was decided.

An async function is held to its deadline. A sync function cannot be stopped from outside its
thread, so a policy that puts a deadline on one is an obligation that cannot be fulfilled: such a
tool has to declare `sandbox="process"`.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from permissions.errors import ToolFailedError
from permissions.execution.base import Outcome
from permissions.execution.halt import BY_PERSON
from permissions.execution.pauses import PAUSED, is_pause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.execution.base import Execution

ENFORCED = {"boundary": "none"}

STOPPED = Outcome("stopped", detail="a person stopped it", verdict=BY_PERSON, enforced=ENFORCED)
STOPPED_BEFORE = Outcome(
    "not_run",
    detail="a person stopped it before it began",
    verdict=BY_PERSON,
    enforced=ENFORCED,
)


def run_sync(execution: Execution, injected: Mapping[str, Any]) -> Outcome:
    """Calls a sync function in this thread; whatever it raises is its outcome."""
    if not execution.halt.begin():
        return STOPPED_BEFORE
    try:
        value = execution.definition.function(**located(execution), **injected)
    except Exception as err:  # noqa: BLE001 - the tool's own exception, given back to its caller
        return _raised(err)
    return _returned(value)


async def run_async(execution: Execution, injected: Mapping[str, Any]) -> Outcome:
    """Awaits an async function under its deadline, or runs a sync one in a worker thread."""
    if not execution.definition.is_async:
        return await anyio.to_thread.run_sync(run_sync, execution, injected)
    with (
        anyio.move_on_after(execution.deadline_seconds) as scope,
        execution.halt.ending(scope) as may,
    ):
        await anyio.lowlevel.checkpoint_if_cancelled()  # who gave up already runs nothing
        if not may:
            return STOPPED_BEFORE
        try:
            value = await execution.definition.function(**located(execution), **injected)
        except Exception as err:  # noqa: BLE001 - see run_sync
            return _raised(err)
        return _returned(value)
    if execution.halt.said:
        return STOPPED
    return Outcome(
        "stopped",
        detail=f"no end within {execution.deadline_seconds:g} s",
        verdict="timeout",
        enforced=ENFORCED,
    )


def located(execution: Execution) -> dict[str, Any]:
    """The arguments with each path as it was decided: absolute, links followed.

    A relative path is meant from the workspace, and the process may stand anywhere else.
    """
    values = dict(execution.arguments.values)
    decided: dict[str, list[str]] = {}
    for target in execution.targets:
        if target["kind"] == "path":
            decided.setdefault(target["argument"], []).append(target["resolved"])
    for name, paths in decided.items():
        values[name] = _with_paths(values[name], iter(paths))
    return values


def _with_paths(value: Any, paths: Iterator[str]) -> Any:
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(_with_paths(item, paths) for item in value)
    return value if value is None else type(value)(next(paths))


def _returned(value: Any) -> Outcome:
    """What came back, unless it is work that would only happen later, outside the record."""
    try:
        is_late = isinstance(value, Iterator | AsyncIterator | Awaitable)
    except Exception:  # noqa: BLE001 - a class that answers no question
        is_late = False
    if not is_late:
        return Outcome("ok", value=value, enforced=ENFORCED)
    if inspect.iscoroutine(value) or inspect.isgenerator(value):
        value.close()
    kind = type(value).__name__
    said = (
        f"it returned a {kind}, whose work would go unrecorded; return what it gives, as a list"
    )
    return _raised(ToolFailedError(said))


def _raised(err: Exception) -> Outcome:
    verdict = PAUSED if is_pause(err) else "ok"
    return Outcome(
        "error", error=err, detail=type(err).__name__, verdict=verdict, enforced=ENFORCED
    )
