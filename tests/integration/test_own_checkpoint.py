"""A broker knows how far its log went, and goes on with no other and no shorter one."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from logs import CONFIG, record_run
from typer.testing import CliRunner

from permissions.cli.trace import app
from permissions.database import StateDatabase
from permissions.errors import BrokerError, TraceIntegrityError
from permissions.setup.config import BrokerConfig, TraceConfig
from permissions.setup.layout import StateLayout, log_signer
from permissions.setup.own_log import LOG_NAME, log_memories
from permissions.setup.renewal import renew_log
from permissions.trace import own_checkpoint
from permissions.trace.encoder import CHECKPOINT_PREFIX
from permissions.trace.log import open_log
from permissions.trace.reader import first_entry
from permissions.trace.snapshot import SNAPSHOT_FILE
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from permissions.trace.log import SignedLog


@pytest.fixture
def config(tmp_path: Path) -> BrokerConfig:
    return BrokerConfig(state=tmp_path / "state", workspace=tmp_path / "work")


@asynccontextmanager
async def opened(config: BrokerConfig) -> AsyncIterator[SignedLog]:
    """The log as a broker opens it."""
    layout = StateLayout(config.state)
    layout.make(config.workspace)
    kek, signer = layout.vault_key(), log_signer(config)
    async with (
        StateDatabase(layout.database, [own_checkpoint.SCHEMA]) as state,
        open_log(
            layout.trace,
            name=LOG_NAME,
            signer=signer,
            kek=kek,
            config=CONFIG,
            memories=log_memories(config, state, signer),
        ) as log,
    ):
        yield log


async def record(config: BrokerConfig, run: str) -> None:
    async with opened(config) as log:
        await record_run(log, run, 1)


def segment(trace: Path) -> Path:
    [found] = trace.glob("*.jsonl")
    return found


def cut_tail(trace: Path) -> None:
    data = segment(trace).read_bytes()
    last = data.rindex(CHECKPOINT_PREFIX)
    segment(trace).write_bytes(data[: data.rindex(b"\n", 0, last - 700) + 1])
    data = segment(trace).read_bytes()
    end = data.index(b"\n", data.rindex(CHECKPOINT_PREFIX)) + 1
    segment(trace).write_bytes(data[:end])


def restore(trace: Path) -> None:
    shutil.rmtree(trace)
    shutil.copytree(trace.with_name("backup"), trace)


def rotate_by_move(trace: Path) -> None:
    path = segment(trace)
    path.rename(path.with_suffix(".jsonl.1"))


def rotate_by_move_and_create(trace: Path) -> None:
    path = segment(trace)
    path.rename(path.with_suffix(".jsonl.1"))
    path.touch()


def rotate_by_copytruncate(trace: Path) -> None:
    path = segment(trace)
    shutil.copy(path, path.with_suffix(".jsonl.1"))
    path.write_bytes(b"")


def zero_a_sector(trace: Path) -> None:
    """Below the snapshot it would stop no start, and be found by `verify` alone."""
    (trace / SNAPSHOT_FILE).unlink()
    data = segment(trace).read_bytes()
    at = (data.rindex(b"\n", 0, data.rindex(CHECKPOINT_PREFIX)) - 600) // 512 * 512
    segment(trace).write_bytes(data[:at] + bytes(512) + data[at + 512 :])


HARM = [
    cut_tail,
    restore,
    shutil.rmtree,
    rotate_by_move,
    rotate_by_move_and_create,
    rotate_by_copytruncate,
    zero_a_sector,
]


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
async def test_a_damaged_log_is_refused_and_renewed(
    config: BrokerConfig, harm: Callable[[Path], object]
) -> None:
    layout = StateLayout(config.state)
    await record(config, "run-a")
    shutil.copytree(layout.trace, layout.trace.with_name("backup"))
    await record(config, "run-b")
    before = verify_trace(layout.trace).integrity
    harm(layout.trace)

    for _ in range(2):
        with pytest.raises(TraceIntegrityError, match="wardline trace renew"):
            await record(config, "run-c")
    renewed = await renew_log(config)
    await record(config, "run-c")

    report = verify_trace(layout.trace, key=log_signer(config).public)
    assert report.is_intact
    assert report.completeness.is_whole
    opening = first_entry(layout.trace)
    assert opening is not None
    assert opening.origin == renewed.origin != before.origin
    assert opening.body["follows"] == renewed.follows
    assert renewed.follows["origin"] == before.origin
    assert renewed.follows["kept"] == before.size
    assert renewed.follows["verified"] < before.size


async def test_another_log_of_the_same_key_is_refused(config: BrokerConfig) -> None:
    layout = StateLayout(config.state)
    await record(config, "run-a")
    layout.trace.rename(layout.trace.with_name("first"))
    signer, kek = log_signer(config), layout.vault_key()
    async with open_log(
        layout.trace, name=LOG_NAME, signer=signer, kek=kek, config=CONFIG
    ) as other:
        await record_run(other, "run-x", 9)

    with pytest.raises(TraceIntegrityError, match=r"another log.*wardline trace renew"):
        await record(config, "run-b")


async def test_a_state_folder_restored_whole_is_found_by_the_folder_away_from_it(
    config: BrokerConfig, tmp_path: Path
) -> None:
    config = config.model_copy(
        update={"trace": TraceConfig(known_checkpoints=tmp_path / "elsewhere")}
    )
    await record(config, "run-a")
    shutil.copytree(config.state, tmp_path / "backup")
    await record(config, "run-b")
    shutil.rmtree(config.state)
    shutil.copytree(tmp_path / "backup", config.state)

    with pytest.raises(TraceIntegrityError, match="elsewhere counts"):
        await record(config, "run-c")
    await renew_log(config)
    await record(config, "run-c")


async def test_what_a_killed_writer_recorded_is_gone_on_with(config: BrokerConfig) -> None:
    """Its log goes farther than what was kept of it."""
    layout = StateLayout(config.state)
    async with opened(config) as log:
        await record_run(log, "run-a", 2)
        shutil.copytree(config.state, layout.root.with_name("killed"))
    killed = config.model_copy(update={"state": layout.root.with_name("killed")})

    await record(killed, "run-b")

    assert verify_trace(StateLayout(killed.state).trace).is_intact


@pytest.mark.parametrize(
    "harm", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["deleted", "emptied"]
)
async def test_a_log_whose_state_was_lost_is_refused_and_renewed(
    config: BrokerConfig, harm: Callable[[Path], object]
) -> None:
    """With it went budgets, answers and calls in doubt: to go on would begin them anew."""
    layout = StateLayout(config.state)
    async with opened(config):
        pass
    await record(config, "run-a")
    harm(layout.database)

    for _ in range(2):
        with pytest.raises(TraceIntegrityError, match=r"state\.db knows nothing.*trace renew"):
            await record(config, "run-b")
    await renew_log(config)
    await record(config, "run-b")


async def test_a_database_whose_last_page_was_cut_says_so(config: BrokerConfig) -> None:
    """It named neither the file nor what to do."""
    layout = StateLayout(config.state)
    await record(config, "run-a")
    layout.database.write_bytes(layout.database.read_bytes()[:-513])

    for _ in range(2):
        with pytest.raises(BrokerError, match=r"state\.db.*(put it back|check the disk)"):
            await record(config, "run-b")
    layout.database.unlink()
    await renew_log(config)
    await record(config, "run-b")


async def test_a_key_that_is_gone_is_replaced_when_told_to(config: BrokerConfig) -> None:
    layout = StateLayout(config.state)
    await record(config, "run-a")
    layout.kek.unlink()

    await renew_log(config)
    await record(config, "run-b")

    assert layout.kek.exists()


def test_the_verifier_takes_a_log_that_names_its_predecessor(
    config: BrokerConfig, tmp_path: Path
) -> None:
    import anyio

    where = ["--dir", str(config.state), "--known-checkpoints", str(tmp_path / "known")]
    anyio.run(record, config, "run-a")
    assert CliRunner().invoke(app, ["verify", *where]).exit_code == 0
    shutil.rmtree(StateLayout(config.state).trace)

    shown = CliRunner().invoke(app, ["renew", "--dir", str(config.state)])
    verified = CliRunner().invoke(app, ["verify", *where])

    assert shown.exit_code == 0, shown.output
    assert "the new log" in shown.stdout
    assert verified.exit_code == 0, verified.output
    assert "this log follows wardline/" in verified.stderr
