"""Who owns a sandbox: enough to tell, after a crash, that the owner is gone for good.

A lease names the boot, the process namespace, the process and its start time, so that a
recycled process id is not mistaken for its former holder. While its owner lives a lease holds,
whatever a clock says. An owner in another process namespace cannot be looked up; its leases are
given up when they have expired, by a clock that nobody sets.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sandbox.errors import SandboxProviderError

GRACE_SECONDS = 120
"""Added to a run's own wall clock: after that, no owner can still be waiting for it."""

_SHIFT = 1 << 32


@dataclass(frozen=True, slots=True)
class Lease:
    """The owner of a sandbox and when its claim ends (by the clock of `_now`)."""

    boot: str
    namespace: str
    pid: int
    started: int
    expires: int

    @classmethod
    def of_this_process(cls, *, wall_seconds: float) -> Lease:
        """A lease for a run that this process starts now.

        Raises:
            SandboxProviderError: this process has no descriptor left to look at itself.
        """
        return cls(
            boot=_boot(),
            namespace=_namespace(),
            pid=os.getpid(),
            started=_own_start(os.getpid()),
            expires=int(_now() + wall_seconds + GRACE_SECONDS),
        )

    @classmethod
    def parse(cls, text: str) -> Lease | None:
        """The lease in `text`; None when it is no lease."""
        match text.split("."):
            case [boot, namespace, pid, started, expires]:
                numbers = (pid, started, expires)
                if all(number.isascii() and number.isdigit() for number in numbers):
                    return cls(boot, namespace, *map(int, numbers))
        return None

    def __str__(self) -> str:
        """As `parse` reads it; fit for a label and for a file name."""
        return f"{self.boot}.{self.namespace}.{self.pid}.{self.started}.{self.expires}"

    def is_abandoned(self) -> bool:
        """True when nobody can be using what this lease was for."""
        try:
            if self.boot != _boot():
                return True
            if self.namespace == _namespace():
                return _started(self.pid) != self.started
            return _now() > self.expires
        except OSError:
            return False  # whom we cannot look at may be alive


def _now() -> float:
    """Seconds since boot, with those asleep: a clock that cannot be set.

    Shifted beyond Unix time, so that whoever compares the two takes nobody's run for over.
    """
    return _SHIFT + time.clock_gettime(time.CLOCK_BOOTTIME)


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


@cache
def _namespace() -> str:
    return "".join(
        letter for letter in str(Path("/proc/self/ns/pid").readlink()) if letter.isdigit()
    )


@cache
def _own_start(pid: int) -> int:
    """Of this process, which is another one after a fork."""
    try:
        started = _started(pid)
    except OSError as err:
        raise SandboxProviderError(f"this process cannot look at itself: {err}") from err
    if started is None:
        raise SandboxProviderError("this process is not in /proc; mount one for its namespace")
    return started


def _started(pid: int) -> int | None:
    """Start time in clock ticks since boot, field 22 of proc(5) stat; None without a process.

    Raises:
        OSError: it cannot be looked at.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        # A /proc mounted with `hidepid` does not show another user's: asking to signal tells.
        with suppress(ProcessLookupError, OverflowError):
            os.kill(pid, 0)
        return None
    return int(text.rpartition(")")[2].split()[19])
