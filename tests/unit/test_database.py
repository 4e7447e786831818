"""The state file: safe to open, durable, shared by tasks and processes."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import anyio
import pytest

from permissions.database import Schema, StateDatabase
from permissions.errors import StateError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.both_backends

NOTES = Schema("notes", (("CREATE TABLE note (text TEXT NOT NULL UNIQUE) STRICT",),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "state.sqlite"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[StateDatabase]:
    async with StateDatabase(path, [NOTES], poll_seconds=0.01) as opened:
        yield opened


def note(text: str) -> object:
    return lambda connection: connection.execute("INSERT INTO note VALUES (?)", (text,))


def notes(connection: sqlite3.Connection) -> list[str]:
    return [text for (text,) in connection.execute("SELECT text FROM note ORDER BY text")]


async def test_file_and_folder_belong_to_this_account_alone(
    database: StateDatabase, path: Path
) -> None:
    await database.write(note("one"))

    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
    assert modes == dict.fromkeys(modes, 0o600)
    assert set(modes) == {"state.sqlite", "state.sqlite-wal", "state.sqlite-shm"}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_what_is_written_is_there_after_opening_again(path: Path) -> None:
    async with StateDatabase(path, [NOTES]) as database:
        await database.write(note("one"))
    async with StateDatabase(path, [NOTES]) as database:
        assert await database.read(notes) == ["one"]


async def test_commits_are_flushed_to_the_disk(database: StateDatabase) -> None:
    """`synchronous` 2 is FULL: a commit survives the loss of power."""
    settings = await database.write(
        lambda connection: [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "trusted_schema")
        ]
    )
    assert settings == ["wal", 2, 1, 0]


async def refusal(path: Path, schema: Schema = NOTES) -> str:
    with pytest.raises(StateError) as refused:
        await StateDatabase(path, [schema], busy_seconds=0.1).__aenter__()
    return str(refused.value)


async def test_a_file_open_to_others_is_refused(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o644)

    assert "chmod 600" in await refusal(path)


async def test_a_folder_others_may_write_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o777)

    assert "chmod go-w" in await refusal(path)


async def test_a_link_is_refused(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    (tmp_path / "elsewhere").touch(mode=0o600)
    path.symlink_to(tmp_path / "elsewhere")

    assert "not a plain file" in await refusal(path)


async def test_a_database_of_another_program_is_refused(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o600)
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.close()

    assert "another program" in await refusal(path)


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o600)
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)

    assert "NOTADB" in await refusal(path)


async def test_a_newer_schema_is_refused(path: Path) -> None:
    newer = Schema("notes", (*NOTES.migrations, ("CREATE TABLE more (x INTEGER) STRICT",)))
    async with StateDatabase(path, [newer]):
        pass

    assert "use the newer program" in await refusal(path)


async def test_an_older_schema_is_brought_up_and_keeps_its_rows(path: Path) -> None:
    async with StateDatabase(path, [NOTES]) as database:
        await database.write(note("old"))
    newer = Schema("notes", (*NOTES.migrations, ("ALTER TABLE note ADD COLUMN more TEXT",)))

    async with StateDatabase(path, [newer]) as database:
        rows = await database.read(
            lambda c: c.execute("SELECT text, more FROM note").fetchall()
        )
    assert rows == [("old", None)]


async def test_a_failing_migration_changes_nothing(path: Path) -> None:
    broken = Schema("notes", (("CREATE TABLE note (text TEXT)", "CREATE NONSENSE"),))
    assert "syntax" in await refusal(path, broken)

    async with StateDatabase(path, [NOTES]) as database:
        assert await database.read(notes) == []


async def test_one_failing_write_leaves_the_others_of_its_transaction_alone(
    database: StateDatabase,
) -> None:
    failed: list[BaseException] = []

    async def write(text: str) -> None:
        try:
            await database.write(note(text))
        except StateError as err:
            failed.append(err)

    async with anyio.create_task_group() as tasks:
        for text in ("a", "b", "same", "same", "c"):
            tasks.start_soon(write, text)

    assert await database.read(notes) == ["a", "b", "c", "same"]
    assert len(failed) == 1


async def test_what_a_write_raises_undoes_it_and_comes_back(database: StateDatabase) -> None:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO note VALUES ('half')")
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await database.write(work)
    assert await database.read(notes) == []


async def test_concurrent_writes_share_transactions(database: StateDatabase) -> None:
    """Sixty-four callers must not pay for sixty-four flushes."""
    commits: list[int] = []
    counted = 0

    def work(connection: sqlite3.Connection) -> None:
        nonlocal counted
        counted += 1
        connection.set_trace_callback(
            lambda statement: commits.append(1) if statement == "COMMIT" else None
        )
        connection.execute("INSERT INTO note VALUES (?)", (str(counted),))

    async with anyio.create_task_group() as tasks:
        for _ in range(64):
            tasks.start_soon(database.write, work)

    assert counted == 64
    assert len(commits) <= 4


async def test_a_full_disk_is_an_error_and_loses_nothing_earlier(
    database: StateDatabase,
) -> None:
    await database.write(note("kept"))

    def fill(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        connection.execute("INSERT INTO note VALUES (?)", ("x" * 100_000,))

    with pytest.raises(StateError, match="SQLITE_FULL"):
        await database.write(fill)
    assert await database.read(notes) == ["kept"]


async def test_reading_cannot_write(database: StateDatabase) -> None:
    with pytest.raises(StateError, match="readonly"):
        await database.read(note("sly"))


async def test_a_closed_database_refuses(path: Path) -> None:
    async with StateDatabase(path, [NOTES]) as database:
        pass

    with pytest.raises(StateError, match="not open"):
        await database.write(note("late"))
    with pytest.raises(StateError, match="not open"):
        await database.read(notes)


async def test_a_write_cancelled_in_the_queue_does_not_happen(
    database: StateDatabase,
) -> None:
    async def hold() -> None:
        async with database._writing:
            held.set()
            await release.wait()

    held, release = anyio.Event(), anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold)
        await held.wait()
        with anyio.move_on_after(0.01) as gave_up:
            await database.write(note("never"))
        release.set()
    await database.write(note("after"))

    assert gave_up.cancelled_caught
    assert await database.read(notes) == ["after"]


async def test_a_change_by_another_connection_is_noticed(
    database: StateDatabase, path: Path
) -> None:
    token = await database.changed(None)
    async with StateDatabase(path, [NOTES]) as other:
        await other.write(note("theirs"))

    with anyio.fail_after(40):
        assert await database.changed(token) != token


async def test_two_processes_may_open_a_new_file_at_once(path: Path) -> None:
    """Creating, switching to WAL and migrating must not trip over each other."""
    program = textwrap.dedent("""
        import anyio, pathlib, sys
        from permissions.database import Schema, StateDatabase
        notes = Schema("notes", (("CREATE TABLE note (text TEXT NOT NULL UNIQUE) STRICT",),))
        async def main():
            async with StateDatabase(pathlib.Path(sys.argv[1]), [notes]) as database:
                await database.write(
                    lambda c: c.execute("INSERT INTO note VALUES (?)", (sys.argv[2],)))
        anyio.run(main)
    """)
    openers = [
        subprocess.Popen([sys.executable, "-c", program, str(path), str(number)])
        for number in range(4)
    ]
    assert [opener.wait(timeout=150) for opener in openers] == [0, 0, 0, 0]

    async with StateDatabase(path, [NOTES]) as database:
        assert await database.read(notes) == ["0", "1", "2", "3"]


async def test_a_forked_child_may_not_use_the_connection(path: Path) -> None:
    program = textwrap.dedent("""
        import anyio, os, pathlib, sys
        from permissions.errors import StateError
        from permissions.database import StateDatabase
        async def main():
            async with StateDatabase(pathlib.Path(sys.argv[1]), []) as database:
                child = os.fork()
                if child == 0:
                    try:
                        database._opened()
                    except StateError:
                        os._exit(42)
                    os._exit(0)
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.exit(anyio.run(main))
    """)
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=150)
    assert done.returncode == 42


@pytest.mark.slow
async def test_nothing_committed_is_lost_when_writers_are_killed(path: Path) -> None:
    """A line on stdout says `committed`; after kill -9 at any moment each such note is there."""
    program = textwrap.dedent("""
        import anyio, itertools, pathlib, sys
        from permissions.database import Schema, StateDatabase
        notes = Schema("notes", (("CREATE TABLE note (text TEXT NOT NULL UNIQUE) STRICT",),))
        async def main():
            async with StateDatabase(pathlib.Path(sys.argv[1]), [notes]) as database:
                for number in itertools.count():
                    text = f"{sys.argv[2]}-{number}"
                    await database.write(
                        lambda c: c.execute("INSERT INTO note VALUES (?)", (text,)))
                    print(text, flush=True)
        anyio.run(main)
    """)
    promised: set[str] = set()
    for turn in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", program, str(path), str(turn)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        for _ in range(3 + 7 * turn):
            promised.add(writer.stdout.readline().strip())
        os.kill(writer.pid, signal.SIGKILL)
        promised.update(line.strip() for line in writer.stdout if line.endswith("\n"))
        writer.stdout.close()
        writer.wait(timeout=150)

    async with StateDatabase(path, [NOTES]) as database:
        kept = set(await database.read(notes))
        (sound,) = await database.read(lambda c: c.execute("PRAGMA integrity_check").fetchone())
    assert promised <= kept
    assert sound == "ok"


@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
async def test_a_file_that_is_gone_is_neither_read_nor_written(
    database: StateDatabase, path: Path, *, replaced: bool
) -> None:
    await database.write(note("one"))
    path.rename(path.with_name("kept-by-a-backup"))
    if replaced:
        path.touch(mode=0o600)

    with pytest.raises(StateError, match="deleted or replaced"):
        await database.write(note("two"))
    with pytest.raises(StateError, match="deleted or replaced"):
        await database.read(notes)

    path.with_name("kept-by-a-backup").replace(path)
    assert await database.read(notes) == ["one"]
