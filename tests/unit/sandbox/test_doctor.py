"""`wardline doctor` and `wardline sandbox` on a machine as it is, and on one without an engine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from engines import engine_out_of_order
from typer.testing import CliRunner

from permissions.cli.root import app
from sandbox.doctor import Finding, can_isolate

if TYPE_CHECKING:
    from pathlib import Path


def finding(*, works: bool, isolation: str | None = "process") -> Finding:
    return Finding("x", isolation, works, "", "", {})  # type: ignore[arg-type]  # any boundary


@pytest.mark.parametrize(
    ("findings", "answer"),
    [
        ([], False),
        ([finding(works=False)], False),
        ([finding(works=True, isolation=None)], False),
        ([finding(works=False), finding(works=True)], True),
    ],
    ids=["nothing", "broken", "only a layer", "one of two"],
)
def test_only_a_working_backend_isolates(findings: list[Finding], answer: bool) -> None:  # noqa: FBT001
    assert can_isolate(findings) is answer


@pytest.mark.slow
def test_the_doctor_names_every_backend_and_each_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """Whatever does not work says what is missing and how to get it."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")

    done = CliRunner().invoke(app, ["doctor", "--json"])

    said = json.loads(done.stdout)
    by_subject = {entry["subject"]: entry for entry in said["findings"]}
    assert {"oci", "docker", "bubblewrap", "kernel boundary"} <= set(by_subject)
    assert by_subject["docker"]["works"] is False
    assert all(entry["remedy"] for entry in said["findings"] if not entry["works"])
    works = [entry["works"] for entry in said["findings"] if entry["isolation"]]
    assert done.exit_code == (0 if any(works) else 6)


@pytest.mark.parametrize("command", ["build", "ls", "gc"])
def test_without_an_engine_the_sandbox_commands_say_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, command: str
) -> None:
    """Exit code 6, with the way to get one, where there is no runtime either."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    monkeypatch.setenv("PATH", str(tmp_path))

    done = CliRunner().invoke(app, ["sandbox", command])

    assert done.exit_code == 6
    assert "to get it" in done.stderr


@pytest.mark.parametrize(("command", "fails"), [("ls", "/images/"), ("gc", "/containers/")])
def test_an_engine_that_fails_under_a_command_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, fails: str
) -> None:
    """It answered a moment before."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")

    with engine_out_of_order(tmp_path / "engine.sock", fails=fails):
        done = CliRunner().invoke(app, ["sandbox", command])

    assert done.exit_code == 1
    assert done.stderr.startswith("wardline: the Docker engine could not list ")
    assert isinstance(done.exception, SystemExit)


@pytest.mark.docker
@pytest.mark.oci
@pytest.mark.slow
def test_an_images_root_file_system_is_prepared_by_its_digest(tmp_path: Path) -> None:
    """What `prepare` prints is listed; a tag, or what the engine has not, prepares nothing."""
    own = tmp_path / "lib"
    own.mkdir()
    listed = json.loads(without_this_machines_roots(own, "ls", "--json").stdout)
    assert listed["roots"] == []
    image = next(
        entry["id"] for entry in listed["images"] if "wardline/python" in str(entry["tags"])
    )

    done = without_this_machines_roots(own, "prepare", image)
    missing = without_this_machines_roots(own, "prepare", "sha256:" + "0" * 64)
    tag = without_this_machines_roots(own, "prepare", "wardline/python:3.11")
    listed = json.loads(without_this_machines_roots(own, "ls", "--json").stdout)
    shutil.rmtree(own)  # it is large

    assert done.stdout.strip() == image, done.stderr
    assert [root["image"] for root in listed["roots"]] == [image]
    assert (missing.returncode, tag.returncode) == (6, 1)


def without_this_machines_roots(
    folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """`wardline sandbox` where `folder` is `/var/lib`: in mounts that no other process has."""
    script = 'mount --bind "$1" /var/lib && shift && exec "$@"'
    command = [sys.executable, "-m", "permissions", "sandbox", *arguments]
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(folder), *command],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.docker
def test_what_exists_can_be_listed_and_cleaned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`ls` and `gc` answer in JSON and in a sentence. No image of this machine is removed."""
    listed = CliRunner().invoke(app, ["sandbox", "ls", "--json"])
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    cleaned = CliRunner().invoke(app, ["sandbox", "gc"])
    again = CliRunner().invoke(app, ["sandbox", "gc", "--json"])

    assert set(json.loads(listed.stdout)) == {"images", "roots", "containers", "groups"}
    assert cleaned.exit_code == 0
    assert cleaned.stdout.startswith("removed ")
    assert set(json.loads(again.stdout)) == {"containers", "groups", "images", "roots"}
