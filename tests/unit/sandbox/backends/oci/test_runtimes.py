"""Which releases of a runtime may be used, by what they say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.backends.oci.runtimes import installed, require_sound, version_in
from sandbox.errors import SandboxUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

SAID = [
    ("runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev", "1.1.5+ds1"),
    ("crun version 1.8.1\ncommit: f8a0\nrundir: /run/crun", "1.8.1"),
    ("runsc version release-20221219.0\nspec: 1.0.2", "20221219.0"),
    ("runc version v1.3.0-rc.1", "v1.3.0-rc.1"),
    ("no such thing", ""),
    ("", ""),
]


@pytest.mark.parametrize(("text", "version"), SAID)
def test_a_version_is_read(text: str, version: str) -> None:
    assert version_in(text) == version


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("runc", "1.1.12"),
        ("runc", "1.2.0"),
        ("runc", "2.0"),
        ("runc", "v1.3.0-rc.1"),
        ("runc", "1.1.5+ds1"),
        ("runc", "1.1.7-0ubuntu1~22.04.2"),
        ("crun", "1.8.1"),
        ("crun", "1.0"),
        ("runsc", "20221219.0"),
    ],
)
def test_a_release_without_a_known_escape_is_taken(name: str, version: str) -> None:
    require_sound(name, version)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("runc", "1.1.11"),
        ("runc", "1.1.0-rc.1"),
        ("runc", "1.1.11-dev"),
        ("runc", "1.0.3"),
        ("runc", "1.0.0~rc93+ds1"),
        ("runc", "1.0.2+ds1"),
        ("crun", "0.21"),
        ("crun", "0.17+dfsg"),
        ("runc", ""),
        ("crun", "UNKNOWN"),
        ("runsc", ""),
    ],
)
def test_one_with_a_known_escape_or_without_a_number_is_refused(
    name: str, version: str
) -> None:
    """The message says which, and how to get another one."""
    with pytest.raises(SandboxUnavailableError) as caught:
        require_sound(name, version)

    assert name in str(caught.value)
    assert caught.value.remedy


def test_a_runtime_is_found_on_the_path_and_asked_its_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A program that is none is listed with what it said: nothing."""
    for name, text in (("crun", "crun version 9.9"), ("runc", "?")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho '{text}'\n")
        program.chmod(0o755)
    (tmp_path / "runsc").write_text("not to be run")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert {name: found.version for name, found in installed().items()} == {
        "crun": "9.9",
        "runc": "",
    }
