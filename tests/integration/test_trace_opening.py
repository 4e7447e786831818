"""What does not grow with a log: the time to open it and a run of it, the memory to verify it."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import anyio
import pytest
from logs import CONFIG, KEK, NAME, SIGNER, record_run, write_long_log

from permissions.trace.index import TraceIndex
from permissions.trace.log import open_log

if TYPE_CHECKING:
    from pathlib import Path

SHORT = 250
TIMES = 9
MOST_MIB = 100
VERIFY = """
import sys
from pathlib import Path
from permissions.trace.verify import verify_trace
report = verify_trace(Path(sys.argv[1]), signatures="last")
assert report.completeness.is_whole
status = Path("/proc/self/status").read_text()  # `ru_maxrss` counts who started it
print(report.integrity.size, int(status.partition("VmHWM:")[2].split()[0]) // 1024)
"""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(5_000, id="20-thousand-entries", marks=pytest.mark.slow),
        pytest.param(
            250_000, id="a-million-entries", marks=[pytest.mark.long, pytest.mark.timeout(3000)]
        ),
    ],
)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A log of a thousand entries, and one of many."""
    root = tmp_path_factory.mktemp("opening")
    for name, calls in (("short", SHORT), ("long", request.param)):
        write_long_log(root / name / "trace", calls=calls)
    return root / "short", root / "long"


def test_memory_does_not_grow_with_what_is_verified(both: tuple[Path, Path]) -> None:
    said = subprocess.run(
        [sys.executable, "-c", VERIFY, str(both[1] / "trace")],
        capture_output=True,
        text=True,
        check=True,
    )

    entries, mib = map(int, said.stdout.split())
    assert entries >= 20_000
    assert mib <= MOST_MIB


def test_opening_costs_the_same_at_any_length(both: tuple[Path, Path]) -> None:
    """By processor time, the least of some; a fifth more at most, of what a thousand cost."""
    for folder in both:
        opened(folder)  # makes the index, once

    rounds = [[opened(folder) for folder in both] for _ in range(TIMES)]

    short, long = map(min, zip(*rounds, strict=True))
    assert long <= 1.2 * short, (short, long)


def opened(folder: Path) -> float:
    """Seconds of processor until a writer and a reader of one run are open."""
    run = f"run-{time.monotonic_ns()}"

    async def main() -> float:
        before = time.process_time()
        async with open_log(
            folder / "trace", name=NAME, signer=SIGNER, kek=KEK, config=CONFIG
        ) as log:
            taken = time.process_time() - before
            await record_run(log, run, 2)
        before = time.process_time()
        with TraceIndex(folder / "trace", folder / "trace.index").reading() as reading:
            assert len(list(reading.run(run))) == 2 + 4 * 2
        return taken + time.process_time() - before

    return anyio.run(main)
