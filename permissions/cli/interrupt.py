"""Runs an async command so that Ctrl-C ends it at any moment.

asyncio answers SIGINT in Python code, which runs in the main thread and only while that thread
runs. A signal that arrives after the event loop looked and before it sleeps, or that the kernel
hands to another thread (the one that reads the terminal), is noted and wakes nobody: a command
that waits for a person would wait on. So every signal also writes a byte to a socket
(`signal.set_wakeup_fd`) that the loop is asleep on.
"""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]]) -> T:
    """`anyio.run`, ended by SIGINT at any moment.

    Raises:
        KeyboardInterrupt: it was interrupted, and its clean-up is done.
        Exception: what `main` raises, as it raised it.
    """
    results: list[T] = []
    errors: list[Exception] = []

    async def watched() -> None:
        with _signals() as arrived:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_stay_awake, arrived)
                try:
                    results.append(await main())
                except Exception as err:  # noqa: BLE001 - or the group would wrap it
                    errors.append(err)
                tasks.cancel_scope.cancel()

    anyio.run(watched)
    if errors:
        raise errors[0]
    return results[0]


async def _stay_awake(arrived: socket.socket) -> None:
    """Lets the interpreter run after each signal; its handlers do the rest."""
    while True:
        await anyio.wait_readable(arrived)
        arrived.recv(4096)


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket that becomes readable whenever the process gets a signal."""
    arrived, sent = socket.socketpair()
    with arrived, sent:
        arrived.setblocking(False)  # noqa: FBT003 - its signature
        sent.setblocking(False)  # noqa: FBT003 - its signature
        if threading.current_thread() is not threading.main_thread():
            yield arrived  # signals are the main thread's, which does not wait here
            return
        before = signal.set_wakeup_fd(sent.fileno(), warn_on_full_buffer=False)
        try:
            yield arrived
        finally:
            signal.set_wakeup_fd(before)
