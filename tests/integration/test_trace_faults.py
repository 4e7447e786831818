"""Real faults under a real log: a writer killed again and again, a disk that is full."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest
from disks import disk_of, image_of, mounted_image
from logs import CONFIG, KEK, NAME, SIGNER, before, record_run, run_start

from permissions.errors import TraceError, TraceIntegrityError, TraceWriteError
from permissions.trace.log import open_log
from permissions.trace.reader import read_entries
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from permissions.trace.log import SignedLog
    from permissions.trace.report import Report

KILLS = 12
SUPPORT = str(Path(sys.modules["logs"].__file__ or "").parent)

WRITER = """
import sys, anyio
from pathlib import Path
from disks import disk_of
from logs import CONFIG, KEK, NAME, SIGNER, before, outcome, run_start
from permissions.trace.log import open_log

async def caller(log, worker, generation):
    number = 0
    while True:
        call = f"{generation}-{worker}-{number}"
        receipt = await log.append(before("run", call), barrier="durable")
        sys.stdout.write(f"{receipt.first} {call}\\n")
        sys.stdout.flush()
        await log.append([outcome("run", call)], barrier="buffered")
        number += 1

async def main(directory, generation):
    async with open_log(directory, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        await log.append([run_start("run")], barrier="durable")
        async with anyio.create_task_group() as group:
            for worker in range(8):
                group.start_soon(caller, log, worker, generation)

anyio.run(main, Path(sys.argv[1]), sys.argv[2])
"""


def verified(directory: Path) -> Report:
    return verify_trace(directory, key=SIGNER.public, vault=VaultReader(directory, KEK))


def kill_after(directory: Path, generation: int, acknowledgements: int) -> list[str]:
    """Lets a writer work, kills it, and gives every line it had acknowledged."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory), str(generation)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": SUPPORT},
        text=True,
    )
    assert writer.stdout is not None
    lines = []
    try:
        for line in writer.stdout:
            lines.append(line)
            if len(lines) == acknowledgements:
                writer.send_signal(signal.SIGKILL)
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    assert writer.returncode == -signal.SIGKILL
    return [line for line in lines if line.endswith("\n")]


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(KILLS, marks=pytest.mark.slow),
        pytest.param(500, marks=[pytest.mark.long, pytest.mark.timeout(7200)]),
    ],
)
def test_no_acknowledged_entry_is_lost_to_kill_9(tmp_path: Path, kills: int):
    """Writers die one after the other, in the middle of their work."""
    acknowledged: dict[int, str] = {}
    for generation in range(kills):
        many = 20 + 7 * (generation % KILLS)
        for line in kill_after(tmp_path, generation, acknowledgements=many):
            index, call = line.split()
            acknowledged[int(index)] = call
        if generation < KILLS or generation % 20 == 0:  # each reads all there is
            assert verified(tmp_path).integrity.verdict == "signed"

    async def resume() -> None:
        async with open_log(tmp_path, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG):
            pass

    anyio.run(resume)
    recorded = {each.index: each for each in read_entries(tmp_path)}
    report = verified(tmp_path)

    assert len(acknowledged) >= kills * 20
    for index, call in acknowledged.items():
        assert (recorded[index].type, recorded[index].call) == ("intent", call)
        assert recorded[index + 2].type == "start"
    assert report.integrity.verdict == "signed"
    assert report.completeness.findings == ()
    assert report.completeness.open_calls == ()
    assert report.completeness.gaps > 0
    assert report.completeness.contents.absent == report.completeness.contents.erased == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disk_of(2, tmp_path / "disk") as disk:
        yield disk


@pytest.mark.slow
async def test_a_full_disk_closes_the_log_and_says_so(small_disk: Path):
    """Nothing acknowledged is lost, nothing more is admitted, verification still works."""
    directory = small_disk / "trace"
    async with open_log(directory, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        await log.append([run_start("run")], barrier="durable")
        acknowledged, failure = await _append_until_it_fails(log)
        for barrier in ("durable", "written", "buffered"):
            with pytest.raises(TraceWriteError, match="admits nothing more"):
                await log.append(before("run", "late"), barrier=barrier)  # type: ignore[arg-type]

    report = verified(directory)
    entries = list(read_entries(directory))
    assert acknowledged > 100
    assert "No space left" in failure
    assert [each.type for each in entries].count("intent") == acknowledged
    assert report.integrity.verdict == "signed"
    assert entries[-1].type == "log.close"
    assert "No space left" in entries[-1].body["reason"]
    assert report.completeness.closed

    for _ in range(2):
        with pytest.raises(TraceWriteError):
            await _reopen(directory)
    report = verified(directory)
    assert report.integrity.verdict == "signed"
    assert report.completeness.findings == ()

    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    await _reopen(directory)
    report = verified(directory)
    assert report.completeness.closed
    assert report.completeness.findings == ()


async def _append_until_it_fails(log: SignedLog) -> tuple[int, str]:
    acknowledged = 0
    try:
        while True:
            await log.append(before("run", f"c{acknowledged}"), barrier="durable")
            acknowledged += 1
    except TraceWriteError as err:
        return acknowledged, str(err)


async def _reopen(directory: Path) -> None:
    async with open_log(directory, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG):
        pass


LIMITED = """
import resource, sys, anyio
from pathlib import Path
from disks import disk_of
from logs import CONFIG, KEK, NAME, SIGNER, before, run_start
from permissions.errors import TraceWriteError
from permissions.trace.log import open_log

async def main(directory):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
    async with open_log(directory, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        await log.append([run_start("run")], barrier="durable")
        number = 0
        try:
            while True:
                await log.append(before("run", f"c{number}"), barrier="durable")
                number += 1
        except TraceWriteError as err:
            print(number, err)

anyio.run(main, Path(sys.argv[1]))
"""


def test_a_file_that_may_not_grow_closes_the_log_and_can_be_gone_on_with(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": SUPPORT},
        text=True,
    )
    acknowledged = int(done.stdout.split()[0])

    report = verified(tmp_path)
    entries = [each.type for each in read_entries(tmp_path)]
    assert report.integrity.verdict == "signed"
    assert entries.count("intent") == acknowledged > 100
    assert entries[-1] == "log.close"

    async def go_on() -> None:
        async with open_log(tmp_path, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
            await record_run(log, "next", 2)

    anyio.run(go_on)
    report = verified(tmp_path)
    assert report.integrity.verdict == "signed"
    assert report.completeness.closed
    assert report.completeness.gaps == acknowledged


EXT4_SHUTDOWN = 0x8004587D
"""`EXT4_IOC_SHUTDOWN` of fs/ext4/ext4.h; with 2 nothing that waits is written any more."""


def input_output_errors(disk: Path) -> None:
    folder = os.open(disk, os.O_RDONLY)
    fcntl.ioctl(folder, EXT4_SHUTDOWN, struct.pack("I", 2))
    os.close(folder)


def read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,abort", str(disk)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [input_output_errors, read_only])
async def test_a_disk_that_fails_closes_the_log_and_loses_nothing(
    tmp_path: Path, fault: Callable[[Path], None]
):
    """Nothing more is admitted on it, and once it is mounted again all that was said is there."""
    image = image_of(24, tmp_path / "image")
    with mounted_image(image, tmp_path / "disk") as disk:
        directory = disk / "trace"
        with contextlib.suppress(TraceWriteError):  # the end cannot be written either
            async with open_log(
                directory, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG
            ) as log:
                await log.append([run_start("run")], barrier="durable")
                for number in range(20):
                    await log.append(before("run", f"c{number}"), barrier="durable")
                fault(disk)
                for barrier in ("durable", "durable", "buffered"):
                    with pytest.raises(TraceWriteError):
                        await log.append(before("run", "late"), barrier=barrier)  # type: ignore[arg-type]

    # A sandbox of another test that started meanwhile has the mount as well, and with it the
    # kernel's state of this disk; what is on it is the same in a copy.
    again = Path(shutil.copy(image, tmp_path / "again"))
    with mounted_image(again, tmp_path / "disk") as disk:
        report = verified(disk / "trace")
        calls = [each.call for each in read_entries(disk / "trace") if each.type == "intent"]
        assert report.integrity.verdict == "signed"
        assert calls == [f"c{number}" for number in range(20)]
        await _reopen(disk / "trace")
        report = verified(disk / "trace")
        assert report.completeness.findings == ()
        assert report.completeness.gaps == 20


async def test_a_reader_may_look_while_a_writer_works(tmp_path: Path):
    """What is verified in the meantime is a shorter log, never a broken one."""
    sizes = []
    async with (
        open_log(tmp_path, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log,
        anyio.create_task_group() as group,
    ):
        group.start_soon(record_run, log, "run", 40)
        for _ in range(10):
            report = await anyio.to_thread.run_sync(verified, tmp_path)
            assert report.integrity.verdict == "signed"
            assert not report.completeness.closed
            sizes.append(report.integrity.size)

    assert sizes == sorted(sizes)
    assert verified(tmp_path).completeness.is_whole


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _replace(path: Path) -> None:
    data = path.read_bytes()
    path.rename(path.with_name("moved"))
    path.write_bytes(data)


HARMS = {
    "deleted": Path.unlink,
    "replaced": _replace,
    "cut": _cut,
    "emptied": lambda path: os.truncate(path, 0),
}
IN_PART = {"cut", "emptied"}  # what stands in the lock file is for people


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        pytest.param(file, harm, id=f"{name}-{file}")
        for file in ("vault.keys", "00000000000000000000.jsonl", "lock")
        for name, harm in HARMS.items()
        if file != "lock" or name not in IN_PART
    ],
)
async def test_harm_to_a_file_stops_the_log_that_is_open(
    tmp_path: Path, file: str, harm: Callable[[Path], object]
):
    async with open_log(tmp_path, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        await record_run(log, "run-a", 1)

        harm(tmp_path / file)

        with pytest.raises(TraceWriteError, match=r"cut by somebody else|are gone"):
            await log.append([run_start("run-b")], barrier="durable")


async def test_a_full_disk_at_the_keys_leaves_no_torn_line(small_disk: Path):
    """Room is made, and the contents of the next run open."""
    directory = small_disk / "trace"
    filler = small_disk / "filler"
    async with open_log(directory, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        keys = directory / "vault.keys"
        number = 0
        while keys.stat().st_size == 0 or 4096 - keys.stat().st_size % 4096 > 400:
            number += 1
            await record_run(log, f"run-{number:03}", 1)
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with pytest.raises(TraceWriteError, match="No space"):
            await log.append(before("run-x", "call-x"), barrier="durable")
    assert keys.read_bytes().endswith(b"\n")
    filler.unlink()

    async with open_log(directory, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        await record_run(log, "run-after", 1)

    report = verified(directory)
    assert report.completeness.contents.erased == 0
    assert not report.completeness.findings


@pytest.mark.parametrize("torn", [b'{"kek":"00', b"\0" * 40, b'{"kek"\0\0"}'])
async def test_a_torn_line_of_the_keys_is_never_appended_to(tmp_path: Path, torn: bytes):
    async with open_log(tmp_path, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        await record_run(log, "run-a", 1)
    keys = tmp_path / "vault.keys"
    whole = keys.read_bytes()
    keys.write_bytes(whole + torn)

    async with open_log(tmp_path, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        await record_run(log, "run-b", 1)

    assert keys.read_bytes().startswith(whole + b'{"kek"')
    assert verified(tmp_path).completeness.contents.erased == 0
    assert verified(tmp_path).completeness.is_whole


async def test_a_last_key_without_its_newline_is_kept(tmp_path: Path):
    async with open_log(tmp_path, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        await record_run(log, "run-a", 1)
    keys = tmp_path / "vault.keys"
    keys.write_bytes(keys.read_bytes()[:-1])

    async with open_log(tmp_path, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        await record_run(log, "run-b", 1)

    assert verified(tmp_path).completeness.is_whole


async def test_keys_that_are_gone_are_not_begun_anew(tmp_path: Path):
    async with open_log(tmp_path, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        await record_run(log, "run-a", 1)
    (tmp_path / "vault.keys").unlink()

    with pytest.raises(TraceIntegrityError, match=r"vault\.keys, or the vault's key, is gone"):
        async with open_log(tmp_path, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG):
            pass


def _garble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : 2 * len(data) // 3] = b"?" * (len(data) // 3)
    path.write_bytes(data)


KEYS_LOST: dict[str, Callable[[Path], object]] = {
    "emptied": lambda path: path.write_bytes(b""),
    "garbled": _garble,
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "another file": lambda path: path.write_text("keys\n"),
    "the last line": lambda path: path.write_bytes(
        path.read_bytes()[: path.stat().st_size // 2]
    ),
    "the first line": lambda path: path.write_bytes(path.read_bytes().partition(b"\n")[2]),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a backup": lambda path: path.write_bytes(path.with_name("backup").read_bytes()),
}


@pytest.mark.parametrize("has_snapshot", [True, False])
@pytest.mark.parametrize("harm", KEYS_LOST.values(), ids=KEYS_LOST)
async def test_a_log_whose_keys_were_lost_is_not_continued(
    tmp_path: Path, harm: Callable[[Path], object], *, has_snapshot: bool
):
    """Whoever wrote on would find out years later that nothing opens."""
    keys = tmp_path / "vault.keys"
    for run in ("run-a", "run-b"):
        async with open_log(tmp_path, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
            await record_run(log, run, 1)
        if run == "run-a":
            shutil.copy(keys, tmp_path / "backup")
    harm(keys)
    if not has_snapshot:
        (tmp_path / "snapshot.json").unlink()

    for _ in range(2):
        with pytest.raises(TraceError, match=r"vault\.keys"):
            await _reopen(tmp_path)


async def test_a_log_is_not_continued_under_another_vault_key(tmp_path: Path):
    async with open_log(tmp_path, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        await record_run(log, "run-a", 1)

    with pytest.raises(TraceIntegrityError, match=r"another vault key.*trace renew"):
        async with open_log(tmp_path, name=NAME, signer=SIGNER, kek=bytes(32), config=CONFIG):
            pass
    await _reopen(tmp_path)


async def test_lines_added_to_the_keys_by_somebody_else_lose_nothing(tmp_path: Path):
    async with open_log(tmp_path, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        await record_run(log, "run-a", 1)
    keys = tmp_path / "vault.keys"
    keys.write_bytes(keys.read_bytes() + b"# a note\n")

    async with open_log(tmp_path, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG) as log:
        await record_run(log, "run-b", 1)

    assert verified(tmp_path).completeness.is_whole
