"""Runs every case beside its peer and writes docs/reference/benchmarks.md.

Each case is a process of its own. Cases are run in rounds, so that slow drift of a shared
machine spreads over all of them; a figure is the median over rounds, and its spread half of
the middle half of them. Only ratios within one run mean something; the absolute figures are
those of the machine it ran on.

A run on a busy machine is refused, or marked (`--busy`). Quiet runs are kept in
`.bench/history.jsonl`; one in which a case of ours is slower than in the last, by more than
noise, ends with exit code 1. The project as it was at `BEFORE` is one of the peers.
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
from typing import Any

from history import append, last, machine, slower
from pictures import draw, name_of

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "reference" / "benchmarks.md"
HISTORY = ROOT / ".bench" / "history.jsonl"
PEERS = {
    "toolkit": ("agent-governance-toolkit-core==5.0.0", "agt-policies==5.0.0"),
    "llm": ("llm-sandbox[docker]==0.3.46",),
    "agt": ("agt-sandbox[docker]==5.0.0",),
}
"""Program of this folder -> what its environment is made from."""
BEFORE = "e03a029"
"""The commit that today is compared with; its files are taken out beside the peers."""
LOAD = 1.5
"""Above it the machine does something else, and figures mean little."""
RUNSC = "runsc"
"""Needed of the Docker engine, as a runtime; everything else is looked up on PATH."""
CASE_SECONDS = 600
HEAD = (
    "# Benchmarks",
    "",
    "Written by `make bench`; do not edit.",
    "Each case is a process of its own, run in turns with its peers, and checks its answers.",
    "Only the ratios mean something; the absolute figures are one machine's at one time.",
    "Where they come from, and which goals they miss: [what a call costs](../explanation/speed.md).",
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
    def is_ours(self) -> bool:
        """Whether it is this project as it is now."""
        return self.who.startswith("Wardline")

    @property
    def interpreter(self) -> str:
        """Peers run in their own environment."""
        return sys.executable if self.program not in PEERS else str(_python(self.program))


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of work and those who do it. The first one is what the others are compared to."""

    title: str
    cases: tuple[Case, ...]


def _with_before(
    what: str, name: str, program: str = "calls", needs: str = ""
) -> tuple[Case, Case]:
    return (
        Case(f"Wardline, {what}", program, name, needs),
        Case(f"{BEFORE}: {what}", "before", name, needs),
    )


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
            *_with_before("`buffered`: signed", "buffered"),
            *_with_before("`durable`: signed, on disk before and after", "durable"),
            Case(
                "Wardline, `written`: signed, in the kernel before and after",
                "calls",
                "written",
            ),
            Case("Wardline, `start-durable`: signed, on disk before", "calls", "start-durable"),
            *_with_before("`buffered`, the shipped policies", "shipped-buffered"),
            *_with_before("`durable`, the shipped policies", "shipped-durable"),
        ),
    ),
    Work(
        "Like beside like: Rego, a person where it wants one, a signed record on disk before and after",
        (
            Case("Wardline, `durable`", "calls", "durable"),
            Case(
                "toolkit 5, its parts together, an OPA server", "toolkit", "whole-server", "opa"
            ),
            Case(
                "toolkit 5, its parts together, `opa eval`", "toolkit", "whole-process", "opa"
            ),
        ),
    ),
    Work(
        "A full governed call, by how its record is kept",
        (
            Case("toolkit 5 `govern()`: unsigned, in memory", "toolkit", "governed"),
            Case("Wardline, `durable`: signed, on disk before and after", "levels", "durable"),
            Case("Wardline, `replicated`: and on a second one", "levels", "replicated"),
            Case(
                "Wardline, `witnessed`: and cosigned by another process", "levels", "witnessed"
            ),
            Case("Wardline, `durable`, with keys of epochs", "levels", "epochs"),
            Case("Wardline, `durable`, with ML-DSA-44 as well", "levels", "post-quantum"),
        ),
    ),
    Work(
        "Many callers at once, `durable`",
        (
            Case(
                "toolkit 5 `govern()`, one caller: unsigned, in memory", "toolkit", "governed"
            ),
            *_with_before("8 callers", "durable-8"),
            *_with_before("64 callers", "durable-64"),
            *_with_before("8 callers, the shipped policies", "shipped-durable-8"),
            *_with_before("64 callers, the shipped policies", "shipped-durable-64"),
        ),
    ),
    Work(
        "The same call by a daemon (`wardline serve`), beside a broker in the caller's process",
        (
            Case("toolkit 5 `govern()`: in the process", "toolkit", "governed"),
            Case("Wardline, `buffered`: in the process", "calls", "buffered"),
            Case("Wardline, `buffered`: by the daemon", "daemon", "buffered"),
            Case("Wardline, `durable`: in the process", "calls", "durable"),
            Case("Wardline, `durable`: by the daemon", "daemon", "durable"),
            Case("Wardline, `durable`: by the daemon, over TCP", "daemon", "tcp-durable"),
            Case("Wardline, 64 callers, `durable`: in one process", "calls", "durable-64"),
            Case(
                "Wardline, 64 callers, `durable`: in four, by the daemon",
                "daemon",
                "durable-64",
            ),
            Case(
                "Wardline, 64 callers, `durable`: in four, by the daemon, over TCP",
                "daemon",
                "tcp-durable-64",
            ),
        ),
    ),
    Work(
        "The processor time of one `durable` call, of every process that takes part",
        (
            Case("one caller, in its process", "processor", "alone"),
            Case("Wardline, one caller, by the daemon", "processor", "alone-daemon"),
            Case("Wardline, 64 callers, in one process", "processor", "64"),
            Case("Wardline, 64 callers in four, by the daemon", "processor", "64-daemon"),
        ),
    ),
    Work(
        "One decision under the shipped policies",
        (
            Case(f"{BEFORE}: the engine alone", "before", "shipped-engine"),
            Case("Wardline, the engine alone", "decisions", "shipped-engine"),
            Case(f"{BEFORE}: evaluator process", "before", "shipped"),
            Case("Wardline, evaluator process", "decisions", "shipped"),
        ),
    ),
    Work(
        "A shipped decision less a package that does not apply to it: what that package adds",
        (
            Case("the policies whole, the engine alone", "decisions", "shipped-engine"),
            *(
                Case(f"Wardline, without {name}", "decisions", f"without-{name}")
                for name in ("budgets", "messaging", "network", "plan", "provenance", "shell")
            ),
        ),
    ),
    Work(
        "Where the four arguments of a call came from, and taking up an output of twenty mails",
        (
            Case("told among 100 remembered values", "provenance", "trace-100"),
            Case("Wardline, told among 10,000", "provenance", "trace-10k"),
            Case("taken up beside 100 remembered values", "provenance", "learn-100"),
            Case("Wardline, taken up beside 10,000", "provenance", "learn-10k"),
        ),
    ),
    Work(
        "One entry of a log verified: every root, the last signature",
        (
            Case("no verification: each line read and hashed", "verifying", "hashed"),
            Case("Wardline, a checkpoint for each call", "verifying", "alone"),
            Case("Wardline, a checkpoint for 500 calls", "verifying", "together"),
            Case("Wardline, the same, and every content opened", "verifying", "opened"),
        ),
    ),
    Work(
        "One recorded decision made again under the shipped policies (what-if)",
        (
            Case("the engine alone, on the opened inputs", "replaying", "engine"),
            Case("Wardline, from the log to the matrix", "replaying", "what-if-1"),
            Case("Wardline, the same in two processes", "replaying", "what-if-2"),
        ),
    ),
    Work(
        "A broker opened on an empty folder, and `wardline --version`",
        (
            *reversed(_with_before("opened, the shipped policies", "open")),
            *_with_before("opened first thing in a new process", "open-new"),
            Case(f"{BEFORE}: `--version`", "before", "cli"),
            Case("Wardline, `--version`", "decisions", "cli"),
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
            *_with_before("Docker", "docker-sustained", "sandboxes", "docker"),
            *_with_before("OCI runtime", "oci-sustained", "sandboxes", "crun"),
            *_with_before("bubblewrap", "bubblewrap-sustained", "sandboxes"),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over the rounds, in microseconds, calls per second and MiB of one that waits.

    `memory` is 0 where nothing waits. `spread` is a part of `p50`.
    """

    p50: float
    p99: float
    per_second: float
    memory: float = 0.0
    spread: float = 0.0


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


def _tree() -> Path:
    return ROOT / ".bench" / "before" / BEFORE


def _take_out_before() -> bool:
    """Puts the files of `BEFORE` beside the peers; False when this is no clone that has it."""
    tree = _tree()
    if (tree / ".ready").exists():
        return True
    tree.mkdir(parents=True, exist_ok=True)
    packed = subprocess.run(
        ["git", "archive", BEFORE], cwd=ROOT, capture_output=True, check=False
    )
    if packed.returncode:
        return False
    subprocess.run(["tar", "-x", "-C", str(tree)], input=packed.stdout, check=True)
    (tree / ".ready").touch()
    return True


def measure(case: Case) -> dict[str, float]:
    """One process, one case.

    Raises:
        RuntimeError: it failed; a case that cannot be measured is not left out quietly.
    """
    done = subprocess.run(
        [case.interpreter, str(HERE / f"{case.program}.py"), case.name],
        cwd=ROOT / ".bench",
        env={**os.environ, "PYTHONPATH": str(_tree())} if case.program == "before" else None,
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
            ),
            spread=_spread([each["p50_us"] for each in measured]),
        )
        for case, measured in runs.items()
    }


def _spread(values: list[float]) -> float:
    """Half of what the middle half of the values spans, as a part of their median."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / middle


@cache
def lacking(case: Case) -> str:
    """What this machine lacks to measure a case, if anything."""
    if case.program in PEERS and not _prepare(case.program):
        return f"{' '.join(PEERS[case.program])} cannot be installed"
    if case.program == "before" and not _take_out_before():
        return f"no commit {BEFORE} in this clone"
    if case.needs == RUNSC:
        asked = ("docker", "info", "--format", "{{json .Runtimes}}")
        engine = shutil.which("docker") and subprocess.run(
            asked, capture_output=True, text=True, check=False
        )
        return "" if engine and RUNSC in engine.stdout else "the engine has no runtime `runsc`"
    found = not case.needs or shutil.which(case.needs)
    return "" if found else f"no `{case.needs}` on PATH"


def page(
    works: tuple[Work, ...],
    figures: dict[Case, Figures],
    rounds: int,
    *,
    load: float = 0.0,
    pictures: frozenset[str] = frozenset(),
) -> str:
    """The page, ratios first."""
    lines = [*HEAD, _circumstances(rounds, load)]
    if load > LOAD:
        lines += ["", "**The machine was busy: these figures mean little.**"]
    for work in works:
        measured = [figures[case] for case in work.cases if case in figures]
        weighed = any(one.memory for one in measured)
        lines += [
            "",
            f"## {work.title}",
            "",
            *([f"![{work.title}]({name_of(work.title)})", ""] * (work.title in pictures)),
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
                f"| {case.who} | {_ratio(one.p50 / base.p50)} | {_time(one.p50)}{_around(one)} |"
                f" {_time(one.p99)} | {one.per_second:,.0f} |" + memory * weighed
            )
    return "\n".join(lines) + "\n"


def _around(one: Figures) -> str:
    return f" ±{one.spread:.0%}" if one.spread else ""


def _circumstances(rounds: int, load: float) -> str:
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()},"
        f" {os.cpu_count()} processors, load {load:.1f} before it began,"
        f" medians of {rounds} rounds."
    )


def _ratio(value: float) -> str:
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _time(microseconds: float) -> str:
    if microseconds < 1000:
        return f"{microseconds:.0f} µs"
    return f"{microseconds / 1000:.1f} ms"


def record(figures: dict[Case, Figures], *, rounds: int, load: float) -> dict[str, Any]:
    """A run as it is kept."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, check=False
    )
    return {
        "machine": machine(),
        "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "commit": commit.stdout.decode().strip(),
        "rounds": rounds,
        "load": round(load, 2),
        "quiet": load <= LOAD and "BENCH_CALLS" not in os.environ,
        "figures": {
            f"{case.program} {case.name}": {
                "p50_us": one.p50,
                "p99_us": one.p99,
                "per_second": one.per_second,
                "spread": one.spread,
                "ours": case.is_ours,
            }
            for case, one in figures.items()
        },
    }


def draw_all(works: tuple[Work, ...], figures: dict[Case, Figures]) -> frozenset[str]:
    """Draws each work beside the page, and says which were drawn."""
    drawn: set[str] = set()
    for work in works:
        rows = [
            (case.who, figures[case].p50, figures[case].p50 * figures[case].spread)
            for case in work.cases
            if case in figures
        ]
        if rows:
            draw(work.title, rows, PAGE.parent / name_of(work.title))
            drawn.add(work.title)
    return frozenset(drawn)


def main() -> int:
    """Measures and writes the page.

    Returns:
        The exit code: 1 when something of ours is slower than it was, 2 on a busy machine.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="works whose title contains this")
    parser.add_argument("--print", action="store_true", help="write to stdout, not to the page")
    parser.add_argument(
        "--busy", action="store_true", help="measure on a busy machine, and say so"
    )
    options = parser.parse_args()
    load = os.getloadavg()[0]
    if load > LOAD and not options.busy:
        sys.stderr.write(
            f"load {load:.1f} is above {LOAD}: wait until the machine is quiet, or mark the run"
            " with --busy\n"
        )
        return 2
    works = tuple(work for work in WORKS if options.only.lower() in work.title.lower())
    (ROOT / ".bench").mkdir(exist_ok=True)
    figures = run(works, options.rounds)
    now = record(figures, rounds=options.rounds, load=load)
    before = last(HISTORY)
    append(HISTORY, now)
    if options.print or options.only:
        sys.stdout.write(page(works, figures, options.rounds, load=load))
    else:
        drawn = draw_all(works, figures)
        text = page(works, figures, options.rounds, load=load, pictures=drawn)
        PAGE.write_text(text, encoding="utf-8")
    found = slower(before, now) if before is not None and now["quiet"] else []
    for each in found:
        sys.stderr.write(f"SLOWER: {each}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
