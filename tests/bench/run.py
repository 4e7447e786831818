"""Runs every case beside its peer and writes docs/reference/benchmarks.md.

Each case is a process of its own. Cases are run in rounds, so that slow drift of a shared
machine spreads over all of them; a figure is the median over rounds. Only ratios within one
run mean something; the absolute figures are those of the machine it ran on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "reference" / "benchmarks.md"
PEERS = {
    "toolkit": ("agent-governance-toolkit-core==5.0.0", "agt-policies==5.0.0"),
    "llm": ("llm-sandbox[docker]==0.3.46",),
    "agt": ("agt-sandbox[docker]==5.0.0",),
}
"""Program of this folder -> what its environment is made from."""
RUNSC = "runsc"
"""Needed of the Docker engine, as a runtime; everything else is looked up on PATH."""
CASE_SECONDS = 300
HEAD = (
    "# Benchmarks",
    "",
    "Written by `make bench`; do not edit.",
    "Each case is a process of its own, run in turns with its peers, and checks its answers.",
    "Only the ratios mean something; the absolute figures are one machine's at one time.",
    "",
)


@dataclass(frozen=True, slots=True)
class Case:
    """One way to do a piece of work: a program of this folder, and the case in it."""

    who: str
    program: str
    name: str
    needs: str = ""

    @property
    def interpreter(self) -> str:
        """Peers run in their own environment."""
        return sys.executable if self.program not in PEERS else str(_python(self.program))


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of work and those who do it. The first one is what the others are compared to."""

    title: str
    cases: tuple[Case, ...]


WORKS = (
    Work(
        "One decision in Rego, small policy",
        (
            Case("toolkit 5, Rego through `opa eval`", "toolkit", "rego", "opa"),
            Case("toolkit 5, its own fixed rules", "toolkit", "rules"),
            Case("Wardline, evaluator in its own process", "decisions", "isolated"),
            Case("Wardline's engine, in the caller's process", "decisions", "in-process"),
        ),
    ),
    Work(
        "A full governed call of a tool that does nothing",
        (
            Case("toolkit 5 `govern()`: unsigned, in memory", "toolkit", "governed"),
            Case("Wardline, `buffered`: signed", "calls", "buffered"),
            Case("Wardline, `durable`: signed, on disk before and after", "calls", "durable"),
            Case("Wardline, `durable`, 64 callers", "calls", "durable-together"),
            Case("Wardline, `durable`, the shipped policies", "calls", "shipped"),
        ),
    ),
    Work(
        "`print(1)` in Python, cold",
        (
            Case("hardened `docker run`", "sandboxes", "docker-run", "docker"),
            Case("llm-sandbox 0.3.46: open, run, close", "llm", "cold", "docker"),
            Case("agt-sandbox 5: create, execute (destroy not timed)", "agt", "cold", "docker"),
            Case("Wardline, Docker", "sandboxes", "docker", "docker"),
            Case("Wardline, OCI runtime", "sandboxes", "oci", "crun"),
            Case("Wardline, Docker with gVisor", "sandboxes", "runsc", RUNSC),
            Case("Wardline, bubblewrap", "sandboxes", "bubblewrap"),
            Case("no sandbox: `python3 -c`", "sandboxes", "bare"),
        ),
    ),
    Work(
        "`print(1)` in Python, in a sandbox that was there: ours used once, theirs again and again",
        (
            Case("no sandbox: `python3 -c`", "sandboxes", "bare"),
            Case(
                "llm-sandbox 0.3.46, Docker: run in an open session", "llm", "session", "docker"
            ),
            Case("llm-sandbox 0.3.46, Docker: from its pool", "llm", "pool", "docker"),
            Case("agt-sandbox 5, Docker: execute in a session", "agt", "session", "docker"),
            Case("Wardline, Docker, prewarmed", "sandboxes", "docker-prewarmed", "docker"),
            Case("Wardline, OCI runtime, prewarmed", "sandboxes", "oci-prewarmed", "crun"),
            Case(
                "Wardline, Docker with gVisor, prewarmed", "sandboxes", "runsc-prewarmed", RUNSC
            ),
            Case("Wardline, bubblewrap, prewarmed", "sandboxes", "bubblewrap-prewarmed"),
        ),
    ),
    Work(
        "`print(1)` in Python, 4 callers that never pause, every start and removal included",
        (
            Case("llm-sandbox 0.3.46, Docker, pool of 4, reused", "llm", "sustained", "docker"),
            Case("agt-sandbox 5, Docker, 4 sessions, reused", "agt", "sustained", "docker"),
            Case("Wardline, Docker", "sandboxes", "docker-sustained", "docker"),
            Case("Wardline, OCI runtime", "sandboxes", "oci-sustained", "crun"),
            Case("Wardline, bubblewrap", "sandboxes", "bubblewrap-sustained"),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over the rounds, in microseconds, calls per second and MiB of one that waits.

    `memory` is 0 where nothing waits.
    """

    p50: float
    p99: float
    per_second: float
    memory: float = 0.0


def _python(peer: str) -> Path:
    return ROOT / ".bench" / peer / "bin" / "python"


def _prepare(peer: str) -> bool:
    """Makes a peer's environment, away from the project's; False when it cannot be had."""
    ready = ROOT / ".bench" / peer / ".ready"
    if ready.exists():
        return True
    create = ["uv", "venv", "--quiet", "--clear", str(ready.parent)]
    fill = ["uv", "pip", "install", "--quiet", "--python", str(_python(peer)), *PEERS[peer]]
    if any(subprocess.run(step, check=False).returncode for step in (create, fill)):
        return False
    ready.touch()
    return True


def measure(case: Case) -> dict[str, float]:
    """One process, one case.

    Raises:
        RuntimeError: it failed; a case that cannot be measured is not left out quietly.
    """
    done = subprocess.run(
        [case.interpreter, str(HERE / f"{case.program}.py"), case.name],
        cwd=ROOT / ".bench",
        capture_output=True,
        text=True,
        check=False,
        timeout=CASE_SECONDS,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{case.program} {case.name}: {done.stderr.strip()[-800:]}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def run(works: tuple[Work, ...], rounds: int) -> dict[Case, Figures]:
    """Every case that can be measured here, round after round."""
    named = dict.fromkeys(case for work in works for case in work.cases)
    lacks = {case: lacking(case) for case in named}
    for case in named:
        if lacks[case]:
            sys.stderr.write(f"NOT MEASURED: {case.who}: {lacks[case]}\n")
    cases = [case for case in named if not lacks[case]]
    runs: dict[Case, list[dict[str, float]]] = {case: [] for case in cases}
    for number in range(1, rounds + 1):
        for case in cases:
            runs[case].append(measure(case))
            sys.stderr.write(f"round {number}: {case.who}: {runs[case][-1]['p50_us']:.0f} us\n")
    return {
        case: Figures(
            *(
                statistics.median(each[key] for each in measured)
                for key in ("p50_us", "p99_us", "per_second", "memory_mib")
            )
        )
        for case, measured in runs.items()
    }


@cache
def lacking(case: Case) -> str:
    """What this machine lacks to measure a case, if anything."""
    if case.program in PEERS and not _prepare(case.program):
        return f"{' '.join(PEERS[case.program])} cannot be installed"
    if case.needs == RUNSC:
        asked = ("docker", "info", "--format", "{{json .Runtimes}}")
        engine = shutil.which("docker") and subprocess.run(
            asked, capture_output=True, text=True, check=False
        )
        return "" if engine and RUNSC in engine.stdout else "the engine has no runtime `runsc`"
    found = not case.needs or shutil.which(case.needs)
    return "" if found else f"no `{case.needs}` on PATH"


def page(works: tuple[Work, ...], figures: dict[Case, Figures], rounds: int) -> str:
    """The page, ratios first."""
    lines = [*HEAD, _circumstances(rounds)]
    for work in works:
        measured = [figures[case] for case in work.cases if case in figures]
        weighed = any(one.memory for one in measured)
        lines += [
            "",
            f"## {work.title}",
            "",
            "| who | times the first | p50 | p99 | per second |"
            + " memory of one that waits |" * weighed,
        ]
        lines += ["|---|---:|---:|---:|---:|" + "---:|" * weighed]
        base = next((figures[case] for case in work.cases if case in figures), None)
        for case in work.cases:
            one = figures.get(case)
            if one is None or base is None:
                lines.append(
                    f"| {case.who} | not measured: {lacking(case)} | | | |" + " |" * weighed
                )
                continue
            memory = f" {one.memory:.0f} MiB |" if one.memory else " |"
            lines.append(
                f"| {case.who} | {_ratio(one.p50 / base.p50)} | {_time(one.p50)} |"
                f" {_time(one.p99)} | {one.per_second:,.0f} |" + memory * weighed
            )
    return "\n".join(lines) + "\n"


def _circumstances(rounds: int) -> str:
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()},"
        f" {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f},"
        f" medians of {rounds} rounds."
    )


def _ratio(value: float) -> str:
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _time(microseconds: float) -> str:
    if microseconds < 1000:
        return f"{microseconds:.0f} µs"
    return f"{microseconds / 1000:.1f} ms"


def main() -> None:
    """Measures and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="works whose title contains this")
    parser.add_argument("--print", action="store_true", help="write to stdout, not to the page")
    options = parser.parse_args()
    works = tuple(work for work in WORKS if options.only.lower() in work.title.lower())
    (ROOT / ".bench").mkdir(exist_ok=True)
    text = page(works, run(works, options.rounds), options.rounds)
    if options.print or options.only:
        sys.stdout.write(text)
    else:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
