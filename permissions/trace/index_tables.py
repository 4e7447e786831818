"""The tables of a log's index, and what of an entry comes into them.

Only what bodies hold in the clear: of what is sealed nothing, or an erased value would live on here.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from permissions.errors import TraceIntegrityError
from permissions.trace.decoded import decode_entry

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from permissions.model import JsonObject
    from permissions.trace.decoded import DecodedEntry
    from permissions.trace.reader import Group

VERSION = 3
TABLES = f"""
    CREATE TABLE entry (
        number INTEGER PRIMARY KEY,
        run TEXT,
        call TEXT,
        segment INTEGER NOT NULL,
        start INTEGER NOT NULL,
        size INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX entry_run ON entry (run, number);
    CREATE INDEX entry_call ON entry (call, number);
    CREATE TABLE run (
        run TEXT PRIMARY KEY,
        subject TEXT,
        behalf TEXT,
        entries INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE head (
        type TEXT NOT NULL,
        run TEXT NOT NULL,
        number INTEGER NOT NULL,
        PRIMARY KEY (type, run, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE call (
        number INTEGER PRIMARY KEY,
        run TEXT NOT NULL,
        call TEXT NOT NULL,
        time INTEGER NOT NULL,
        tool TEXT,
        ended TEXT
    ) STRICT;
    CREATE INDEX call_call ON call (call);
    CREATE INDEX call_run ON call (run, number);
    CREATE INDEX call_tool ON call (tool, number);
    CREATE INDEX call_time ON call (time);
    CREATE TABLE word (
        kind TEXT NOT NULL,
        word TEXT NOT NULL,
        number INTEGER NOT NULL,
        PRIMARY KEY (kind, word, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE position (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        origin TEXT NOT NULL,
        segment INTEGER NOT NULL,
        start INTEGER NOT NULL,
        size INTEGER NOT NULL,
        digest BLOB NOT NULL
    ) STRICT;
    PRAGMA user_version = {VERSION};
"""
_TOGETHER = 1000
"""Entries that are written at once."""
_Row = tuple[int, str | None, str | None, int, int, int]
NAMES = ("entry", "run", "head", "call", "word", "position")


class Position(NamedTuple):
    """The last checkpoint line that was taken in."""

    origin: str
    segment: int
    start: int
    size: int
    digest: bytes


def make_tables(database: sqlite3.Connection) -> None:
    """Empty ones, in the place of what is there."""
    for name in NAMES:
        database.execute(f"DROP TABLE IF EXISTS {name}")
    for statement in TABLES.split(";"):
        database.execute(statement)


class Intake:
    """Takes the groups of a log into the tables, in order; `write` writes what is not there yet."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._numbers: dict[tuple[str, str], int | None] = {}
        """Of calls that are under way: the entry each began with."""
        self._entries: list[_Row] = []
        self._runs: Counter[str] = Counter()
        self._calls: dict[int, list[str | int | None]] = {}
        self._words: list[tuple[str, str, int]] = []
        self._ends: list[tuple[str, int]] = []
        self._position: Position | None = None

    def take(self, group: Group) -> None:
        """Takes one in.

        Raises:
            TraceIntegrityError: a line of it is no entry.
        """
        line = group.checkpoint
        segment = int(line.segment.stem)
        for lines in group.entries:
            first, last = lines[0], lines[-1]
            document = decode_entry(first.data)
            run, call = document.run, document.call
            start = first.offset
            size = last.offset + len(last.data) + 1 - start
            lies = segment if first.segment is line.segment else int(first.segment.stem)
            self._entries.append((document.index, run, call, lies, start, size))
            if run is not None:
                self._runs[run] += 1
            if call is not None:
                self._call(document)
            elif document.type in ("config", "run.start"):
                self._head(document)
        self._position = Position(
            group.origin,
            segment,
            line.offset,
            len(line.data) + 1,
            hashlib.sha256(line.data + b"\n").digest(),
        )
        if len(self._entries) >= _TOGETHER:
            self.write()

    def write(self) -> Position | None:
        """Writes what was taken in; gives where the last group's checkpoint stands."""
        many = self._database.executemany
        many("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", self._entries)
        # Kept apart from the entries: what a damaged page lost of a run is missed by it.
        many(
            "INSERT INTO run (run, entries) VALUES (?, ?)"
            " ON CONFLICT (run) DO UPDATE SET entries = entries + excluded.entries",
            self._runs.items(),
        )
        many("INSERT INTO call VALUES (?, ?, ?, ?, ?, ?)", self._calls.values())
        many("INSERT OR IGNORE INTO word VALUES (?, ?, ?)", self._words)
        many("UPDATE call SET ended = ? WHERE number = ?", self._ends)
        if self._position is not None:
            self._database.execute(
                "INSERT OR REPLACE INTO position VALUES (1, ?, ?, ?, ?, ?)", self._position
            )
        for each in (self._entries, self._runs, self._calls, self._words, self._ends):
            each.clear()
        return self._position

    def _head(self, document: DecodedEntry) -> None:
        kind, run = document.type, document.run or ""
        self._database.execute("INSERT INTO head VALUES (?, ?, ?)", (kind, run, document.index))
        if kind == "config":
            return
        subject = document.body.get("subject") or {}
        behalf = (subject.get("properties") or {}).get("on_behalf_of")
        self._database.execute(
            "INSERT INTO run VALUES (?, ?, ?, 0) ON CONFLICT (run)"
            " DO UPDATE SET subject = excluded.subject, behalf = excluded.behalf",
            (run, subject.get("id"), behalf),
        )

    def _call(self, document: DecodedEntry) -> None:
        kind, body, index = document.type, document.body, document.index
        if document.run is None or document.call is None:
            raise TraceIntegrityError(f"entry {index} is of a call, and names no run")
        name = document.run, document.call
        if kind == "intent":
            self._numbers[name] = index
            self._calls[index] = [index, *name, document.time, body.get("tool"), None]
            return
        if (number := self._number(name)) is None:
            return  # its intent is not in this log
        self._words += [
            (kind_of_word, word, number) for kind_of_word, word in _words(kind, body)
        ]
        if kind in ("denied", "outcome", "gap"):
            self._numbers.pop(name, None)
            ended = how_ended(kind, body)
            if (row := self._calls.get(number)) is not None:
                row[-1] = ended
            else:
                self._ends.append((ended, number))

    def _number(self, name: tuple[str, str]) -> int | None:
        if name not in self._numbers:
            self.write()
            row = self._database.execute(
                "SELECT max(number) FROM call WHERE run = ? AND call = ?", name
            ).fetchone()
            self._numbers[name] = row[0]
        return self._numbers[name]


def how_ended(kind: str, body: JsonObject) -> str:
    """How a call ended, in a word: what became of its run, or the kind of its denial."""
    match kind:
        case "denied":
            return str(body.get("kind"))
        case "outcome":
            return "withheld" if body.get("withheld") else str(body.get("status"))
        case _:
            return "unknown"


def _words(kind: str, body: JsonObject) -> Iterator[tuple[str, str]]:
    """What an entry of a call can be found by."""
    rules = [*body.get("rules", ()), *body.get("reasons", ()), *body.get("codes", ())]
    for code in rules:
        yield "rule", str(code)
    if kind == "approval":
        for person in body.get("approvers", ()):
            yield "approver", str(person)
    for answer in body.get("answers", ()):
        yield "approver", str(answer.get("approver"))
