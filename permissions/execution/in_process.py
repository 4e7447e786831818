"""Runs a tool inside the caller's own process: no boundary at all.

An async function is held to its deadline. A sync function cannot be stopped from outside its
thread, so a policy that puts a deadline on one is a duty that cannot be fulfilled: such a
tool has to declare `sandbox="process"`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from permissions.execution.base import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.execution.base import Execution

ENFORCED = {"boundary": "none"}


def run_sync(execution: Execution, injected: Mapping[str, Any]) -> Outcome:
    """Calls a sync function in this thread; whatever it raises is its outcome."""
    try:
        value = execution.definition.function(**execution.arguments.values, **injected)
    except Exception as err:  # noqa: BLE001 - the tool's own exception, given back to its caller
        return _raised(err)
    return Outcome("ok", value=value, enforced=ENFORCED)


async def run_async(execution: Execution, injected: Mapping[str, Any]) -> Outcome:
    """Awaits an async function under its deadline, or runs a sync one in a worker thread."""
    if not execution.definition.is_async:
        return await anyio.to_thread.run_sync(run_sync, execution, injected)
    with anyio.move_on_after(execution.deadline_seconds):
        try:
            value = await execution.definition.function(
                **execution.arguments.values, **injected
            )
        except Exception as err:  # noqa: BLE001 - see run_sync
            return _raised(err)
        return Outcome("ok", value=value, enforced=ENFORCED)
    return Outcome(
        "stopped",
        detail=f"no end within {execution.deadline_seconds:g} s",
        verdict="timeout",
        enforced=ENFORCED,
    )


def _raised(err: Exception) -> Outcome:
    return Outcome("error", error=err, detail=type(err).__name__, enforced=ENFORCED)
