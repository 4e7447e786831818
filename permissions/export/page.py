"""The explorer: one HTML file that needs no network, no server and no other file.

Recorded text never meets the HTML parser: all data is gzip in base64 in blocks that no browser
runs, and the page makes text nodes of it. A content security policy allows the page's own script
and style by their hashes and nothing else (no request, no other script, no markup from a text).

The first block holds columns of all calls and entries; the others, read when somebody looks, hold
the entries themselves. So a page of 100,000 entries is there at once.

Not protected from: who can edit the file can make it say anything. It shows what the verifier
said when it was written, and what proves is the log.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import tempfile
from importlib import resources
from typing import IO, TYPE_CHECKING, Any

import orjson

from permissions.export.calls import Calls
from permissions.export.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from permissions.export.opened import Entries, OpenedEntry
    from permissions.model import JsonObject
    from permissions.trace.report import Report

BLOCK_ENTRIES = 256
SHOWN_BYTES = 256 * 1024
"""Of a longer content the page holds this much, and says how much is left out."""
_LEVEL = 6
_POLICY = (
    "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}';"
    " base-uri 'none'; form-action 'none'; require-trusted-types-for 'script';"
    " trusted-types 'none'"
)


def write_page(
    target: IO[bytes],
    entries: Entries,
    report: Report,
    *,
    about: JsonObject,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Writes the page; gives how many entries are in it.

    Args:
        target: where to.
        entries: what the page is about, in order.
        report: what the verifier said of the log.
        about: what else the page says of itself: who verified with which key, when.
        progress: told how many entries were written, now and then.
    """
    summary, calls = Summary(), Calls()
    with tempfile.TemporaryFile() as blocks:
        count = 0
        for block in _blocks(entries):
            for each in block:
                summary.entry(each)
                if (ended := calls.take(each)) is not None:
                    summary.call(ended)
            blocks.write(
                _block(f"entries-{count // BLOCK_ENTRIES}", [_document(e) for e in block])
            )
            count += len(block)
            progress(count)
        for open_call in calls.left():
            summary.call(open_call)
        first = {
            **summary.document(),
            "about": {**about, "broken": entries.broken, "block": BLOCK_ENTRIES},
            "report": report.document(),
        }
        head, tail = _frame(str(report.integrity.origin), _block("summary", first))
        target.write(head)
        blocks.seek(0)
        while data := blocks.read(1 << 20):
            target.write(data)
        target.write(tail)
    return count


def _blocks(entries: Entries) -> Iterator[list[OpenedEntry]]:
    block: list[OpenedEntry] = []
    for entry in entries:
        block.append(entry)
        if len(block) == BLOCK_ENTRIES:
            yield block
            block = []
    if block:
        yield block


def _document(opened: OpenedEntry) -> JsonObject:
    """An entry as the page shows it."""
    found = opened.recorded.document()
    found["contents"] = {
        name: {"digest": digest, **_content(opened, name)}
        for name, digest in opened.recorded.digests.items()
    }
    return found


def _content(opened: OpenedEntry, name: str) -> JsonObject:
    if (data := opened.contents.get(name)) is None:
        return {"problem": opened.problems.get(name, "not here")}
    part, size = data[:SHOWN_BYTES], len(data)
    cut = {"size": size, "left_out": size - len(part)} if size > len(part) else {"size": size}
    try:
        return {"text": part.decode(), **cut}
    except UnicodeDecodeError as err:
        if cut.get("left_out") and err.start >= len(part) - 3:  # cut within a character
            return {"text": part[: err.start].decode(), **cut}
        return {"base64": base64.b64encode(part).decode(), **cut}


def _block(name: str, value: Any) -> bytes:
    packed = base64.b64encode(gzip.compress(orjson.dumps(value), _LEVEL, mtime=0))
    return b'<script type="application/gzip" id="%b">%b</script>\n' % (name.encode(), packed)


def page_policy() -> str:
    """The content security policy of every page: its own script and style, and nothing else."""
    script, style, _ = _parts()
    return _POLICY.format(script=_hash(script), style=_hash(style))


def _parts() -> tuple[str, str, str]:
    """Its script, its style with the colours of the console, and its body."""
    files = resources.files("permissions.export")
    script, colours, style, body = (
        files.joinpath(each).read_text("utf-8")
        for each in ("explorer.js", "style/colours.css", "explorer.css", "explorer.html")
    )
    return script, colours + style, body


def _frame(origin: str, summary: bytes) -> tuple[bytes, bytes]:
    """What stands before the blocks of entries, and after them."""
    script, style, body = _parts()
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{page_policy()}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Trace {html.escape(origin)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}"
    )
    return (
        head.encode() + summary + f"<script>{script}</script>\n".encode(),
        b"</body>\n</html>\n",
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
