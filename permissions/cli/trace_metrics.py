"""What a verification came to, as a text file that node_exporter's textfile collector serves.

Whoever verifies is another account than the daemon, and often another machine, so it tells
Prometheus by a file of its own. A verification that could not be made has failed, too.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions import files
from permissions.broker.ports import now_us
from permissions.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from permissions.trace.report import Report

_TOLD = (
    ("failed", "Whether the last verification found what must not be, or could not be made."),
    ("findings", "Entries that contradict others, in the last verification."),
    ("entries", "Entries under a verified checkpoint, in the last verification."),
    ("time_seconds", "When the last verification ended, in seconds since 1970 UTC."),
)


@dataclass(slots=True)
class Told:
    """What is known of a verification so far.

    Attributes:
        log: folder of what is verified.
        report: its verdicts, once they are there.
    """

    log: str = ""
    report: Report | None = None


@contextmanager
def told(path: Path | None) -> Iterator[Told]:
    """Writes the file when the block ends, however it does: one that raises has failed.

    Args:
        path: the file, replaced whole; None for none.

    Raises:
        ConfigError: it cannot be written.
    """
    known, failed = Told(), True
    try:
        yield known
        failed = False
    finally:
        if path is not None:
            _write(path, metrics_text(known, failed=failed, now=now_us()))


def metrics_text(known: Told, *, failed: bool, now: int) -> str:
    """The numbers in Prometheus' text format.

    Args:
        known: of the verification.
        failed: whether it came to anything but yes.
        now: microseconds since 1970 UTC.
    """
    report = known.report
    values = {
        "failed": int(failed),
        "findings": 0 if report is None else report.completeness.findings_count,
        "entries": 0 if report is None else report.integrity.size,
        "time_seconds": now / 1_000_000,
    }
    log = known.log.encode(errors="replace").decode()
    for plain, escaped in (("\\", r"\\"), ("\n", r"\n"), ('"', r"\"")):
        log = log.replace(plain, escaped)
    return "".join(
        f"# HELP wardline_verify_{name} {said}\n# TYPE wardline_verify_{name} gauge\n"
        f'wardline_verify_{name}{{log="{log}"}} {values[name]}\n'
        for name, said in _TOLD
    )


def _write(path: Path, text: str) -> None:
    try:
        files.replace(path, text.encode(), mode=0o644)  # whoever serves it is another account
    except OSError as err:
        raise ConfigError(f"--metrics {path} cannot be written: {err.strerror}") from err
