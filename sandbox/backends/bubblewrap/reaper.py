"""What bubblewrap can leave behind when its owner is killed, and its removal.

A launcher that dies in its first milliseconds can leave a child that waits for it for ever:
bubblewrap sets `--die-with-parent` only after that wait. Such a child has run nothing of the
job. Every launcher carries its owner's lease in its own environment (which the runner inside
does not inherit), so it can be told from other people's processes. One that is in the middle
of an exec shows no environment for that moment; the next pass finds it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from sandbox.isolation import cgroup
from sandbox.lease import Lease
from sandbox.workspace import host_mounts

LEASE_VARIABLE = "WARDLINE_LEASE"

GONE_SECONDS = 1.0
"""For killed launchers to be gone."""


def launchers() -> dict[int, str]:
    """Process id -> lease of every launcher this user may look at."""
    found = {}
    prefix = f"{LEASE_VARIABLE}=".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            for entry in path.read_bytes().split(b"\0"):
                if entry.startswith(prefix):
                    lease = entry.removeprefix(prefix).decode("ascii", "replace")
                    found[int(path.parent.name)] = lease
    return found


def reap() -> int:
    """Ends launchers, removes overlays and groups whose owner is gone; gives the number of groups."""
    deadline = time.monotonic() + GONE_SECONDS
    # Again until none is seen: one that was about to fork has a child in the next pass.
    while (abandoned := _abandoned_launchers()) and time.monotonic() < deadline:
        for pid in abandoned:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)
    host_mounts.reap()
    return cgroup.reap()


def _abandoned_launchers() -> list[int]:
    leases = {pid: Lease.parse(text) for pid, text in launchers().items()}
    return [pid for pid, lease in leases.items() if lease is not None and lease.is_abandoned()]
