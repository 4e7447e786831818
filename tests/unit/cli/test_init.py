"""`wardline init` and the program around all commands."""

from __future__ import annotations

import stat
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from permissions.cli import main
from permissions.cli.root import app
from permissions.errors import ConfigError
from permissions.setup.config import BrokerConfig
from permissions.signing.keys import signer_from_uri

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
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
    assert config.approvers["first.last"].groups == ("operators",)
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

    assert isinstance(done.exception, ConfigError)
    assert list(tmp_path.rglob("*.pem")) == []
    assert not (tmp_path / "wardline.toml").exists()


def test_nothing_that_exists_is_overwritten(home: Path, tmp_path: Path) -> None:
    run("init", "--name", "olga")
    settings, key = (tmp_path / "wardline.toml").read_text(), (home / "olga.pem").read_bytes()

    again = run("init", "--name", "olga")
    elsewhere = run("init", "--name", "olga", "--dir", "new")

    assert isinstance(again.exception, ConfigError)
    assert "exists already" in str(again.exception)
    assert isinstance(elsewhere.exception, ConfigError)
    assert (tmp_path / "wardline.toml").read_text() == settings
    assert (home / "olga.pem").read_bytes() == key
    assert not (tmp_path / "new").exists()


def test_the_version_is_the_distributions(home: Path) -> None:
    assert run("--version").stdout == f"wardline {version('wardline')}\n"


NOUNS = ("init", "demo", "doctor", "policy", "plan", "request", "trace", "sandbox")


@pytest.mark.parametrize("noun", NOUNS)
def test_every_noun_says_what_it_does(noun: str) -> None:
    done = run(noun, "--help")

    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) > 4


def test_no_argument_is_wrong_usage_and_shows_the_help() -> None:
    done = run()

    assert done.exit_code == 2
    assert all(noun in done.output for noun in NOUNS)


def test_an_error_of_ours_is_one_line_on_stderr(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("init", "--name", "olga")

    with pytest.raises(SystemExit) as ended:
        main(["init", "--name", "olga"])

    said = capsys.readouterr()
    assert ended.value.code == 1
    assert said.out == ""
    assert said.err.startswith("wardline: ")
    assert len(said.err.splitlines()) == 1


def test_wrong_usage_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["init", "--nothing"])

    assert ended.value.code == 2
    assert capsys.readouterr().out == ""
