"""A trace as Parquet files with the leaf of each row, and views over them for DuckDB.

Every row of `entries` names its index and hash in the log's tree, every row of the others the
index of the entry it rests on: what a query found can be proved in the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from permissions.errors import ConfigError
from permissions.export.calls import Calls
from permissions.files import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from permissions.export.calls import Call
    from permissions.export.opened import Entries, OpenedEntry

ROWS_AT_ONCE: Final = 10_000
VIEWS: Final = """\
-- duckdb trace.db < views.sql, in this folder.
CREATE OR REPLACE VIEW entries AS SELECT * FROM read_parquet('entries.parquet');
CREATE OR REPLACE VIEW calls AS SELECT * FROM read_parquet('calls.parquet');
CREATE OR REPLACE VIEW origins AS SELECT * FROM read_parquet('origins.parquet');
-- What each rule came to.
CREATE OR REPLACE VIEW rules AS
    SELECT rule, count(*) AS calls, count(*) FILTER (permitted) AS permitted,
           count(*) FILTER (ended_as = 'denied') AS denied
    FROM (SELECT unnest(rules) AS rule, permitted, ended_as FROM calls) GROUP BY rule;
-- From which call a value went into which.
CREATE OR REPLACE VIEW flows AS
    SELECT o.run, o.source_call, s.tool AS source_tool, o.pointer, o.call, c.tool, o.argument,
           o.trusted, c.ended_as, o.leaf_index
    FROM origins o JOIN calls c ON (o.run, o.call) = (c.run, c.call)
    LEFT JOIN calls s ON (o.run, o.source_call) = (s.run, s.call);
"""


def write_tables(
    folder: Path,
    entries: Entries,
    *,
    integrity: Callable[[int], str],
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Writes `entries`, `calls`, `origins` and `views.sql`; gives the number of entries.

    Args:
        folder: is made when it is not there.
        entries: what to write.
        integrity: what the verifier said of the entry with this index.
        progress: told how many entries were written, now and then.

    Raises:
        ConfigError: pyarrow is not installed.
        OSError: a file cannot be written.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as err:
        raise ConfigError("Parquet needs pyarrow: pip install 'wardline[export]'") from err
    folder.mkdir(parents=True, exist_ok=True)
    stamp, texts = pa.timestamp("us", tz="UTC"), pa.list_(pa.string())
    text, number, yes = pa.string(), pa.int64(), pa.bool_()
    leaf = [("leaf_index", number), ("leaf_hash", text), ("integrity", text)]
    schemas = {
        "entries": pa.schema(
            [
                *leaf,
                *(("time", stamp), ("type", text), ("run", text), ("call", text)),
                *(("body", text), ("contents", texts)),
            ]
        ),
        "calls": pa.schema(
            [
                *leaf,
                *(("run", text), ("call", text), ("tool", text), ("effect", text)),
                *(("impact", text), ("subject", text), ("began", stamp), ("ended", stamp)),
                *(("permitted", yes), ("rules", texts), ("reasons", texts)),
                *(("revision", text), ("asked", number), ("approvers", texts)),
                *(("isolation", text), ("ended_as", text), ("status", text)),
                *(("changes", text), ("arguments", text)),
            ]
        ),
        "origins": pa.schema(
            [
                *leaf,
                *(("run", text), ("call", text), ("argument", text), ("origin", text)),
                *(("trusted", yes), ("source_call", text), ("source_index", number)),
                ("pointer", text),
            ]
        ),
    }
    count = 0
    writers = {
        name: parquet.ParquetWriter(folder / f"{name}.parquet", schema, compression="zstd")
        for name, schema in schemas.items()
    }
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in schemas}

    def flush(most: int) -> None:
        for name, found in rows.items():
            if len(found) > most:
                writers[name].write_table(pa.Table.from_pylist(found, schemas[name]))
                found.clear()

    try:
        for name, row in _rows(entries, integrity):
            rows[name].append(row)
            flush(ROWS_AT_ONCE)
            if name == "entries":
                count += 1
                progress(count)
        flush(0)
    finally:
        for writer in writers.values():
            writer.close()
    replace(folder / "views.sql", VIEWS.encode(), mode=0o644)
    return count


def _rows(
    entries: Entries, integrity: Callable[[int], str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row with the name of its table."""
    calls = Calls()
    for each in entries:
        yield "entries", _entry(each, integrity)
        if (ended := calls.take(each)) is not None:
            yield from _call(ended, integrity)
    for left in calls.left():
        yield from _call(left, integrity)


def _entry(opened: OpenedEntry, integrity: Callable[[int], str]) -> dict[str, Any]:
    entry = opened.recorded
    return {
        "leaf_index": entry.index,
        "leaf_hash": entry.leaf.hex(),
        "integrity": integrity(entry.index),
        "time": entry.time,
        "type": entry.type,
        "run": entry.run,
        "call": entry.call,
        "body": orjson.dumps(entry.body).decode(),
        "contents": sorted(entry.digests),
    }


def _call(call: Call, integrity: Callable[[int], str]) -> Iterator[tuple[str, dict[str, Any]]]:
    at = {
        "leaf_index": call.entries[-1],
        "leaf_hash": call.leaf.hex(),
        "integrity": integrity(call.entries[-1]),
        "run": call.run,
        "call": call.id,
    }
    arguments = call.arguments
    yield (
        "calls",
        {
            **at,
            "tool": call.tool,
            "effect": call.effect,
            "impact": call.impact,
            "subject": (call.subject or {}).get("id"),
            "began": call.began,
            "ended": call.ended,
            "permitted": call.permitted,
            "rules": call.rules,
            "reasons": call.reasons,
            "revision": call.revision,
            "asked": call.asked,
            "approvers": call.approvers,
            "isolation": call.isolation,
            "ended_as": call.end,
            "status": call.status,
            "changes": call.changes,
            "arguments": None if arguments is None else arguments.decode(errors="replace"),
        },
    )
    for origin in call.origins:
        yield (
            "origins",
            {
                **at,
                "argument": origin.argument,
                "origin": origin.kind,
                "trusted": origin.trusted,
                "source_call": origin.call,
                "source_index": origin.entry,
                "pointer": origin.pointer,
            },
        )
