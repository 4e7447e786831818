"""The state file holds no content in clear, and none at all once its run was erased."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from people import REASON, STATE_KEYS, Clock, desk, payment, signed_vote

from permissions.approval.store import SCHEMA as REQUESTS
from permissions.approval.store import SqliteRequestStore
from permissions.database import StateDatabase
from permissions.errors import ApprovalError, StateError
from permissions.execution.journal import SCHEMA as JOURNAL
from permissions.execution.journal import Finished, Fresh, InDoubt, JournalKey, SqliteJournal
from permissions.run_keys import RunKeys, erase
from permissions.signing.canonical import digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECRET = "the-account-of-mrs-jones"
CALL = payment(arguments='{"account":"the-account-of-mrs-jones"}')
KEY = JournalKey(CALL.run, f"call {SECRET}", digest(b"tool"), digest(SECRET.encode()))


@asynccontextmanager
async def state(
    folder: Path, keys: RunKeys = STATE_KEYS
) -> AsyncIterator[tuple[StateDatabase, SqliteRequestStore, SqliteJournal]]:
    async with StateDatabase(folder / "state.db", [REQUESTS, JOURNAL]) as database:
        yield (
            database,
            SqliteRequestStore(database, keys),
            SqliteJournal(database, keys, clock=Clock()),
        )


async def used(store: SqliteRequestStore, journal: SqliteJournal) -> None:
    """A request that was answered with words, and a call that gave a result."""
    service = desk(store, Clock())
    request = await service.submit(CALL, [REASON])
    await service.vote(signed_vote(request, "bob"))
    assert await journal.begin(KEY) == Fresh()
    await journal.finish(KEY, result=f"paid {SECRET}".encode(), status="ok")


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def guessable() -> list[bytes]:
    """What would betray the content: itself, and whatever can be made from a guess of it."""
    return [
        SECRET.encode(),
        CALL.args_digest.encode(),
        CALL.binding.encode(),
        CALL.binding.removeprefix("sha256:").encode(),
        digest(SECRET.encode()).removeprefix("sha256:").encode(),
    ]


async def test_no_content_and_no_digest_of_one_stands_in_the_file(tmp_path: Path) -> None:
    """Neither in the file nor in its write-ahead log, while it is used and when it is closed."""
    async with state(tmp_path) as (_, store, journal):
        await used(store, journal)
        open_bytes = everything(tmp_path)
        assert await journal.find(KEY) == Finished(f"paid {SECRET}".encode(), "ok")
        (request,) = await store.of_call(CALL.run, CALL.binding)
        assert request.call == CALL

    assert [each for each in guessable() if each in open_bytes + everything(tmp_path)] == []


async def test_an_erased_run_is_gone_and_no_call_of_it_runs_again(tmp_path: Path) -> None:
    async with state(tmp_path) as (database, store, journal):
        await used(store, journal)
        other = replace(CALL, run="another-run")
        await desk(store, Clock(), prefix="other").submit(other, [REASON])
        (wrapped,) = await database.read(
            lambda c: c.execute(
                "SELECT wrapped FROM run_key WHERE run = ?", (CALL.run,)
            ).fetchone()
        )
        assert wrapped in everything(tmp_path)

        await erase(database, CALL.run)

        assert wrapped not in everything(tmp_path)
        for attempt in (
            journal.begin(KEY),
            journal.find(KEY),
            store.get("ar-1"),
            store.of_call(CALL.run, CALL.binding),
            desk(store, Clock(), prefix="late").submit(CALL, [REASON]),
        ):
            with pytest.raises(StateError, match="were erased"):
                await attempt
        assert [each.call.run for each in await store.listed()] == ["another-run"]
    assert wrapped not in everything(tmp_path)


async def test_another_vault_key_opens_nothing_and_begins_nothing(tmp_path: Path) -> None:
    """A call that is known under the right key must not look like one that never began."""
    async with state(tmp_path) as (_, store, journal):
        await used(store, journal)
    async with state(tmp_path, RunKeys(b"o" * 32)) as (_, store, journal):
        for attempt in (
            journal.find(KEY),
            journal.begin(KEY),
            store.get("ar-1"),
            store.listed(),
        ):
            with pytest.raises(StateError, match="another vault key"):
                await attempt


ALTERATIONS = {
    "a result of another call": (
        "UPDATE journal SET result = (SELECT result FROM journal WHERE status = 'ok')"
        " WHERE status = 'other'"
    ),
    "another first byte": (
        "UPDATE journal SET result = CAST(CASE substr(result, 1, 1) WHEN x'00' THEN x'01'"
        " ELSE x'00' END || substr(result, 2) AS BLOB)"
    ),
    "the key of another run": (
        "UPDATE run_key SET wrapped = (SELECT wrapped FROM run_key WHERE run = 'another-run')"
    ),
    "no key": "DELETE FROM run_key",
}


@pytest.mark.parametrize("alteration", ALTERATIONS)
async def test_what_was_moved_or_altered_is_not_taken_for_a_result(
    alteration: str, tmp_path: Path
) -> None:
    late = replace(KEY, call="late")
    async with state(tmp_path) as (_, store, journal):
        await used(store, journal)
        await journal.begin(replace(KEY, run="another-run"))
        await journal.begin(late)
        await journal.finish(late, result=b"late", status="other")
    with sqlite3.connect(tmp_path / "state.db") as attacker:
        attacker.execute(ALTERATIONS[alteration])
    attacker.close()

    async with state(tmp_path) as (_, store, journal):
        try:
            found = await journal.find(late)
        except StateError:
            return
        # Who may write the file can drop what is known: the trace's own starts are held against it.
        assert found is None
        with pytest.raises(ApprovalError):
            await store.get("ar-1")


KILLED = """
import os, signal, sys
from pathlib import Path
import anyio
from people import STATE_KEYS, Clock
from permissions.database import StateDatabase
from permissions.execution.journal import SCHEMA, JournalKey, SqliteJournal

async def main():
    async with StateDatabase(Path(sys.argv[1]), [SCHEMA]) as database:
        journal = SqliteJournal(database, STATE_KEYS, clock=Clock())
        number = int(sys.argv[2])
        key = JournalKey(f"run-{number}", "call", "sha256:" + "c" * 64, "sha256:" + "a" * 64)
        await journal.begin(key)
        if number % 2:
            await journal.finish(key, result=b"r" * number, status="ok")
        print("done", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main)
"""


@pytest.mark.slow
async def test_a_key_lives_and_dies_with_what_it_seals(tmp_path: Path) -> None:
    """After kill -9, and in each copy of the files as they were: opened, or not there."""
    for number in range(1, 9):
        ended = subprocess.run(
            [sys.executable, "-c", KILLED, str(tmp_path / "state.db"), str(number)],
            capture_output=True,
            text=True,
            check=False,
            env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        )
        assert ended.stdout == "done\n", ended.stderr
        copy = tmp_path.parent / f"{tmp_path.name}-copy-{number}"
        shutil.copytree(tmp_path, copy)
        async with state(copy) as (_, _, journal):
            for each in range(1, number + 1):
                key = JournalKey(f"run-{each}", "call", digest(b""), digest(b""))
                key = replace(
                    key, tool_digest="sha256:" + "c" * 64, args_digest="sha256:" + "a" * 64
                )
                found = await journal.find(key)
                assert isinstance(found, Finished if each % 2 else InDoubt)
