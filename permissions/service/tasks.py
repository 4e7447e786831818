"""Work that goes on beside a block, and ends with it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.abc import TaskGroup


@asynccontextmanager
async def beside() -> AsyncIterator[TaskGroup]:
    """A task group that is cancelled at the end of the block.

    An exception of the block leaves it as it is: a program that catches what its tool raised is
    to find that, and not a group with that in it.
    """
    failure: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        try:
            yield tasks
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as err:  # noqa: BLE001 - raised again below
            failure = err
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
