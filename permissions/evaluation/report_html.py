"""The report as one HTML file: the tables of the Markdown, and plots as inline SVG, no scripts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from permissions.evaluation.report import PLANS, markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from permissions.vocabulary import JsonObject

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;"
    "color:#1b1b1b;background:#fff}table{border-collapse:collapse;margin:1rem 0}"
    "td,th{border:1px solid #ccc;padding:.25rem .5rem;text-align:left;vertical-align:top}"
    "th{background:#f3f3f3}svg{max-width:100%;height:auto}.wide{overflow-x:auto}"
)
_LEFT, _WIDE, _ROW = 260, 420, 24


def html(about: JsonObject, figures: Sequence[JsonObject], gates: Sequence[JsonObject]) -> str:
    """The whole page. It loads nothing and runs nothing."""
    text = list(_blocks(markdown(about, figures, gates).splitlines()))
    plots = "".join(
        (
            _plot("Attacks that reach their goal", figures, _attack),
            _plot("Tasks done with nobody asked", figures, _quiet),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Evaluation</title>'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        " style-src 'unsafe-inline'\">"
        f"<style>{_STYLE}</style></head><body>{text[0]}{plots}{''.join(text[1:])}</body></html>\n"
    )


def _attack(row: JsonObject) -> JsonObject | None:
    found: JsonObject | None = row["attacks"]
    return found


def _quiet(row: JsonObject) -> JsonObject | None:
    found: JsonObject | None = row["honest"]["quiet"] if row["honest"] else None
    return found


def _plot(
    title: str, figures: Sequence[JsonObject], chosen: Callable[[JsonObject], JsonObject | None]
) -> str:
    """A bar for each row, with its 95% interval."""
    bars = [(row, found) for row in figures if (found := chosen(row)) is not None]
    if not bars:
        return ""
    height = _ROW * len(bars) + 40
    wide, label = _LEFT + _WIDE + 90, escape(title)
    parts = [
        f'<svg viewBox="0 0 {wide} {height}" role="img" aria-label="{label}">',
        f'<text x="0" y="16" font-weight="bold">{label}, %</text>',
    ]
    for at, (row, found) in enumerate(bars):
        y = 30 + at * _ROW
        name = f"{row['variant']} {PLANS[row['plan']]}, {row['suite']}"
        low, high = (_LEFT + _WIDE * each for each in found["wilson"])
        long = _WIDE * found["share"]
        parts.append(
            f'<text x="0" y="{y + 13}" font-size="12">{escape(name)}</text>'
            f'<rect x="{_LEFT}" y="{y}" width="{long:.1f}" height="16" fill="#4a78b5"/>'
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y + 8}" y2="{y + 8}" stroke="#111"/>'
            f'<text x="{_LEFT + _WIDE + 12}" y="{y + 13}" font-size="12">'
            f"{100 * found['share']:.1f}</text>"
        )
    return "<figure>" + "".join(parts) + "</svg></figure>"


def _blocks(lines: Sequence[str]) -> Iterator[str]:
    """The few forms of Markdown that the report uses."""
    table: list[str] = []
    items: list[str] = []
    for line in (*lines, ""):
        if table and not line.startswith("|"):
            yield _table(table)
            table = []
        if items and not line.startswith("- "):
            yield "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"
            items = []
        if line.startswith("|"):
            table.append(line)
        elif line.startswith("- "):
            items.append(line[2:].replace("**", "").replace("`", ""))
        elif line.startswith("#"):
            level = len(line) - len(line.lstrip("#"))
            yield f"<h{level}>{escape(line.lstrip('# '))}</h{level}>"
        elif line:
            yield f"<p>{escape(line)}</p>"


def _table(lines: Sequence[str]) -> str:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell.replace('**', ''))}</td>" for cell in row) + "</tr>"
        for row in rows[2:]
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'
