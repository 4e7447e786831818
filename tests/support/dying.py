"""Death by SIGKILL in the middle of something, at a chosen call and not at a moment."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType


@dataclass
class Calls:
    """How many were counted so far."""

    count: int = 0


def die_at(call: int, *, begin: str, of: str) -> Calls:
    """Counts a thread's calls of functions from a first one on; dies before the `call`-th.

    What a program leaves on a disk changes in such calls alone, so whoever dies before each of
    them in turn dies in every state there is.

    Args:
        call: 0 never dies.
        begin: the event of `sys.audit` by which the first call is known.
        of: what that call is about: the event's first argument.
    """
    calls = Calls()

    def count(frame: FrameType, event: str, argument: object) -> None:
        if event in {"call", "c_call"}:
            calls.count += 1
            if calls.count == call:
                os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == begin and arguments[0] == of:
            sys.setprofile(count)

    sys.addaudithook(hook)
    return calls
