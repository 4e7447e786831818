"""The commands that rotate and revoke the log's key, on a state folder with a broker before and after."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from typer.testing import CliRunner

from permissions.cli.root import app
from permissions.errors import TraceIntegrityError
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.setup.layout import StateLayout, log_signer
from permissions.setup.own_keys import OwnKeys
from permissions.signing.keys import memory_signer
from permissions.trace.log import SignedLog
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path

OTHER = memory_signer(b"n" * 32)


def open_and_close(config: BrokerConfig) -> None:
    async def main() -> None:
        async with open_broker(config, []):
            pass

    anyio.run(main)


def told(*argv: str, exit_code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["trace", *argv, "--json"])
    assert done.exit_code == exit_code, done.output
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BrokerConfig:
    settings = tmp_path / "wardline.toml"
    settings.write_text('state = "state"\nworkspace = "."\n')
    monkeypatch.setenv("WARDLINE_CONFIG", str(settings))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    return BrokerConfig(state=tmp_path / "state", workspace=tmp_path)


@pytest.mark.slow
def test_a_rotated_log_goes_on_and_the_old_key_is_gone(
    config: BrokerConfig, tmp_path: Path
) -> None:
    open_and_close(config)
    layout = StateLayout(config.state)
    old, pem = log_signer(config), layout.log_key.read_bytes()
    (tmp_path / "old.pub").write_text(f"{old.public}\n")
    assert (
        told("verify", "--key", str(tmp_path / "old.pub"))["integrity"]["verdict"] == "signed"
    )

    said = told("rotate-key", "--reason", "once a year")

    assert (said["old"], said["new"]) == (old.keyid, log_signer(config).keyid)
    assert said["new"] != said["old"]
    assert layout.log_key.read_bytes() != pem
    assert sorted(path.name for path in layout.keys.iterdir()) == [
        "log.pem",
        "log.pem.pub",
        "vault.key",
    ]
    open_and_close(config)
    for _ in range(2):  # the second time by the new key, which the first one remembered
        assert told("verify")["integrity"]["verdict"] == "signed"
    assert told("head")["vkey"] == said["vkey"]


@pytest.mark.slow
def test_a_machine_that_died_in_a_rotation_goes_on(config: BrokerConfig) -> None:
    """Before the entry, and after it but before the new key was put in the old one's stead."""
    open_and_close(config)
    layout = StateLayout(config.state)
    first = log_signer(config)
    OwnKeys(layout).next_log_key()
    open_and_close(config)
    assert log_signer(config).public == first.public

    held = layout.log_key.read_bytes()
    told("rotate-key")
    after = layout.log_key.read_bytes()
    layout.log_key.with_name("log.pem.next").write_bytes(after)
    layout.log_key.with_name("log.pem.next").chmod(0o600)
    layout.log_key.write_bytes(held)
    open_and_close(config)

    assert layout.log_key.read_bytes() == after
    report = verify_trace(layout.trace, key=first.public)
    assert report.integrity.verdict == "signed"
    assert report.key == log_signer(config).public


@pytest.mark.slow
def test_a_key_elsewhere_is_rotated_to_the_one_that_is_named(
    config: BrokerConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_KEY", memory_signer(b"m" * 32).pem().decode())
    monkeypatch.setenv("NEXT_KEY", OTHER.pem().decode())
    (tmp_path / "wardline.toml").write_text(
        'state = "state"\nworkspace = "."\n[trace]\nkey = "env:LOG_KEY"\n'
    )
    named = BrokerConfig.load(tmp_path / "wardline.toml")
    open_and_close(named)
    told("rotate-key", exit_code=2)

    said = told("rotate-key", "--to", "env:NEXT_KEY")

    assert said["trace.key"] == "env:NEXT_KEY"
    assert said["new"] == OTHER.keyid
    told("rotate-key", "--to", "env:LOG_KEY", exit_code=5)  # the settings name the old one yet
    (tmp_path / "wardline.toml").write_text(
        'state = "state"\nworkspace = "."\n[trace]\nkey = "env:NEXT_KEY"\n'
    )
    open_and_close(BrokerConfig.load(tmp_path / "wardline.toml"))
    told("rotate-key", "--to", "env:LOG_KEY", exit_code=2)  # it was the log's before


@pytest.mark.slow
def test_a_stolen_key_is_replaced_and_pins_nothing_any_more(
    config: BrokerConfig, tmp_path: Path
) -> None:
    open_and_close(config)
    (tmp_path / "old.pub").write_text(f"{log_signer(config).public}\n")
    told("verify", "--key", str(tmp_path / "old.pub"))

    said = told("revoke-key", "--from", "2020-01-01T00:00:00Z", "--reason", "laptop lost")

    assert said["rotated"]
    (tmp_path / "new.vkey").write_text(f"{said['vkey']}\n")
    stolen = told("verify")  # the key that was remembered is the stolen one
    assert stolen["integrity"]["verdict"] == "consistent"
    assert stolen["integrity"]["pin_revoked"]
    told("verify", "--require", "signed", exit_code=5)
    pinned = told("verify", "--key", str(tmp_path / "new.vkey"))["integrity"]
    assert (pinned["verdict"], pinned["pin_revoked"]) == ("signed", False)
    assert pinned["doubtful"][0]["first"] == 0
    assert told("verify")["integrity"]["verdict"] == "signed"

    assert told("revoke-key", "--from", "2020-01-01", "--key", said["old"]) == {
        "rotated": False
    }
    told("revoke-key", "--from", "2020-01-01", "--key", "f" * 64, exit_code=2)
    told("revoke-key", "--from", "yesterday", exit_code=2)


@pytest.mark.slow
def test_epochs_and_ml_dsa_come_with_the_settings_and_go_with_them(
    config: BrokerConfig, tmp_path: Path
) -> None:
    more = {"post_quantum": True, "epoch_hours": 24}
    strict = BrokerConfig(state=config.state, workspace=tmp_path, trace=more)
    layout = StateLayout(config.state)
    keys: list[bytes] = []
    for _ in range(3):
        open_and_close(strict)
        keys.append((layout.keys / "epoch.pem").read_bytes())
    assert len(set(keys)) == 3
    signer = log_signer(config).public

    report = verify_trace(layout.trace, key=signer)

    assert report.integrity.verdict == "signed"
    assert report.chain is not None
    assert report.chain.epochs == 3
    assert report.chain.post_quantum is not None
    told("rotate-key")
    open_and_close(config)
    report = verify_trace(layout.trace, key=signer)
    assert report.integrity.verdict == "signed"
    assert report.chain is not None
    assert report.chain.epoch is report.chain.post_quantum is None


@pytest.mark.slow
def test_an_epoch_ends_by_the_clock(config: BrokerConfig, tmp_path: Path) -> None:
    quick = {"epoch_hours": 0.05 / 3600}
    strict = BrokerConfig(state=config.state, workspace=tmp_path, trace=quick)

    async def main() -> None:
        async with open_broker(strict, []) as broker:
            log = broker.parts.trace
            assert isinstance(log, SignedLog)
            while log.keys.epochs < 4:  # noqa: ASYNC110 - changed by a task of the broker
                await anyio.sleep(0.05)

    anyio.run(main)
    report = verify_trace(StateLayout(config.state).trace, key=log_signer(config).public)
    assert report.integrity.verdict == "signed"
    assert report.chain is not None
    assert report.chain.epochs >= 4
    assert not (StateLayout(config.state).keys / "epoch.pem.next").exists()


@pytest.mark.slow
def test_a_broker_left_between_two_epochs_leaves_one_key(
    config: BrokerConfig, tmp_path: Path
) -> None:
    """It is left as soon as the next key lies there, again and again."""
    quick = {"epoch_hours": 0.01 / 3600}
    strict = BrokerConfig(state=config.state, workspace=tmp_path, trace=quick)
    pending = StateLayout(config.state).keys / "epoch.pem.next"

    async def main() -> None:
        async with open_broker(strict, []):
            while not pending.exists():
                await anyio.lowlevel.checkpoint()

    for _ in range(5):
        anyio.run(main)

        assert not pending.exists()


@pytest.mark.slow
def test_a_machine_that_died_between_two_epochs_goes_on(
    config: BrokerConfig, tmp_path: Path
) -> None:
    strict = BrokerConfig(state=config.state, workspace=tmp_path, trace={"epoch_hours": 24})
    open_and_close(strict)
    epoch = StateLayout(config.state).keys / "epoch.pem"
    pending = epoch.with_name("epoch.pem.next")
    epoch.rename(pending)  # recorded, and not yet put in the old one's stead
    epoch.write_bytes(memory_signer().pem())
    epoch.chmod(0o600)
    open_and_close(strict)
    assert not pending.exists()

    epoch.unlink()
    with pytest.raises(TraceIntegrityError, match="another key of its epoch"):
        open_and_close(strict)
