"""Whatever a power cut leaves of the files that matter: they open, nothing acknowledged is gone.

The disk is a model (`power`), the files are written by the product. A kill cannot show these
states: the kernel keeps what a killed process wrote.
"""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from logs import (
    CONFIG,
    KEK,
    NAME,
    SIGNER,
    before,
    outcome,
    record_run,
    run_start,
    seeded,
    ticking,
)
from people import REASON, STATE_KEYS, Clock, desk, payment, signed_vote
from power import SECTOR, Recorder, between, recording, write_out

from permissions.approval.store import SCHEMA, SqliteRequestStore
from permissions.database import StateDatabase
from permissions.files import create, replace
from permissions.pdp.bundle import load_bundle, load_revision, save_bundle
from permissions.setup.layout import StateLayout
from permissions.trace.checkpoint import parse_checkpoint
from permissions.trace.checkpoint_signer import CheckpointSigner
from permissions.trace.entry import TraceEntry
from permissions.trace.known_checkpoints import KnownCheckpoints
from permissions.trace.log import open_log
from permissions.trace.recovery import recover
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from permissions.trace.report import Report
    from permissions.vocabulary import Barrier

pytestmark = pytest.mark.unmeasured

SEED = 20261129


SOME_OR_ALL = pytest.mark.parametrize(
    ("exhaustive", "samples"),
    [(3, 8), pytest.param(12, 200, marks=pytest.mark.slow)],
    ids=["some", "all"],
)
"""States of each moment: all of so many sectors and names in flight, and how many of more."""


def seeded_choices() -> random.Random:
    return random.Random(SEED)  # noqa: S311 - the same states each time, no secret


def states(
    recorder: Recorder, folder: Path, *, exhaustive: int = 3, samples: int = 8
) -> Iterator[tuple[Path, Any]]:
    """Legal states, written out in a folder of their own, and what was acknowledged by then."""
    rng = seeded_choices()
    for moment in recorder.moments:
        for state in moment.states(rng, exhaustive=exhaustive, samples=samples):
            copy = folder / "state"
            shutil.rmtree(copy, ignore_errors=True)
            copy.mkdir()
            write_out(state, copy)
            yield copy, moment.acknowledged


def verified(directory: Path, acknowledged: str | None) -> Report:
    return verify_trace(
        directory,
        key=SIGNER.public,
        known={} if acknowledged is None else {"acknowledged": acknowledged},
        vault=VaultReader(directory, KEK),
    )


def last_checkpoint(directory: Path) -> str:
    found = verify_trace(directory, key=SIGNER.public).checkpoint
    assert found is not None
    return found


async def write_on(
    directory: Path,
    recorder: Recorder,
    *,
    size: int,
    seed: str,
    barrier: Barrier = "durable",
) -> None:
    """Two calls, each step durable or written; `size` bytes of what the second returns."""
    async with open_log(
        directory,
        name=NAME,
        signer=SIGNER,
        kek=KEK,
        config=CONFIG,
        clock=ticking(),
        random=seeded(seed),
    ) as log:

        async def acknowledge(*entries: TraceEntry) -> None:
            await log.append(entries, barrier=barrier)
            if barrier == "durable":  # else a power cut may take it back
                recorder.acknowledged = last_checkpoint(directory)

        run = f"run-{seed}"
        await acknowledge(run_start(run))
        await acknowledge(*before(run, "one"))
        await acknowledge(outcome(run, "one"), *before(run, "two"))
        big = seeded(seed)(size)
        await acknowledge(TraceEntry("outcome", run, "two", {"status": "ok"}, {"result": big}))


def require_recoverable(directory: Path, acknowledged: str | None) -> None:
    if not list(directory.glob("*.jsonl")):
        assert acknowledged is None
        return
    report = verified(directory, acknowledged)

    assert report.is_intact, report.integrity
    assert report.completeness.contents.erased == 0
    assert not report.completeness.findings
    if acknowledged is not None:
        assert report.integrity.size >= parse_checkpoint(acknowledged).size


@pytest.mark.parametrize(
    ("size", "exhaustive", "barrier"),
    [
        pytest.param(10, 12, "durable", id="small", marks=pytest.mark.slow),
        pytest.param(1200, 12, "durable", id="some", marks=pytest.mark.slow),
        pytest.param(60_000, 3, "durable", id="large", marks=pytest.mark.slow),
        pytest.param(10, 3, "written", id="small, written"),
        pytest.param(1200, 12, "written", id="some, written", marks=pytest.mark.slow),
    ],
)
def test_any_sectors_of_the_group_in_flight(
    tmp_path: Path, size: int, exhaustive: int, barrier: Barrier
) -> None:
    """One group at most, also where callers go on before it is synced."""
    log = tmp_path / "log"
    log.mkdir()
    with recording(log) as recorder:
        anyio.run(lambda: write_on(log, recorder, size=size, seed="a", barrier=barrier))

    tried = 0
    for directory, acknowledged in states(
        recorder, tmp_path, exhaustive=exhaustive, samples=40
    ):
        require_recoverable(directory, acknowledged)
        if list(directory.glob("*.jsonl")):
            recover(directory, keys=[SIGNER.public], kek=KEK)
            require_recoverable(directory, acknowledged)
        tried += 1
    assert tried > 100


@pytest.mark.slow
def test_a_second_writer_after_a_torn_one(tmp_path: Path) -> None:
    """The states while a log is recovered, of a state in which only the checkpoint landed."""
    log = tmp_path / "log"
    log.mkdir()
    with recording(log) as recorder:
        anyio.run(lambda: write_on(log, recorder, size=3000, seed="a"))
    torn = [
        (state, moment.acknowledged)
        for moment in recorder.moments[-3:]
        for state in moment.states(seeded_choices(), exhaustive=3, samples=6)
        if moment.acknowledged
    ]
    for state, acknowledged in seeded_choices().sample(torn, 2):
        shutil.rmtree(log)
        log.mkdir()
        write_out(state, log)
        with recording(log) as second:
            second.acknowledged = acknowledged
            anyio.run(lambda: write_on(log, second, size=10, seed="b"))
        for directory, known in states(second, tmp_path):
            require_recoverable(directory, known)
        report = verified(log, acknowledged)
        assert report.completeness.closed


async def test_every_state_is_continued(tmp_path: Path) -> None:
    """A sample of the states above by the real writer, who closes what it opened."""
    log = tmp_path / "log"
    log.mkdir()
    with recording(log) as recorder:
        await write_on(log, recorder, size=3000, seed="a")

    rng = seeded_choices()
    for directory, acknowledged in states(recorder, tmp_path):
        if rng.random() > 0.2:
            continue
        async with open_log(
            directory, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG
        ) as again:
            await record_run(again, "run-after", 1)
        report = verified(directory, acknowledged)
        assert report.is_intact
        assert report.completeness.closed
        assert not report.completeness.findings
        assert report.completeness.contents.erased == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "state", ["work/.wardline", pytest.param("outside", marks=pytest.mark.slow)]
)
@SOME_OR_ALL
def test_the_first_start_of_an_installation(
    tmp_path: Path, state: str, exhaustive: int, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders, keys and log are made in an order that every state can be gone on from.

    In a workspace, a state folder is somebody else's unless the user's own list has it.
    """
    root = tmp_path / "state"  # where `states` writes them: the list knows paths
    (root / "work").mkdir(parents=True)

    def start(folder: Path, run: str) -> StateLayout:
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / "user/state"))
        layout = StateLayout(folder / state)
        layout.make(folder / "work")
        kek, signer = layout.vault_key(), layout.log_signer()

        async def write() -> None:
            async with open_log(
                layout.trace, name=NAME, signer=signer, kek=kek, config=CONFIG
            ) as log:
                await record_run(log, run, 1)

        anyio.run(write)
        return layout

    with recording(root) as recorder:
        layout = start(root, "run-a")
        recorder.acknowledged = layout.kek.read_bytes(), layout.log_key.read_bytes()
        recorder.look()

    for folder, keys in states(recorder, tmp_path, exhaustive=exhaustive, samples=samples):
        (folder / "work").mkdir(exist_ok=True)
        again = start(folder, "run-b")
        if keys is not None:
            assert (again.kek.read_bytes(), again.log_key.read_bytes()) == keys
        report = verify_trace(
            again.trace,
            key=again.log_signer().public,
            vault=VaultReader(again.trace, again.vault_key()),
        )
        assert report.integrity.verdict == "signed"
        assert report.completeness.closed
        assert not report.completeness.findings


@pytest.mark.parametrize(
    "size", [1, 3 * SECTOR, pytest.param(11 * SECTOR, marks=pytest.mark.slow)]
)
def test_a_file_is_the_old_or_the_new_one(tmp_path: Path, size: int) -> None:
    """Whatever is written by `files`: the list of trusted settings, what a tool gives back."""
    folder = tmp_path / "files"
    folder.mkdir()
    old, new = b"o" * size, b"n" * (size + 1)
    with recording(folder) as recorder:
        for data in (old, new):
            replace(folder / "one", data)
            recorder.acknowledged = data
        with pytest.raises(FileExistsError):
            create(folder / "one", b"never")

    for copy, written in states(recorder, tmp_path, exhaustive=12):
        path = copy / "one"
        found = path.read_bytes() if path.exists() else None
        assert found in {None: (None, old), old: (old, new), new: (new,)}[written]


@SOME_OR_ALL
def test_a_saved_bundle_is_there_whole_or_not_at_all(
    tmp_path: Path, exhaustive: int, samples: int
) -> None:
    bundle = load_bundle()
    folder = tmp_path / "bundles"
    folder.mkdir()
    with recording(folder) as recorder:
        save_bundle(bundle, folder)
        recorder.acknowledged = True

    for copy, saved in states(recorder, tmp_path, exhaustive=exhaustive, samples=samples):
        if not saved:
            save_bundle(bundle, copy)
        assert load_revision(copy, bundle.revision).revision == bundle.revision


def test_a_verifier_remembers_the_old_or_the_new_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "known"
    folder.mkdir()
    signer = CheckpointSigner("logs.example/a", SIGNER)
    with recording(folder) as recorder:
        for size in (1, 2):
            KnownCheckpoints(folder).remember(signer.sign(size, bytes(32)))
            recorder.acknowledged = size

    for copy, known in states(recorder, tmp_path):
        found = KnownCheckpoints(copy).get("logs.example/a")
        size = 0 if found is None else parse_checkpoint(found).size
        assert size in (known or 0, (known or 0) + 1)


def test_a_zeroed_sector_of_what_was_acknowledged_is_no_torn_group(tmp_path: Path) -> None:
    """It looks like one in the last group; a checkpoint kept outside tells."""
    log = tmp_path / "log"
    log.mkdir()
    with recording(log) as recorder:
        anyio.run(lambda: write_on(log, recorder, size=5000, seed="a"))
    [segment] = log.glob("*.jsonl")
    whole = segment.read_bytes()
    kept = last_checkpoint(log)

    for at in range(0, len(whole), SECTOR):
        segment.write_bytes(whole[:at] + bytes(SECTOR) + whole[at + SECTOR :])
        assert not verified(log, kept).is_intact


def test_one_altered_byte_of_the_last_group_is_no_torn_group(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    with recording(log) as recorder:
        anyio.run(lambda: write_on(log, recorder, size=5000, seed="a"))
    [segment] = log.glob("*.jsonl")
    whole = segment.read_bytes()
    last = whole.rindex(b'{"checkpoint"')
    group = whole.rindex(b"\n", 0, whole.rindex(b'{"checkpoint"', 0, last)) + 1

    for at in seeded_choices().sample(range(group, last), 60):
        for byte in (0, whole[at] ^ 1):
            segment.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
            report = verified(log, None)
            assert not report.is_intact or at == last - 1  # the newline: a cut, of what is last


def database_files(folder: Path) -> dict[str, bytes]:
    """What a power cut leaves of a database; the index of its log lives in memory."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if not path.name.endswith("-shm")
    }


@SOME_OR_ALL
async def test_votes_in_the_database(tmp_path: Path, exhaustive: int, samples: int) -> None:
    """Between a vote and its sync, and while the write-ahead log moves into the database."""
    folder = tmp_path / "state"
    moments = []
    async with StateDatabase(folder / "state.db", [SCHEMA]) as database:
        service = desk(SqliteRequestStore(database, STATE_KEYS), Clock())
        first = await service.submit(payment(quorum=2), [REASON])
        second = await service.submit(payment(key="other"), [REASON])
        before_vote = database_files(folder)
        await service.vote(signed_vote(first, "bob"))
        voted = database_files(folder)
        await service.vote(signed_vote(second, "carol"))
        before_close = database_files(folder)
    moments = [
        (between(before_vote, voted), 0),
        (between(voted, before_close), 1),
        (between(before_close, {**before_close, **database_files(folder)}), 2),
    ]

    for moment, acknowledged in moments:
        for state in moment.states(seeded_choices(), exhaustive=exhaustive, samples=samples):
            copy = tmp_path / "copy"
            shutil.rmtree(copy, ignore_errors=True)
            copy.mkdir(mode=0o700)
            write_out(state, copy)
            async with StateDatabase(copy / "state.db", [SCHEMA]) as database:
                again = desk(SqliteRequestStore(database, STATE_KEYS), Clock())
                votes = sum(len(each.votes) for each in await again.listed(pending_only=False))
            assert acknowledged <= votes <= acknowledged + 1
