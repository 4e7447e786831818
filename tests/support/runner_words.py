"""Frames as the runner inside a sandbox writes them, for tests of what listens to it."""

from __future__ import annotations

import json
from typing import Any

from sandbox.supervisor.wire import frame

GREETING = frame("H", b'{"python": [3, 11, 2]}')
READY = frame("A", b"")
HELLO = GREETING + READY
"""All a runner says before its job."""
TAKEN = frame("j", b"")
BEGUN = HELLO + TAKEN
"""All a runner says until its job starts."""


def report(kind: str = "z", **changes: Any) -> bytes:
    """The last frame of a run (or `c`, of a call of a session) that went well, with changes."""
    said = {
        "exit_code": 0,
        "signal": None,
        "cpu_seconds": 0.1,
        "max_rss_bytes": 1,
        "disk_full": False,
        "cpu_limit": False,
        "oom_kills": 0,
        "pids_denials": 0,
    }
    return frame(kind, json.dumps(said | changes).encode())
