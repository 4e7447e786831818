"""Which settings file is found, and which one is obeyed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from permissions.errors import ConfigError
from permissions.setup import settings_file as module
from permissions.setup.config import BrokerConfig
from permissions.setup.settings_file import settings_file
from permissions.setup.trust import TrustList
from permissions.user_folders import state_folder

TEXT = b'environment = "theirs"\n'


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home and a working directory of this test's own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for folder in ("home", "project/a/b"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "project/wardline.toml"
    path.write_bytes(TEXT)
    return path


def test_a_file_that_was_never_trusted_is_refused_with_the_command_to_run(file: Path) -> None:
    """A checkout brings its own settings: nothing is run on them."""
    with pytest.raises(ConfigError) as refused:
        BrokerConfig.load()

    assert f"{file} is not trusted" in str(refused.value)
    assert f"`wardline trust {file}`" in str(refused.value)


def test_a_trusted_file_is_obeyed_from_every_folder_below(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TrustList().add(file, TEXT)
    for folder in (file.parent, file.parent / "a", file.parent / "a/b"):
        monkeypatch.chdir(folder)

        config = BrokerConfig.load()

        assert config.environment == "theirs"
        assert config.state == file.parent / ".wardline"
        assert config.source is not None
        assert (config.source.path, config.source.origin) == (file, "found")


def test_one_changed_byte_needs_a_new_yes(file: Path) -> None:
    TrustList().add(file, TEXT)
    file.write_bytes(TEXT + b"#")

    with pytest.raises(ConfigError, match="has changed since you trusted it"):
        BrokerConfig.load()


def test_the_same_content_elsewhere_is_not_trusted(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TrustList().add(file, TEXT)
    other = tmp_path / "other"
    other.mkdir()
    (other / "wardline.toml").write_bytes(TEXT)
    monkeypatch.chdir(other)

    with pytest.raises(ConfigError, match="is not trusted"):
        BrokerConfig.load()


def test_a_nearer_file_wins_over_a_trusted_one(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sub-folder somebody else filled cannot hide behind the trust of the project."""
    TrustList().add(file, TEXT)
    (file.parent / "a/wardline.toml").write_bytes(TEXT)
    monkeypatch.chdir(file.parent / "a/b")

    with pytest.raises(ConfigError, match=r"a/wardline\.toml is not trusted"):
        BrokerConfig.load()


@pytest.mark.parametrize("kind", ["broken link", "folder", "pipe", "not to be read"])
def test_one_that_cannot_be_read_is_refused_and_not_passed_by(
    file: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    TrustList().add(file, TEXT)
    near = file.parent / "a/wardline.toml"
    match kind:
        case "broken link":
            near.symlink_to("gone")
        case "folder":
            near.mkdir()
        case "pipe":
            os.mkfifo(near)
        case _:
            near.write_bytes(b"\xff\xfe")
            TrustList().add(near, b"\xff\xfe")
    monkeypatch.chdir(near.parent)

    with pytest.raises(ConfigError, match=r"a/wardline\.toml"):
        BrokerConfig.load()


def test_what_the_program_names_is_the_users_own(file: Path) -> None:
    assert BrokerConfig.load(file).environment == "theirs"


def test_the_variable_names_one_wherever_the_program_starts(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('environment = "mine"\n')
    monkeypatch.setenv("WARDLINE_CONFIG", str(mine))

    config = BrokerConfig.load()

    assert config.environment == "mine"
    assert config.source is not None
    assert config.source.origin == "variable"


@pytest.mark.parametrize("value", ["", "gone.toml"])
def test_a_variable_that_names_nothing_is_refused(
    value: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never falls back to another file, nor to the defaults."""
    TrustList().add(file, TEXT)
    monkeypatch.setenv("WARDLINE_CONFIG", value)

    with pytest.raises(ConfigError, match="WARDLINE_CONFIG"):
        BrokerConfig.load()


def test_the_search_ends_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies above a user's home is nobody's project of theirs."""
    (tmp_path / "wardline.toml").write_bytes(TEXT)
    (tmp_path / "home/work").mkdir()
    monkeypatch.chdir(tmp_path / "home/work")

    assert settings_file() is None


def test_the_search_ends_where_a_file_system_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == Path("/dev").stat().st_dev:
        pytest.skip("no file system of its own at /dev/shm")
    looked = list(module._upwards(shared))

    assert looked == [shared]


def test_relative_paths_start_from_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"""
state = "st"
workspace = "w"
[pdp]
policies = "p"
overlay = "/abs/o"
[trace]
key = "file:keys/log.pem"
[sandbox]
secrets = "s"
code_roots = ["src", "/lib"]
[sandbox.profiles.wide]
authorities = "ca.pem"
"""
    file.write_bytes(content)
    (file.parent / "ca.pem").touch()
    TrustList().add(file, content)
    monkeypatch.chdir(file.parent / "a/b")

    config, here = BrokerConfig.load(), file.parent

    assert (config.state, config.workspace) == (here / "st", here / "w")
    assert (config.pdp.policies, config.pdp.overlay) == (here / "p", Path("/abs/o"))
    assert config.trace.key == f"file:{here}/keys/log.pem"
    assert config.sandbox.secrets == here / "s"
    assert config.sandbox.code_roots == (here / "src", Path("/lib"))
    assert config.sandbox.profiles["wide"].authorities == here / "ca.pem"


def test_a_byte_order_mark_says_nothing(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + TEXT)

    assert BrokerConfig.load(file).environment == "theirs"


def test_trust_taken_back_is_gone(file: Path) -> None:
    trusted = TrustList()
    trusted.add(file, TEXT)

    assert trusted.remove(file)
    assert not trusted.remove(file)
    with pytest.raises(ConfigError, match="is not trusted"):
        BrokerConfig.load()


def test_a_link_to_a_trusted_file_is_that_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TrustList().add(file, TEXT)
    (file.parent / "a/wardline.toml").symlink_to(file)
    monkeypatch.chdir(file.parent / "a")

    assert BrokerConfig.load().state == file.parent / ".wardline"


@pytest.mark.parametrize("content", ["", "[]", '{"trusted": []}', '{"trusted": {"a": 1}}', "{"])
def test_a_list_that_is_none_trusts_nothing(file: Path, content: str) -> None:
    list_file = TrustList().file
    list_file.parent.mkdir(parents=True)
    list_file.write_text(content)
    list_file.chmod(0o600)

    with pytest.raises(ConfigError, match="is no list of trusted settings"):
        BrokerConfig.load()


def test_a_list_others_can_write_trusts_nothing(file: Path) -> None:
    TrustList().add(file, TEXT)
    TrustList().file.chmod(0o666)

    with pytest.raises(ConfigError, match="can be written by others"):
        BrokerConfig.load()


def test_the_list_is_the_users_alone(file: Path) -> None:
    TrustList().add(file, TEXT)

    assert TrustList().file.stat().st_mode & 0o077 == 0
    assert json.loads(TrustList().file.read_text())["trusted"].keys() == {str(file)}


def test_a_relative_state_home_is_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would follow the working directory into somebody's checkout."""
    monkeypatch.setenv("XDG_STATE_HOME", "state")

    assert state_folder() == Path.home() / ".local/state/wardline"
