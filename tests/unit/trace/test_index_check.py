"""An index that says less, more or other than its log is found, and the log's own is not."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from logs import write_log

from permissions.trace.call_filter import CallFilter
from permissions.trace.index import TraceIndex
from permissions.trace.index_check import check_index

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of two runs and its index."""
    folder = tmp_path_factory.mktemp("made")
    write_log(folder / "log", runs=["run-a", "run-b"])
    TraceIndex(folder / "log", folder / "index").runs()
    return folder


@pytest.fixture
def file(made: Path, tmp_path: Path) -> Path:
    """A copy of the index."""
    shutil.copy(made / "index", tmp_path)
    return tmp_path / "index"


DAMAGE = {
    "a call is missing": "DELETE FROM call WHERE call = 'run-b-0'",
    "a call is of another tool": "UPDATE call SET tool = 'other' WHERE call = 'run-b-0'",
    "a call ended otherwise": "UPDATE call SET ended = 'denied' WHERE call = 'run-b-0'",
    "a call was never made": "INSERT INTO call VALUES (99, 'run-z', 'z', 0, 'read', 'ok')",
    "an entry is missing": "DELETE FROM entry WHERE call = 'run-b-0'",
    "an entry lies elsewhere": "UPDATE entry SET start = start + 1 WHERE number = 5",
    "a rule is missing": "DELETE FROM word WHERE number = 3",
    "a run is another's": "UPDATE run SET subject = 'mallory'",
    "a run has fewer entries": "UPDATE run SET entries = entries - 4",
    "a config is missing": "DELETE FROM head WHERE type = 'config'",
    "nothing is in it": "DELETE FROM call; DELETE FROM word; DELETE FROM entry; DELETE FROM run",
    "it is of another name": "UPDATE position SET origin = 'elsewhere'",
    "later calls go": "CREATE TRIGGER t AFTER INSERT ON call BEGIN DELETE FROM call; END",
    "a view hides calls": (
        "ALTER TABLE call RENAME TO hidden; CREATE VIEW call AS SELECT * FROM hidden WHERE number < 5"
    ),
}


@pytest.mark.parametrize("way", DAMAGE)
def test_what_the_log_does_not_say_is_found(made: Path, file: Path, way: str) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.executescript(DAMAGE[way])
        database.commit()

    found = check_index(made / "log", file)

    assert found is not None
    assert found.faults, found
    assert found.document()["code"] == "index.differs"


def test_a_call_that_no_question_leads_to_is_found(made: Path, file: Path) -> None:
    """Its row is there, and what SQLite looks it up by has none."""
    set_sql = "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = {} WHERE name = 'call_tool'"
    for script in (
        set_sql.format("sql || ' WHERE number < 5'"),
        "REINDEX call_tool",
        set_sql.format("replace(sql, ' WHERE number < 5', '')"),
    ):
        with closing(sqlite3.connect(file)) as database:
            database.executescript(script)
            database.commit()
    index = TraceIndex(made / "log", file)
    assert len(list(index.calls(CallFilter(tool="read")))) < len(
        list(index.calls(CallFilter()))
    )

    found = check_index(made / "log", file)

    assert found is not None
    assert "call_tool" in found.faults[0]


def test_an_index_of_its_log_fits_also_while_it_lags_and_is_written(
    tmp_path: Path,
) -> None:
    log, file = tmp_path / "log", tmp_path / "index"
    assert check_index(log, file) is None
    write_log(log)
    TraceIndex(log, file).runs()
    write_log(log, runs=["run-b"], seed="later")
    before = file.read_bytes()

    lagging = check_index(log, file)
    assert file.read_bytes() == before
    with TraceIndex(log, file).reading():  # what is new is not in the file itself yet
        assert (tmp_path / "index-wal").stat().st_size
        written = check_index(log, file)

    for found in (lagging, written):
        assert found is not None
        assert (found.faults, found.skipped) == ((), "")


def test_a_row_that_is_not_in_the_file_itself_yet_is_compared(tmp_path: Path) -> None:
    log, file = tmp_path / "log", tmp_path / "index"
    write_log(log)
    with TraceIndex(log, file).reading(), closing(sqlite3.connect(file)) as database:
        database.execute("DELETE FROM call")
        database.commit()
        found = check_index(log, file)

    assert found is not None
    assert found.faults


@pytest.mark.parametrize("way", ["another log", "another version"])
def test_an_index_that_nobody_believes_is_none_to_find_fault_with(
    made: Path, file: Path, tmp_path: Path, way: str
) -> None:
    log = made / "log"
    if way == "another log":
        log = tmp_path / "other"
        write_log(log, seed="other")
    else:
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA user_version = 99")

    found = check_index(log, file)

    assert found is not None
    assert not found.faults
    assert way in found.skipped


def test_bytes_that_are_no_index_are_damage(made: Path, file: Path) -> None:
    file.write_bytes(b"x" * 5000)

    found = check_index(made / "log", file)

    assert found is not None
    assert "damaged" in found.faults[0]
