"""Headings, tables and lists as Markdown or HTML, in which everybody's text is nothing but text."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from permissions.approval.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LISTED = 200
CELL_CHARS = 400
_TEXT_CHARS = 8000
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}table{border-collapse:collapse;margin:.5rem 0}"
    "th,td{border:1px solid #8888;padding:.2rem .5rem;text-align:left;vertical-align:top;"
    "overflow-wrap:anywhere}"
)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; level 1 is the page's own."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Table:
    """A table, of which `LISTED` rows are shown and the rest is counted."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]


Block: TypeAlias = Heading | Text | Bullets | Table


def markdown(blocks: Iterable[Block]) -> str:
    """As Markdown; an empty table or list is left out."""
    lines: list[str] = []
    for block in blocks:
        if found := [*_markdown(block)]:
            lines += ["", *found] if lines else found
    return "\n".join(lines) + "\n"


def html(title: str, blocks: Iterable[Block]) -> str:
    """As one HTML file without script, which loads nothing."""
    body = "\n".join(line for block in blocks for line in _html(block))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy"'
        " content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(visible(title))}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _markdown(block: Block) -> Iterator[str]:
    match block:
        case Heading(level, text):
            yield f"{'#' * level} {cell(text)}"
        case Text(text):
            yield cell(text, _TEXT_CHARS)
        case Bullets(items):
            yield from (f"- {cell(each, _TEXT_CHARS)}" for each in items)
        case Table(head, rows) if rows:
            yield f"| {' | '.join(head)} |"
            yield "|---" * len(head) + "|"
            for row in islice(rows, LISTED):
                yield f"| {' | '.join(map(cell, row))} |"
            if len(rows) > LISTED:
                yield ""
                yield f"{len(rows) - LISTED} more are not listed."


def _html(block: Block) -> Iterator[str]:
    match block:
        case Heading(level, text):
            yield f"<h{level}>{_said(text)}</h{level}>"
        case Text(text):
            yield f"<p>{_said(text, _TEXT_CHARS)}</p>"
        case Bullets(items) if items:
            yield "<ul>"
            yield from (f"<li>{_said(each, _TEXT_CHARS)}</li>" for each in items)
            yield "</ul>"
        case Table(head, rows) if rows:
            yield "<table>"
            if any(head):
                yield f"<tr>{''.join(f'<th>{_said(each)}</th>' for each in head)}</tr>"
            for row in islice(rows, LISTED):
                yield f"<tr>{''.join(f'<td>{_said(each)}</td>' for each in row)}</tr>"
            yield "</table>"
            if len(rows) > LISTED:
                yield f"<p>{len(rows) - LISTED} more are not listed.</p>"


def cell(value: object, most: int = CELL_CHARS) -> str:
    """Somebody's text in Markdown, on one line and as nothing but text."""
    said = _cut(value, most)
    for mark in "\\`*_{}[]<>()#+!|~&":
        said = said.replace(mark, f"\\{mark}")
    return said


def _said(value: object, most: int = CELL_CHARS) -> str:
    return escape(_cut(value, most))


def _cut(value: object, most: int) -> str:
    said = visible(str(value))
    return said if len(said) <= most else f"{said[:most]}…"
