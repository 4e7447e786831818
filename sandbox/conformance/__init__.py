"""The suite every backend has to pass, as plain functions: the port's contract, executable.

`CHECKS` maps a name to `async (sandbox) -> None`; a check returns or raises `NotConformantError`.
They need no test framework, so that a backend of somebody else's can be held to them, too.
Each check runs real jobs with the probes in `sandbox/guest/probes`.
"""

from __future__ import annotations

from sandbox.conformance import behaviour, isolation, limits  # noqa: F401 - each fills `CHECKS`
from sandbox.conformance.harness import (
    CHECKS,
    NotConformantError,
    attempt,
    call,
    survivors,
)

__all__ = ["CHECKS", "NotConformantError", "attempt", "call", "survivors"]
