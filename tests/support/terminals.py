"""A program on a terminal of its own, and somebody who types."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


SECONDS = 90.0
"""Within which a program on a busy machine has said or done what it ever will."""


class Terminal:
    """The person's side: what is on the screen, and the keys."""

    def __init__(self, process: subprocess.Popen[bytes], keys: int) -> None:
        self.process = process
        self.screen = ""
        self._keys = keys

    def read_until(self, text: str) -> None:
        """Waits until `text` has come up since the last time."""
        deadline, start = time.monotonic() + SECONDS, len(self.screen)
        while text not in self.screen[start:]:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} within {SECONDS} s; the screen:\n{self.screen}"
            if select.select([self._keys], [], [], left)[0]:
                self.screen += os.read(self._keys, 65536).decode(errors="replace")

    def type(self, keys: str) -> None:
        """Types; the character 3 is Ctrl-C."""
        os.write(self._keys, keys.encode())

    def exit_code(self) -> int:
        """Waits for the end while what is said is read."""
        deadline = time.monotonic() + SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"still running; the screen:\n{self.screen}"
            self._drain(0.05)
        self._drain(0)
        return self.process.returncode

    def _drain(self, seconds: float) -> None:
        try:
            while select.select([self._keys], [], [], seconds)[0]:
                self.screen += os.read(self._keys, 65536).decode(errors="replace")
        except OSError:
            pass  # Linux says EIO when the program's side is closed


@contextmanager
def on_a_terminal(command: Sequence[str], *, cwd: Path | None = None) -> Iterator[Terminal]:
    """Runs a command as the leader of a session with a controlling terminal."""
    keys, screen = pty.openpty()
    os.set_inheritable(screen, True)  # noqa: FBT003 - its signature
    # Opening it makes it the terminal of the session that `setsid` begins.
    name = os.ttyname(screen)
    process = subprocess.Popen(
        ["setsid", "sh", "-c", 'exec "$@" <>"$0" >&0 2>&0', name, *command], cwd=cwd
    )
    try:
        yield Terminal(process, keys)
    finally:
        process.kill()
        process.wait()
        os.close(screen)
        os.close(keys)
