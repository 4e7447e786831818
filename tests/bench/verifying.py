"""A whole log verified: microseconds an entry, and entries a second, on one core."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from measure import MOST_CALLS, Timed, WrongAnswerError, main

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from logs import KEK, SIGNER, write_long_log

from permissions.trace.store import read_lines
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = 10_000
TIMES = 5


def timed(calls_together: int, verify: Callable[[Path], int]) -> Timed:
    """Times `verify` over a log of 40,000 entries, four a call."""
    calls = min(CALLS, MOST_CALLS)
    with tempfile.TemporaryDirectory() as made:
        log = Path(made)
        write_long_log(log, calls=calls, together=calls_together)
        verify(log)
        latencies = []
        for _ in range(TIMES):
            before = time.perf_counter_ns()
            entries = verify(log)
            latencies.append((time.perf_counter_ns() - before) // entries)
            if entries != 4 * calls + 5:
                raise WrongAnswerError(f"{entries} entries were verified")
    return Timed(latencies, sum(latencies))


def verified(log: Path, *, opened: bool = False) -> int:
    """Every root and the last signature; with `opened` also every content."""
    vault = VaultReader(log, KEK) if opened else None
    report = verify_trace(log, key=SIGNER.public, vault=vault, signatures="last")
    if report.integrity.verdict != "signed" or not report.completeness.closed:
        raise WrongAnswerError(f"the log does not verify: {report.integrity.reason}")
    return report.integrity.size


def hashed(log: Path) -> int:
    """No verification: each line read and hashed, which none can do without."""
    entries = 0
    for line in read_lines(log):
        hashlib.sha256(line.data).digest()
        entries += line.data.startswith(b'{"body"')
    return entries


if __name__ == "__main__":
    main(
        {
            "hashed": partial(timed, 500, hashed),
            "alone": partial(timed, 1, verified),
            "together": partial(timed, 500, verified),
            "opened": partial(timed, 500, partial(verified, opened=True)),
        }
    )
