"""`wardline init` and the program around all commands."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from permissions.cli.root import app
from permissions.errors import ConfigError
from permissions.pdp.bundle import load_bundle
from permissions.setup.config import BrokerConfig
from permissions.signing.key_uris import signer_from_uri

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("LOGNAME", "First.Last")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home" / "wardline"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_init_writes_settings_that_load_and_a_key_only_its_owner_reads(
    home: Path, tmp_path: Path
) -> None:
    done = run("init", "--name", "olga", "--group", "finance", "--group", "operators")

    key = home / "olga.pem"
    config = BrokerConfig.load(tmp_path / "wardline.toml")
    assert done.exit_code == 0, done.output
    assert config.approvers["olga"].groups == ("finance", "operators")
    assert config.approvers["olga"].public_key == str(signer_from_uri(f"file:{key}").public)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) & 0o077 == 0
    assert str(key) in done.stdout


def test_init_without_options_takes_the_login(home: Path, tmp_path: Path) -> None:
    """With its dot, which TOML would otherwise read as two names."""
    done = run("init", "--dir", str(tmp_path / "new"))

    config = BrokerConfig.load(tmp_path / "new" / "wardline.toml")
    assert done.exit_code == 0, done.output
    assert list(config.approvers) == ["first.last"]
    assert config.approvers["first.last"].groups == ("operators", "security")
    assert (home / "first.last.pem").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--name", "Olga"),
        ("--name", "../olga"),
        ("--name", 'olga"]\nstate = "/'),
        ("--name", "-olga"),
        ("--name", "a" * 65),
        ("--name", ""),
        ("--name", "olga", "--group", 'x"]'),
        ("--name", "olga", "--group", ""),
    ],
    ids=["case", "a path", "more settings", "an option", "long", "empty", "group", "no group"],
)
def test_a_name_that_is_none_is_refused_before_anything_is_written(
    arguments: tuple[str, ...], home: Path, tmp_path: Path
) -> None:
    done = run("init", *arguments)

    assert done.exit_code == 2
    assert done.stderr.startswith("wardline: ")
    assert list(tmp_path.rglob("*.pem")) == []
    assert not (tmp_path / "wardline.toml").exists()


def test_init_again_keeps_everything_and_works(home: Path, tmp_path: Path) -> None:
    run("init", "--name", "olga")
    settings, key = (tmp_path / "wardline.toml").read_text(), (home / "olga.pem").read_bytes()

    again = run("init", "--name", "olga")

    assert again.exit_code == 0, again.output
    assert "kept wardline.toml" in again.stdout
    assert (tmp_path / "wardline.toml").read_text() == settings
    assert (home / "olga.pem").read_bytes() == key


def test_init_in_a_second_project_takes_the_same_key(home: Path, tmp_path: Path) -> None:
    run("init", "--name", "olga")
    key = (home / "olga.pem").read_bytes()

    done = run("init", "--name", "olga", "--dir", "second/project")

    first = BrokerConfig.load(tmp_path / "wardline.toml")
    second = BrokerConfig.load(tmp_path / "second/project/wardline.toml")
    assert done.exit_code == 0, done.output
    assert second.approvers["olga"] == first.approvers["olga"]
    assert second.state == tmp_path / "second/project/.wardline"
    assert (home / "olga.pem").read_bytes() == key


def test_settings_that_do_not_name_the_person_are_kept_and_said(
    home: Path, tmp_path: Path
) -> None:
    """Somebody else's settings: they are neither changed nor trusted."""
    (tmp_path / "wardline.toml").write_text('environment = "theirs"\n')

    done = run("init", "--name", "olga")

    assert done.exit_code == 0, done.output
    assert '[approvers."olga"]' in done.stdout
    assert "not trusted yet" in done.stdout
    assert (tmp_path / "wardline.toml").read_text() == 'environment = "theirs"\n'
    with pytest.raises(ConfigError, match="is not trusted"):
        BrokerConfig.load()


def test_what_init_wrote_is_obeyed_at_once_and_below_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("init", "--name", "olga")
    (tmp_path / "a/b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a/b")

    config = BrokerConfig.load()

    assert list(config.approvers) == ["olga"]
    assert config.state == tmp_path / ".wardline"


def test_git_leaves_the_state_folder_out(home: Path, tmp_path: Path) -> None:
    run("init", "--name", "olga")

    assert (tmp_path / ".wardline/.gitignore").read_text() == "*\n"


def test_critical_calls_have_an_approver(home: Path, tmp_path: Path) -> None:
    """The shipped policies ask `security` for them."""
    run("init", "--name", "olga")
    terms = load_bundle().data["wardline"]["tables"]["approval"]["terms"]

    groups = set(BrokerConfig.load().approvers["olga"].groups)

    assert all(groups & set(asked["approvers"]) for asked in terms.values())
