"""What earlier runs on this machine came to, and what is slower than it was beyond noise."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any

LEAST = 0.10
"""A change of a tenth is not told from none."""
SPREADS = 3
"""Nor is one of so many times the spread of both runs together."""


def machine() -> str:
    """A name for this machine, made of what its speed depends on."""
    try:
        processors = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        processors = platform.processor()
    models = sorted({line for line in processors.splitlines() if line.startswith("model name")})
    said = json.dumps([models, os.cpu_count(), platform.python_version(), platform.node()])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def last(path: Path) -> dict[str, Any] | None:
    """The last run on this machine that was quiet, if there is one."""
    if not path.exists():
        return None
    runs = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
    here = [run for run in runs if run["machine"] == machine() and run["quiet"]]
    return here[-1] if here else None


def append(path: Path, run: dict[str, Any]) -> None:
    """Adds a run as one line of JSON."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run, sort_keys=True) + "\n")


def slower(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Cases of this project that take longer than in the run before, by more than noise."""
    found = []
    for name, figures in now["figures"].items():
        old = before["figures"].get(name)
        if old is None or not figures["ours"]:
            continue
        noise = max(LEAST, SPREADS * (old["spread"] + figures["spread"]))
        change = figures["p50_us"] / old["p50_us"] - 1
        if change > noise:
            found.append(
                f"{name}: {old['p50_us']:.0f} -> {figures['p50_us']:.0f} us"
                f" (+{change:.0%}, noise {noise:.0%})"
            )
    return found
