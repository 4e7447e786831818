"""`wardline policy build` and `verify`: what a build server runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from permissions.cli.policy import app
from permissions.errors import PolicyLoadError
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.signing.keys import generate

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    generate(tmp_path / "release.pem")
    return tmp_path / "release.pem"


def build(key: Path, sequence: int, *more: object) -> Path:
    archive = key.with_name(f"policies-{sequence}.tar.gz")
    done = run("build", "--key", key, "--sequence", sequence, "-o", archive, *more)
    assert done.exit_code == 0, done.output
    return archive


def test_build_and_verify(key: Path) -> None:
    archive = build(key, 7)

    again = run("build", "--key", key, "--sequence", 7, "-o", key.with_name("b"), "--json")
    seen = run("verify", archive, "--key", f"{key}.pub", "--json")
    said = json.loads(seen.stdout)

    assert key.with_name("b").read_bytes() == archive.read_bytes()
    assert said["revision"] == json.loads(again.stdout)["revision"]
    assert (said["sequence"], json.loads(again.stdout)["signed"]) == (7, True)
    assert "sequence 7, " in run("verify", archive, "--key", f"{key}.pub").stdout


def test_what_must_not_be_used(key: Path, tmp_path: Path) -> None:
    archive = build(key, 7)
    generate(tmp_path / "other.pem")

    assert run("verify", archive, "--key", tmp_path / "other.pem.pub").exit_code != 0
    assert run("verify", archive).exit_code != 0
    (tmp_path / "mine" / "x").mkdir(parents=True)
    (tmp_path / "mine" / "x" / "x.rego").write_text("package wardline.policies.y\n")
    unsound = run("build", "--overlay", tmp_path / "mine", "-o", tmp_path / "none")
    assert unsound.exit_code != 0
    assert not (tmp_path / "none").exists()


async def test_a_broker_refuses_what_is_older_than_it_had(key: Path, tmp_path: Path) -> None:
    """Also after it was closed: the state folder remembers."""

    def settings(archive: Path) -> BrokerConfig:
        pdp = {
            "policies": archive,
            "bundle_keys": [f"{key}.pub"],
            "refuse_older": True,
            "hard_deadline_ms": 20_000,
        }
        return BrokerConfig(state=tmp_path / "state", workspace=tmp_path, pdp=pdp)

    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "data").mkdir()
    (mine / "data" / "own.json").write_text("{}")
    older, newer = build(key, 7), build(key, 8, "--overlay", mine)

    async with open_broker(settings(newer), []) as broker:
        assert broker.parts.pdp.revision
    with pytest.raises(PolicyLoadError, match=r"bundle\.older: its sequence is 7, and 8"):
        async with open_broker(settings(older), []):
            pass
    async with open_broker(settings(newer), []):
        pass
