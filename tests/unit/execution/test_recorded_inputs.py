"""The files a run starts from, into the record and out of it again."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from permissions.execution.base import Outcome
from permissions.execution.recorded_inputs import (
    MAX_BYTES,
    MAX_FILES,
    of_copies,
    of_workspace,
    restore,
    with_inputs,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/raw").write_bytes(b"\xff\x00\xfe")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o750)
    (folder / "link").symlink_to("deep/er/raw")
    (folder / "deep/.env").write_text("SECRET=1")
    (folder / "empty").mkdir(mode=0o700)
    os.mkfifo(folder / "pipe")
    return folder


def shape(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in folder.rglob("*"):
        name, mode = str(path.relative_to(folder)), path.lstat().st_mode
        if path.is_symlink():
            found[name] = os.readlink(path)  # noqa: PTH115 - the text
        elif path.is_file():
            found[name] = (mode, path.read_bytes())
        elif path.is_dir():
            found[name] = mode
    return found


def test_a_workspace_comes_back_as_it_was_without_what_is_hidden(work: Path, tmp_path: Path):
    inputs = of_workspace(work, ("deep/.env",))
    recorded = with_inputs(Outcome("ok"), inputs).effects[-1]
    assert recorded.body == {"kind": "inputs", "recorded": True, "inputs": 6, "outputs": 0}

    back = tmp_path / "back"
    back.mkdir()
    assert restore(json.loads(recorded.contents["inputs"]), back) == []

    (work / "deep/.env").unlink()
    assert shape(back) == shape(work)


def test_a_text_that_was_replaced_in_the_record_is_named(tmp_path: Path):
    inputs = of_copies({"a.txt": b"token abc", "b.txt": b"b"})
    assert inputs is not None
    inputs["a.txt"]["text"] = "token [secret]"
    assert restore(inputs, tmp_path) == ["a.txt"]


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out"])
def test_a_path_out_of_the_folder_is_refused(tmp_path: Path, name: str):
    with pytest.raises(ValueError, match="no path within a workspace"):
        restore({name: {"mode": "0644", "sha256": "", "text": ""}}, tmp_path)


def test_nothing_is_written_through_a_link(tmp_path: Path):
    outside, back = tmp_path / "outside", tmp_path / "back"
    outside.mkdir()
    back.mkdir()
    inputs = {
        "a": {"link": str(outside)},
        "a/file": {"mode": "0644", "sha256": "", "text": "x"},
    }
    with pytest.raises(OSError, match="exists"):
        restore(inputs, back)
    assert list(outside.iterdir()) == []


def test_too_much_is_not_recorded(tmp_path: Path):
    assert of_copies({"a": b"x" * (MAX_BYTES + 1)}) is None
    assert of_copies({str(number): b"" for number in range(MAX_FILES + 1)}) is None
    (tmp_path / "big").write_bytes(b"x" * (MAX_BYTES + 1))
    assert of_workspace(tmp_path, ()) is None
    said = with_inputs(Outcome("ok"), None).effects[-1]
    assert (said.body["recorded"], said.contents) == (False, {})
