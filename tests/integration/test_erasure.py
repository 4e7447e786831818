"""Erasing runs: recorded, done by destroying keys, reaching copies, refused on hold."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import anyio
import pytest
import second_verifier
from typer.testing import CliRunner

from permissions.cli.root import app
from permissions.errors import TraceError, TraceWriteError
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.erasure import erase
from permissions.setup.factory import open_broker
from permissions.setup.layout import StateLayout
from permissions.tools.call import ToolCall
from permissions.trace.key_lines import destroy_keys
from permissions.trace.reader import read_entries
from permissions.trace.vault import VaultReader, load_kek
from permissions.trace.verify import verify_trace
from wardline import tool

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from permissions.trace.report import Report

pytestmark = pytest.mark.slow  # the parts are in tests/unit/trace/test_erasures.py


@tool(effect="read", impact="low", output="trusted")
async def look(name: str) -> str:
    """Looks."""
    return f"about {name}"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a run of alice and one of bob."""
    folder = tmp_path_factory.mktemp("recorded")

    async def record() -> None:
        config = BrokerConfig(state=folder / "state", workspace=folder)
        async with open_broker(config, [look]) as broker:
            for user in ("alice", "bob"):
                async with open_session(
                    broker, user=user, agent="helper", run=f"run-{user}", prompt="look"
                ) as session:
                    await broker.call(session, ToolCall("look", {"name": f"{user}'s letter"}))

    anyio.run(record)
    return folder / "state"


@pytest.fixture
def state(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, and settings that name it."""
    shutil.copytree(recorded, tmp_path / "state")
    settings = tmp_path / "wardline.toml"
    settings.write_text(f'state = "{tmp_path / "state"}"\nworkspace = "{tmp_path / "work"}"\n')
    monkeypatch.setenv("WARDLINE_CONFIG", str(settings))
    return tmp_path / "state"


def wardline(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["trace", *arguments])


def report(state: Path) -> Report:
    layout = StateLayout(state)
    vault = VaultReader(layout.trace, load_kek(layout.kek))
    return verify_trace(layout.trace, vault=vault)


def closed(trace: Path, kek: Path, run: str) -> dict[str, str]:
    """Contents of a run that cannot be read, and why."""
    vault, found = VaultReader(trace, load_kek(kek)), {}
    for entry in read_entries(trace):
        for name in entry.digests if entry.run == run else ():
            try:
                entry.open(name, vault)
            except TraceError as err:
                found[name] = str(err)
    return found


def opened(trace: Path, kek: Path, run: str) -> int:
    """How many contents of a run can be read."""
    vault, count = VaultReader(trace, load_kek(kek)), 0
    for entry in read_entries(trace):
        for name in entry.digests if entry.run == run else ():
            try:
                entry.open(name, vault)
                count += 1
            except Exception:  # noqa: BLE001, S112 - what cannot be read is not counted
                continue
    return count


def test_without_yes_it_says_what_would_go(state: Path) -> None:
    done = wardline("erase", "--subject", "alice", "--reason", "asked", "--json")

    told = {"runs": ["run-alice"], "kinds": {}, "erased": False, "keys": 0}
    assert json.loads(done.stdout) == told
    assert opened(StateLayout(state).trace, StateLayout(state).kek, "run-alice") > 0


def test_what_is_erased_is_gone_in_copies_too_and_the_record_holds(
    state: Path, tmp_path: Path
) -> None:
    layout = StateLayout(state)
    copy = tmp_path / "backup"
    shutil.copytree(layout.trace, copy)

    done = wardline(
        *("erase", "--subject", "alice", "--reason", "her request", "--by", "dpo"),
        *("--copy", str(copy), "--yes", "--json"),
    )

    told = {"runs": ["run-alice"], "kinds": {}, "erased": True, "keys": 8}
    assert json.loads(done.stdout) == told
    for trace in (layout.trace, copy):
        assert opened(trace, layout.kek, "run-alice") == 0
        assert opened(trace, layout.kek, "run-bob") > 0
    found = report(state)
    assert found.completeness.findings == ()
    assert found.completeness.is_whole
    assert found.completeness.contents.erased > 0
    with closing(sqlite3.connect(layout.database)) as database:
        kept = dict(database.execute("SELECT run, wrapped FROM run_key"))
    assert kept["run-alice"] is None
    kek = load_kek(layout.kek)
    assert second_verifier.verify(layout.trace, None, kek) == []
    entry = next(e for e in read_entries(layout.trace) if e.type == "erase")
    assert (entry.body["runs"], entry.body["by"]) == (["run-alice"], "dpo")
    assert entry.open("reason", VaultReader(layout.trace, kek)) == b"her request"


def test_a_key_that_went_without_an_entry_is_a_finding(state: Path) -> None:
    layout = StateLayout(state)
    wardline("erase", "--run", "run-alice", "--reason", "asked", "--yes")
    destroy_keys(layout.trace, {"run-bob"})

    [finding] = report(state).completeness.findings
    assert "'run-bob'" in finding.text
    assert "no entry says" in finding.text
    assert second_verifier.verify(layout.trace, None, load_kek(layout.kek)) != []


def test_an_erasure_that_was_cut_off_is_a_finding_and_can_be_finished(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise TraceWriteError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("permissions.setup.erasure.destroy_keys", full)
        cut = wardline("erase", "--run", "run-alice", "--reason", "asked", "--yes")
    [finding] = report(state).completeness.findings

    again = wardline("erase", "--run", "run-alice", "--reason", "asked", "--yes")

    assert cut.exit_code != 0
    assert "still there" in finding.text
    assert again.exit_code == 0
    assert report(state).completeness.findings == ()


def test_what_is_on_hold_is_not_erased_until_it_is_released(state: Path) -> None:
    held = wardline("hold", "--run", "run-alice", "--reason", "case 7", "--by", "legal")
    refused = wardline("erase", "--subject", "alice", "--reason", "asked", "--yes")
    released = wardline("hold", "--run", "run-alice", "--release", "--reason", "closed")
    done = wardline("erase", "--subject", "alice", "--reason", "asked", "--yes")

    assert (held.exit_code, released.exit_code, done.exit_code) == (0, 0, 0)
    assert refused.exit_code != 0
    assert "on hold" in refused.output
    assert report(state).completeness.findings == ()


def test_erasing_what_is_on_hold_all_the_same_is_a_finding(state: Path) -> None:
    wardline("hold", "--run", "run-alice", "--reason", "case 7")

    async def work() -> None:
        await erase(BrokerConfig.load(), {"run-alice": ()}, reason="around it", by="mallory")

    anyio.run(work)

    [finding] = report(state).completeness.findings
    assert "on hold" in finding.text


def test_the_clock_erases_what_is_older_and_not_on_hold(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = wardline("erase", "--expired", "--reason", "retention", "--yes")
    settings = tmp_path / "wardline.toml"
    settings.write_text(settings.read_text() + "[trace]\nretain_days = 30\n")
    young = wardline("erase", "--expired", "--reason", "retention", "--yes", "--json")
    wardline("hold", "--run", "run-bob", "--reason", "case 7")
    # A record cannot be made old: its times are signed. So the day is made short.
    monkeypatch.setattr("permissions.setup.erasure._DAY_US", -1_000_000)
    old = wardline("erase", "--expired", "--reason", "retention", "--yes", "--json")

    assert "retain_days" in missing.output
    assert json.loads(young.stdout)["runs"] == []
    assert json.loads(old.stdout)["runs"] == ["run-alice"]


def test_a_kind_of_contents_goes_and_the_rest_stays_readable(
    state: Path, tmp_path: Path
) -> None:
    layout = StateLayout(state)
    copy = tmp_path / "backup"
    shutil.copytree(layout.trace, copy)

    done = wardline(
        *("erase", "--subject", "alice", "--kind", "arguments", "--reason", "asked"),
        *("--copy", str(copy), "--yes"),
    )

    assert done.exit_code == 0, done.output
    assert done.stdout == "run-alice  arguments\n"
    assert "arguments may stand in decisions and approvals, too" in done.stderr
    found = report(state)
    assert found.completeness.findings == ()
    assert found.completeness.contents.erased == 1
    kek = load_kek(layout.kek)
    assert second_verifier.verify(layout.trace, None, kek) == []
    entry = next(e for e in read_entries(layout.trace) if e.type == "erase")
    assert (entry.body["runs"], entry.body["kinds"]) == (["run-alice"], ["arguments"])
    erased = "erased: the key of run 'run-alice' for arguments is not there"
    call = next(e.call for e in read_entries(layout.trace) if e.run == "run-alice" and e.call)
    for trace in (layout.trace, copy):
        assert closed(trace, layout.kek, "run-alice") == {"arguments": erased}
        assert closed(trace, layout.kek, "run-bob") == {}
    shown = [
        *map(json.loads, wardline("show", str(call), "--open", "--json").stdout.splitlines())
    ]
    contents = {name: each for entry in shown for name, each in entry["opened"].items()}
    assert contents["arguments"] == {"problem": erased}
    assert "about alice's letter" in contents["result"]["text"]
    why = wardline("why", str(call), "--json")
    assert why.exit_code == 0
    assert erased in why.stdout
    page = tmp_path / "page.html"
    exported = wardline("export", "--html", str(page), "--open")
    assert exported.exit_code == 0, exported.output
    parts = re.findall(r'type="application/gzip" id="[^"]*">([^<]*)<', page.read_text())
    explored = b"".join(gzip.decompress(base64.b64decode(each)) for each in parts)
    assert b"about alice" in explored
    assert erased.encode() in explored
    replayed = wardline("replay", "--json")
    assert replayed.exit_code == 0, replayed.output
    assert json.loads(replayed.stdout)["identical"] == 2


def test_a_run_of_which_a_kind_was_erased_does_not_go_on(state: Path, tmp_path: Path) -> None:
    """What was answered in it before, and what it may do again, is not known any more."""
    wardline("erase", "--run", "run-alice", "--kind", "results", "--reason", "asked", "--yes")

    async def go_on() -> None:
        async with (
            open_broker(BrokerConfig.load(), [look]) as broker,
            open_session(broker, user="alice", agent="helper", run="run-alice"),
        ):
            pass

    with pytest.raises(TraceError, match="erased: the key of run 'run-alice' for results"):
        anyio.run(go_on)


def test_each_kind_has_a_clock_of_its_own(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "wardline.toml"
    settings.write_text(
        settings.read_text() + "[trace.retain_kind_days]\nresults = 7\nfiles = 7\n"
    )
    both = wardline("erase", "--expired", "--kind", "results", "--reason", "r", "--yes")
    young = wardline("erase", "--expired", "--reason", "retention", "--yes", "--json")
    wardline("hold", "--run", "run-bob", "--reason", "case 7")
    monkeypatch.setattr("permissions.setup.erasure._DAY_US", -1_000_000)
    old = wardline("erase", "--expired", "--reason", "retention", "--yes", "--json")
    again = wardline("erase", "--expired", "--reason", "retention", "--yes", "--json")

    assert "leave --kind out" in both.output
    assert json.loads(young.stdout)["runs"] == []
    told = {"runs": ["run-alice"], "kinds": {"run-alice": ["results"]}, "erased": True}
    assert json.loads(old.stdout) == told | {"keys": 1}
    assert json.loads(again.stdout)["runs"] == [], "nothing is recorded twice"
    layout = StateLayout(state)
    assert {*closed(layout.trace, layout.kek, "run-alice")} == {"result"}
    assert closed(layout.trace, layout.kek, "run-bob") == {}
    assert report(state).completeness.findings == ()


def test_a_run_that_is_not_there_or_a_log_in_use_is_an_error(state: Path) -> None:
    unknown = wardline("erase", "--run", "run-x", "--reason", "asked", "--yes")
    wordless = wardline("erase", "--run", "run-bob", "--yes")

    async def while_open() -> Result:
        async with open_broker(BrokerConfig.load(), [look]):
            return await anyio.to_thread.run_sync(
                lambda: wardline("erase", "--run", "run-bob", "--reason", "asked", "--yes")
            )

    busy = anyio.run(while_open)

    assert "no run 'run-x'" in unknown.output
    assert "--reason" in wordless.output
    assert busy.exit_code != 0
    assert "another process writes" in busy.output or "writer" in busy.output
    assert opened(StateLayout(state).trace, StateLayout(state).kek, "run-bob") > 0
