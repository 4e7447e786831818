"""The start of one container in a thread, which whoever waits for it may give up.

Given up, it goes on until the engine answers or its request times out, and then removes what
it started. Nobody waits for that.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from sandbox.errors import SandboxProviderError

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from sandbox.backends.docker.engine import Engine


class Launch:
    """Called once, in a thread: `Engine.launch`."""

    def __init__(self, engine: Engine, request: Mapping[str, Any], *, name: str) -> None:
        self._engine = engine
        self._request = request
        self._name = name
        self._lock = Lock()
        self._stream: socket.socket | None = None
        self._has_ended = False
        self._is_given_up = False

    def __call__(self) -> socket.socket:
        """Starts the container.

        Raises:
            SandboxProviderError: the engine failed; nothing of it is left.
        """
        try:
            stream = self._engine.launch(self._request, name=self._name)
        except BaseException:
            with self._lock:
                self._has_ended = True
            raise
        with self._lock:
            self._has_ended = True
            self._stream = stream
            if not self._is_given_up:
                return stream
        stream.close()
        with suppress(SandboxProviderError):  # its lease ends it
            self._engine.remove(self._name)
        return stream

    @property
    def has_ended(self) -> bool:
        """Whether the engine has answered, or its request has ended."""
        with self._lock:
            return self._has_ended

    def give_up(self) -> bool:
        """Nobody takes the stream any more; True when the thread had ended already."""
        with self._lock:
            self._is_given_up = True
            if self._stream is not None:
                self._stream.close()
            return self._has_ended
