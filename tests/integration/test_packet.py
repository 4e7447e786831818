"""An evidence packet verifies by the steps it prints, with nothing of this project at hand."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hostile import TEXTS, write_hostile_log
from logs import SIGNER, write_state
from typer.testing import CliRunner

from permissions.cli.trace import app
from permissions.signing.keys import generate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packet")]

ALONE = {"PATH": "/usr/bin:/bin"}


def packed(state: Path, out: Path, *arguments: str) -> Result:
    environment = {"XDG_STATE_HOME": str(out.parent / "xdg")}
    options = ["pack", str(out), "--dir", str(state), *arguments]
    return CliRunner().invoke(app, options, env=environment, catch_exceptions=False)


def steps(packet: Path) -> list[str]:
    """The commands of the packet's README, as they stand there."""
    found = re.findall(r"^\$ (.+)$", (packet / "README.md").read_text(), re.MULTILINE)
    assert len(found) >= 4
    return found


def followed(packet: Path) -> list[int]:
    """How each printed step ends, in an environment without anything of this project."""
    return [
        subprocess.run(
            ["bash", "-o", "pipefail", "-c", step],
            cwd=packet,
            env=ALONE,
            capture_output=True,
            check=False,
        ).returncode
        for step in steps(packet)
    ]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("state")
    write_state(folder, runs=["run-a", "run-b", "run-c"], calls=3)
    return folder


@pytest.fixture(scope="module")
def whole(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "case"
    key = generate(folder.parent / "responder.pem")
    done = packed(state, folder, "--open", "--sign", f"file:{folder.parent / 'responder.pem'}")
    assert done.exit_code == 0, done.stderr
    assert key.public
    return folder


@pytest.fixture(scope="module")
def part(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("part") / "case"
    assert packed(state, folder, "--open", "--run", "run-b").exit_code == 0
    return folder


def test_the_printed_steps_verify_a_whole_log(whole: Path) -> None:
    assert followed(whole) == [0, 0, 0, 0, 0]


def test_the_printed_steps_verify_one_run_by_its_proofs(part: Path) -> None:
    records = [json.loads(line) for line in (part / "records.jsonl").read_text().splitlines()]

    assert {record["run"] for record in records} == {None, "run-b"}
    assert followed(part) == [0, 0, 0, 0]


def test_the_key_it_prints_is_the_one_of_its_log(whole: Path) -> None:
    command = steps(whole)[-1]
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=whole,
        env=ALONE,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == str(SIGNER.public)
    assert f"{SIGNER.public}\n" in (whole / "README.md").read_text()


def test_without_permission_nothing_is_opened(state: Path, tmp_path: Path) -> None:
    packed(state, tmp_path / "case")

    assert (tmp_path / "case" / "openings.jsonl").read_bytes() == b""
    assert list((tmp_path / "case" / "contents").iterdir()) == []
    assert followed(tmp_path / "case") == [0, 0, 0, 0]


def edit(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(packet: Path) -> None:
        path = packet / name
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new, 1))

    return change


def drop_record(packet: Path) -> None:
    path = packet / "records.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def swap_records(packet: Path) -> None:
    path = packet / "records.jsonl"
    first, second, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([second, first, *rest]))


def swap_contents(packet: Path) -> None:
    argument, result = (
        next((packet / "contents").glob(f"*-{each}")) for each in ("arguments", "result")
    )
    held = argument.read_bytes()
    argument.write_bytes(result.read_bytes())
    result.write_bytes(held)


def add_content(packet: Path) -> None:
    (packet / "contents" / "99999999-result").write_bytes(b"planted")


def other_key(packet: Path) -> None:
    line = json.loads((packet / "openings.jsonl").read_text().splitlines()[0])
    edit("openings.jsonl", line["key"].encode(), b"0" * 64)(packet)


ATTACKS = [
    pytest.param(edit("records.jsonl", b'"status":"ok"', b'"status":"no"'), id="edit-a-record"),
    pytest.param(drop_record, id="drop-a-record"),
    pytest.param(swap_records, id="swap-records"),
    pytest.param(swap_contents, id="swap-contents"),
    pytest.param(add_content, id="add-a-content"),
    pytest.param(other_key, id="another-key-of-a-content"),
    pytest.param(edit("checkpoint", b"logs.example", b"logs.evil123"), id="another-origin"),
]


@pytest.mark.parametrize("which", ["whole", pytest.param("part", marks=pytest.mark.slow)])
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_was_changed_is_found_also_when_the_checksums_were_made_anew(
    attack: Callable[[Path], None],
    which: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    packet = tmp_path / "case"
    shutil.copytree(request.getfixturevalue(which), packet)
    attack(packet)
    checked, *_ = followed(packet)
    names = [line.split("  ")[1] for line in (packet / "SHA256SUMS").read_text().splitlines()]
    sums = subprocess.run(["sha256sum", *names], cwd=packet, capture_output=True, check=True)
    (packet / "SHA256SUMS").write_bytes(sums.stdout)

    anew, *others = followed(packet)

    assert (checked, anew) == (0 if attack is add_content else 1, 0)
    assert any(others)


def test_of_a_log_that_fails_no_packet_is_made(state: Path, tmp_path: Path) -> None:
    shutil.copytree(state, tmp_path / "state")
    edit("00000000000000000000.jsonl", b'"tool":"read"', b'"tool":"send"')(
        tmp_path / "state" / "trace"
    )

    done = packed(tmp_path / "state", tmp_path / "case")

    assert done.exit_code == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state"]


def test_a_folder_that_is_there_is_left_alone(state: Path, tmp_path: Path) -> None:
    (tmp_path / "case").mkdir()

    done = packed(state, tmp_path / "case")

    assert done.exit_code == 2
    assert "is there already" in done.stderr
    assert list((tmp_path / "case").iterdir()) == []


def test_the_card_of_hostile_records_is_text_alone(tmp_path: Path) -> None:
    write_state(tmp_path / "state")
    shutil.rmtree(tmp_path / "state" / "trace")
    write_hostile_log(tmp_path / "state" / "trace")
    assert packed(tmp_path / "state", tmp_path / "case").exit_code == 0

    card = (tmp_path / "case" / "card.md").read_text()

    assert not {"\x1b", "\u202e", "\u200b"} & set(card)
    assert not [line for line in card.splitlines() if re.search(r"(?<!\\)[<>`]", line)]
    assert all(line.count("|") - line.count("\\|") <= 5 for line in card.splitlines())
    assert TEXTS[0] not in card
