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


def die_at(call: int, *, begin: str, of: str, nth: int = 1) -> Calls:
    """Counts a thread's calls of functions from a first one on; dies before the `call`-th.

    What a program leaves on a disk changes in such calls alone, so whoever dies before each of
    them in turn dies in every state there is.

    Args:
        call: 0 never dies.
        begin: the event of `sys.audit` after which calls are counted.
        of: what that event is about: a part of its first argument.
        nth: which of these events.
    """
    calls = Calls()

    def count(frame: FrameType, event: str, argument: object) -> None:
        if event in {"call", "c_call"}:
            calls.count += 1
            if calls.count == call:
                os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal nth
        if event != begin or of not in str(arguments[0]):
            return
        nth -= 1
        if nth == 0:
            sys.setprofile(count)

    sys.addaudithook(hook)
    return calls
