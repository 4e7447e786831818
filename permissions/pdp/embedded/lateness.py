"""Whether a late evaluator is slow, or waits for a processor that others have.

A deadline keeps a policy that runs for ever from being waited for. On a busy machine a clock alone
would also end evaluators that were given no processor, and each that starts anew makes the machine
busier. So one that is late goes on while it waits to run, until it has used the deadline in
processor time, and at most `MOST` times as long by the clock. One that sleeps, is stopped or waits
for a disk gets nothing more.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

MOST: Final = 4
"""Deadlines by the clock, for a question to an evaluator that was kept from running."""
_LEAST: Final = 0.005
"""Seconds after which it is looked at again, at least."""


def more_seconds(*, deadline: float, elapsed: float, used: float, runnable: bool) -> float:
    """How much longer a late question may take; 0 for no longer.

    Args:
        deadline: in seconds, as all of these.
        elapsed: by the clock.
        used: of the processor, for this question.
        runnable: whether the process runs or waits to.
    """
    left = min(deadline - used, MOST * deadline - elapsed)
    return max(left, _LEAST) if runnable and left > 0 else 0.0


def processor_seconds(pid: int) -> float:
    """What a process has used; 0 where nobody can tell (it is gone, or this is not Linux)."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid(3) makes it
    except OSError:
        return 0.0


def is_runnable(pid: int) -> bool:
    """Whether a process runs or waits for a processor."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"R"
    except (OSError, IndexError):
        return False
