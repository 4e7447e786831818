"""Records what an attempt has noted: shielded from whoever gives up, with a deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from permissions.errors import TraceWriteError

if TYPE_CHECKING:
    from permissions.broker.call import Attempt
    from permissions.broker.ports import BrokerParts
    from permissions.model import Evidence

RECORDING_SECONDS = 10.0
"""How long one record may take, whoever has given up meanwhile."""


async def flush(parts: BrokerParts, attempt: Attempt, evidence: Evidence) -> None:
    """Records what the attempt has noted. Nobody who gives up can tear it apart.

    Raises:
        TraceError: it cannot be recorded. What was refused is noted again for the record of
            the denial, except that the call was about to start.
    """
    entries, attempt.entries = attempt.entries, []
    with anyio.move_on_after(RECORDING_SECONDS, shield=True) as scope:
        try:
            await parts.trace.append(entries, evidence=evidence)
        except Exception:
            attempt.entries = [entry for entry in entries if entry.type != "start"]
            raise
    if scope.cancelled_caught:
        raise TraceWriteError(f"the trace gave no answer in {RECORDING_SECONDS:g} s")
