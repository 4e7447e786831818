"""What is sealed to responders: they open it, on record, and the broker does not."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import second_verifier
from logs import CONFIG, KEK, NAME, SIGNER, record_run
from typer.testing import CliRunner

from permissions.cli.root import app
from permissions.database import StateDatabase
from permissions.errors import ConfigError, SigningError, TraceIntegrityError
from permissions.setup.config import BrokerConfig
from permissions.setup.layout import StateLayout
from permissions.setup.own_log import own_log, responders_of
from permissions.signing.responders import (
    Responder,
    ResponderKey,
    make_responder,
    read_responder,
)
from permissions.trace import own_checkpoint
from permissions.trace.history import history_of
from permissions.trace.key_lines import KEYS_FILE, destroy_keys
from permissions.trace.log import open_log
from permissions.trace.reader import read_entries
from permissions.trace.vault import ErasedError, SealedToRespondersError, VaultReader
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, *responders: Responder, run: str = "run-a") -> None:
    async def main() -> None:
        keys = [each.public for each in responders]
        async with open_log(
            folder, name=NAME, signer=SIGNER, kek=KEK, config=CONFIG, responders=keys
        ) as log:
            await record_run(log, run, 2)

    anyio.run(main)


@pytest.fixture
def alice(tmp_path: Path) -> Responder:
    return make_responder(tmp_path / "alice.pem")


@pytest.fixture
def bob(tmp_path: Path) -> Responder:
    return make_responder(tmp_path / "bob.pem")


def contents(folder: Path, vault: VaultReader) -> list[bytes]:
    return [each.open(name, vault) for each in read_entries(folder) for name in each.digests]


def test_each_responder_reads_all_of_it_and_the_vaults_key_nothing(
    tmp_path: Path, alice: Responder, bob: Responder
) -> None:
    log = tmp_path / "log"
    write(log, alice, bob)

    read = contents(log, VaultReader(log, None, responder=alice))
    assert read == contents(
        log, VaultReader(log, None, responder=read_responder(tmp_path / "bob.pem"))
    )
    assert b"done" in read
    with pytest.raises(SealedToRespondersError, match=alice.public.keyid):
        contents(log, VaultReader(log, KEK))
    with pytest.raises(SealedToRespondersError):  # so no broker goes on with the run
        list(history_of("run-a", directory=log, kek=KEK))
    other = make_responder(tmp_path / "other.pem")
    with pytest.raises(SealedToRespondersError):
        contents(log, VaultReader(log, KEK, responder=other))


def test_a_log_for_responders_is_whole_for_who_cannot_open_it(
    tmp_path: Path, alice: Responder
) -> None:
    log = tmp_path / "log"
    write(log, run="before")
    write(log, alice)

    closed = verify_trace(log, key=SIGNER.public, vault=VaultReader(log, KEK))
    assert closed.completeness.is_whole
    assert closed.completeness.contents.sealed > 0
    assert closed.completeness.contents.checked > 0
    opened = verify_trace(log, vault=VaultReader(log, KEK, responder=alice))
    assert opened.completeness.is_whole
    assert opened.completeness.contents.sealed == 0
    assert second_verifier.verify(log, SIGNER.public.raw, KEK) == []


def test_a_sealed_key_that_was_altered_or_moved_is_found(
    tmp_path: Path, alice: Responder
) -> None:
    log = tmp_path / "log"
    write(log, alice)
    path = log / KEYS_FILE
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    for change in ("flip", "other run"):
        altered = json.loads(json.dumps(lines))
        if change == "flip":
            sealed = altered[0]["sealed"][alice.public.keyid]
            flipped = ("B" if sealed[0] == "A" else "A") + sealed[1:]
            altered[0]["sealed"][alice.public.keyid] = flipped
        else:
            altered[0]["run"] = "run-b"
        text = "".join(
            json.dumps(each, sort_keys=True, separators=(",", ":")) + "\n" for each in altered
        )
        path.write_text(text)
        reader = VaultReader(log, None, responder=alice)
        if change == "flip":
            with pytest.raises(TraceIntegrityError):
                contents(log, reader)
        else:
            report = verify_trace(log, vault=reader)
            assert report.completeness.findings_count


def test_what_is_sealed_to_responders_is_erased_by_its_key(
    tmp_path: Path, alice: Responder
) -> None:
    log = tmp_path / "log"
    write(log, alice)

    assert destroy_keys(log, {"run-a"}, ["results"]) == 1

    reader, closed = VaultReader(log, None, responder=alice), set()
    for entry in read_entries(log):
        for name in entry.digests:
            try:
                entry.open(name, reader)
            except ErasedError:
                closed.add(name)
    assert closed == {"result"}
    assert destroy_keys(log, {"run-a"}) == 2
    assert b"run-a" not in (log / KEYS_FILE).read_bytes()


def told(*argv: str, exit_code: int = 0) -> Any:
    done = CliRunner().invoke(app, ["trace", *argv])
    assert done.exit_code == exit_code, done.output
    return done.stdout


@pytest.mark.slow
def test_an_opening_is_on_record_before_anything_is_shown(
    tmp_path: Path, alice: Responder, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "wardline.toml"
    settings.write_text(
        f'state = "state"\nworkspace = "work"\n[trace.responders]\nalice = "{alice.public}"\n'
    )
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("WARDLINE_CONFIG", str(settings))
    config = BrokerConfig.load(settings)
    layout = StateLayout(config.state)
    layout.make(config.workspace)

    async def main() -> None:
        async with (
            StateDatabase(layout.database, [own_checkpoint.SCHEMA]) as state,
            own_log(config, state, mode="library", body=CONFIG) as log,
        ):
            await record_run(log, "run-a", 1)

    anyio.run(main)
    key = str(tmp_path / "alice.pem")
    assert "sealed to responders" in told("show", "run-a-0", "--open")
    told("open", "run-a-0", "--key", key, exit_code=2)  # without a reason

    said = json.loads(
        told("open", "run-a-0", "--key", key, "--reason", "case 17", "--by", "eve", "--json")
    )

    assert said[-1]["contents"]["result"]["text"] == "done"
    access = [each for each in read_entries(layout.trace) if each.type == "access"]
    (entry,) = access
    assert entry.body["by"] == "eve"
    assert entry.body["call"] == "run-a-0"
    assert entry.body["responder"] == alice.public.keyid
    assert entry.body["entries"] == [each["index"] for each in said]
    reader = VaultReader(layout.trace, None, responder=alice)
    assert entry.open("reason", reader) == b"case 17"
    told("open", "run-a-0", "--key", key, "--unrecorded", "--json")
    assert len([e for e in read_entries(layout.trace) if e.type == "access"]) == 1
    told("open", "call-x", "--key", key, "--reason", "case 17", exit_code=2)


@pytest.mark.parametrize("text", ["", "AAAA", "not base64", "A" * 43 + "="])
def test_a_bad_public_key_of_a_responder_is_refused(tmp_path: Path, text: str) -> None:
    """The last one is a point that nothing can be sealed to."""
    config = BrokerConfig(state=tmp_path, trace={"responders": {"alice": text}})
    with pytest.raises(ConfigError, match=r"trace\.responders\.alice"):
        responders_of(config)


def test_a_key_is_never_overwritten_and_open_to_nobody(tmp_path: Path) -> None:
    made = make_responder(tmp_path / "r.pem")
    with pytest.raises(SigningError, match="exists"):
        make_responder(tmp_path / "r.pem")
    assert ResponderKey.parse((tmp_path / "r.pem.pub").read_text()) == made.public
    os.chmod(tmp_path / "r.pem", 0o644)  # noqa: PTH101 - what people do
    with pytest.raises(SigningError, match="chmod 600"):
        read_responder(tmp_path / "r.pem")
