"""The figures as bars, each beside those it is compared with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def name_of(title: str) -> str:
    """A file name for a piece of work."""
    return "benchmark-" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:48] + ".svg"


def draw(title: str, rows: Sequence[tuple[str, float, float]], path: Path) -> None:
    """Writes one picture.

    Args:
        title: the piece of work.
        rows: who, the median in microseconds, and its spread in microseconds.
        path: an SVG file.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "wardline", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(8, 0.9 + 0.36 * len(rows)), layout="constrained")
        axes = figure.subplots()
        names = [name for name, _, _ in rows][::-1]
        colours = ["#2f6f9f" if "Wardline" in name else "#b0b0b0" for name in names]
        medians = [median for _, median, _ in rows][::-1]
        spreads = [spread for _, _, spread in rows][::-1]
        axes.barh(names, medians, xerr=spreads, color=colours, ecolor="#404040", capsize=2)
        axes.set_xscale("log")
        axes.set_xlabel("microseconds, median of the rounds, logarithmic")
        axes.set_title(title, loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, metadata={"Date": None})
