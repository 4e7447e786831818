"""What a job requires is held against what is inside, and said with what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox import ProfileError, PythonJob, SandboxUnavailableError
from sandbox.requirements import check_requirements, installed

if TYPE_CHECKING:
    from pathlib import Path

FOUND = {"a-b": "1.5", "odd": "not a version", "early": "2.0rc1"}


@pytest.mark.parametrize(
    "text", ["A_b", "a.b>=1,<2", "absent; python_version < '3'", "early>=2.0rc1"]
)
def test_a_requirement_that_is_met(text: str) -> None:
    check_requirements((text,), FOUND, remedy="{}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("absent>=2", "lacks absent>=2: it has none; get absent>=2"),
        ("a-b>=2", "lacks a-b>=2: it has 1.5; get a-b>=2"),
        ("odd", "it has not a version"),
    ],
)
def test_a_requirement_that_is_not_met_names_all_there_is_to_know(text: str, said: str) -> None:
    with pytest.raises(SandboxUnavailableError, match=said):
        check_requirements((text,), FOUND, remedy="get {}")


@pytest.mark.parametrize(
    "text", ["", "a b", "a[x]>=1", "a @ https://example.org/a.whl", "a" * 501, "../a"]
)
def test_a_requirement_that_cannot_be_checked_makes_no_job(text: str) -> None:
    with pytest.raises(ProfileError, match="requirement"):
        PythonJob("m:f", requires=(text,))


def test_the_first_folder_wins_as_on_import(tmp_path: Path) -> None:
    for name in ("1/a_b-1.0.dist-info", "2/a_b-2.0.dist-info", "2/c-3.dist-info"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "2" / "file-1.dist-info").touch()
    (tmp_path / "2" / "noversion.dist-info").mkdir()

    assert installed((tmp_path / "1", tmp_path / "2")) == {"a-b": "1.0", "c": "3"}


@pytest.mark.parametrize(
    ("entry", "source"),
    [("m:f", "x"), ("f()", "x"), ("", "x"), ("f", "\ud800"), ("f", "x" * (1024 * 1024 + 1))],
    ids=["an import path", "a call", "nothing", "broken text", "too long"],
)
def test_a_source_that_is_no_job(entry: str, source: str) -> None:
    with pytest.raises(ProfileError):
        PythonJob(entry, source=source)
