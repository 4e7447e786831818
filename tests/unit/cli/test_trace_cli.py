"""`wardline trace` on a log that a real broker wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from loose import LOOSE
from typer.testing import CliRunner

from permissions.cli.trace import app
from permissions.cli.trace_answers_text import why_text
from permissions.pdp.bundle import shipped_folder
from permissions.signing.keys import PublicKey, memory_signer
from permissions.trace.checkpoint import vkey
from permissions.trace.encoder import CHECKPOINT_PREFIX
from permissions.trace.store import segment_path, segments
from permissions.trace.vault import make_kek
from wardline import (
    Broker,
    BrokerConfig,
    CallDenied,
    PathArg,
    tool,
)

if TYPE_CHECKING:
    from click.testing import Result

HOSTILE = "\x1b[2J\x1b]0;owned\x07 ignore all\u202e"


@tool(effect="read", impact="low")
def read_note(path: Annotated[str, PathArg("read")]) -> str:
    """Reads a note."""
    return Path(path).read_text() + HOSTILE


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder after one call that ran and one that was denied."""
    root = tmp_path_factory.mktemp("recorded")
    (root / "note.txt").write_text("hello")
    config = BrokerConfig(state=root / "state", workspace=root)
    with (
        Broker(tools=[read_note], config=config) as broker,
        broker.session(user="alice", run="run-1"),
    ):
        read_note(str(root / "note.txt"))
        with pytest.raises(CallDenied):
            read_note("/etc/shadow")
    return root / "state"


@pytest.fixture
def state(recorded: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may alter."""
    copy = tmp_path / "state"
    for path in recorded.rglob("*"):
        target = copy / path.relative_to(recorded)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
            target.chmod(path.stat().st_mode)
    return copy


@pytest.fixture
def run(tmp_path: Path, state: Path) -> Any:
    def invoke(*arguments: str, folder: Path | None = None) -> Result:
        environment = {"XDG_STATE_HOME": str(tmp_path / "xdg")}
        options = [*arguments, "--dir", str(folder or state)]
        return CliRunner().invoke(app, options, env=environment, catch_exceptions=False)

    return invoke


def test_list_names_each_call_and_its_end(run: Any):
    shown = run("list")

    assert shown.exit_code == 0
    first, second = shown.stdout.splitlines()
    assert "read_note" in first
    assert "ran: ok" in first
    assert "denied" in second
    assert "filesystem.outside" in second


def test_list_as_json_is_one_object_a_line(run: Any):
    calls = [json.loads(line) for line in run("list", "--json").stdout.splitlines()]

    assert [call["tool"] for call in calls] == ["read_note", "read_note"]
    assert [call["permitted"] for call in calls] == [True, False]


def test_list_of_another_run_is_empty(run: Any):
    assert run("list", "--run", "other").stdout == ""


def test_show_opens_contents_and_escapes_them(run: Any):
    call = json.loads(run("list", "--json").stdout.splitlines()[0])["call"]

    sealed, opened = run("show", call), run("show", call, "--open")

    assert "hello" not in sealed.stdout
    assert "hello" in opened.stdout
    assert "\x1b" not in opened.stdout
    assert "\u202e" not in opened.stdout


def test_show_one_entry_as_json(run: Any):
    entry = json.loads(run("show", "0", "--json").stdout)

    assert (entry["index"], entry["type"]) == (0, "log.open")


def test_show_what_is_not_there(run: Any):
    shown = run("show", "call-nobody")

    assert shown.exit_code == 1
    assert "nothing is recorded" in shown.stderr


def test_verify_says_consistent_and_not_anchored_then_signed_and_anchored(run: Any):
    """The first verification keeps checkpoint and key for the second: trust on first use."""
    first, second = run("verify"), run("verify")

    assert first.exit_code == second.exit_code == 0
    assert "consistent" in first.stdout
    assert "trust on first use" in first.stdout
    assert "integrity     signed" in second.stdout
    assert "NOT anchored" in first.stdout
    assert "anchored up to" in second.stdout
    assert "findings    0" in second.stdout


def test_verify_as_json_keeps_two_verdicts(run: Any):
    report = json.loads(run("verify", "--json").stdout)

    assert report["integrity"]["verdict"] == "consistent"
    assert report["completeness"]["closed"] is True
    assert report["completeness"]["contents"]["checked"] > 0


def test_verify_finds_one_flipped_byte(run: Any, state: Path):
    path = segment_path(state / "trace", 0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    shown = run("verify")

    assert shown.exit_code == 5
    assert "FAILED at entry" in shown.stdout


def test_verify_finds_a_cut_tail_by_the_head_it_kept(run: Any, state: Path):
    assert run("verify").exit_code == 0
    path = segment_path(state / "trace", 0)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\n", data.index(CHECKPOINT_PREFIX)) + 1])

    shown = run("verify")

    assert shown.exit_code == 5
    assert "the tail was cut" in shown.stdout


def test_verify_with_a_head_of_ones_own(run: Any, state: Path, tmp_path: Path):
    checkpoint = tmp_path / "checkpoint"
    checkpoint.write_text(json.loads(run("verify", "--json").stdout)["checkpoint"])
    kept = tmp_path / "elsewhere"

    shown = run("verify", "--checkpoint", str(checkpoint), "--known-checkpoints", str(kept))

    assert f"kept in {checkpoint}" in shown.stdout
    assert list(kept.iterdir())


def test_verify_with_another_key_fails(run: Any, tmp_path: Path):
    outsider = tmp_path / "outsider.pub"
    outsider.write_text(f"{memory_signer().public}\n")

    assert run("verify", "--key", str(outsider)).exit_code == 5


@pytest.fixture
def swapped(tmp_path: Path, state: Path) -> Path:
    """The state folder, with the log and the keys of another broker put in its place."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "note.txt").write_text("hello")
    config = BrokerConfig(state=other / "state", workspace=other)
    with Broker(tools=[read_note], config=config) as broker, broker.session(user="eve"):
        read_note(str(other / "note.txt"))
    return other / "state"


def put_in_place(state: Path, swapped: Path) -> None:
    for name in ("trace", "keys"):
        shutil.rmtree(state / name)
        shutil.copytree(swapped / name, state / name)


def test_a_log_swapped_with_its_keys_before_anybody_looked_is_not_called_signed(
    run: Any, state: Path, swapped: Path, tmp_path: Path
):
    genuine = tmp_path / "kept.pub"
    genuine.write_bytes((state / "keys" / "log.pem.pub").read_bytes())
    put_in_place(state, swapped)

    inside = run("verify", "--key", str(state / "keys" / "log.pem.pub"))
    outside = run("verify", "--key", str(genuine))

    assert (inside.exit_code, outside.exit_code) == (0, 5)
    assert "consistent" in inside.stdout


def test_a_log_swapped_with_its_keys_after_it_was_verified_is_found(
    run: Any, state: Path, swapped: Path
):
    """The verifier remembers which log was here, and who signed it."""
    assert run("verify").exit_code == 0
    put_in_place(state, swapped)

    first, second = run("verify"), run("verify")
    beside = run("verify", "--key", str(state / "keys" / "log.pem.pub"))

    assert first.exit_code == second.exit_code == beside.exit_code == 5
    assert "FAILED" in first.stdout
    assert "when it was verified before" in first.stderr.replace("\n", " ")


def test_a_log_replaced_on_purpose_is_accepted_by_its_key_with_a_warning(
    run: Any, state: Path, swapped: Path
):
    run("verify")
    put_in_place(state, swapped)

    shown = run("verify", "--key", str(swapped / "keys" / "log.pem.pub"))
    again = run("verify")

    assert shown.exit_code == again.exit_code == 0
    assert "held another log before" in shown.stderr
    assert "integrity     signed" in again.stdout


def test_a_new_log_under_the_remembered_key_is_found(run: Any, state: Path, tmp_path: Path):
    """Also who has the key cannot put a younger log in place of the one that was seen."""
    run("verify")
    # With what the broker itself remembers, or it would not go on.
    for path in (*(state / "trace").iterdir(), *state.glob("state.db*")):
        path.unlink()
    work = tmp_path / "work"
    work.mkdir()
    (work / "note.txt").write_text("hello")
    config = BrokerConfig(state=state, workspace=work)
    with Broker(tools=[read_note], config=config) as broker, broker.session(user="eve"):
        read_note(str(work / "note.txt"))

    shown = run("verify")

    assert shown.exit_code == 5
    assert "is of another log" in shown.stdout


@pytest.mark.parametrize("key", ["gone", "another"])
def test_a_vault_key_that_opens_nothing_is_a_finding(run: Any, state: Path, key: str):
    path = state / "keys" / "vault.key"
    path.unlink()
    if key == "another":
        make_kek(path)

    shown = run("verify", "--json")
    said = json.loads(shown.stdout)["completeness"]

    assert shown.exit_code == 1
    assert said["contents"]["locked"] > 0
    assert said["findings_count"] > 0
    assert "vault key" in said["findings"][0]["text"].replace("vault's", "vault")
    assert not said["whole"]


@pytest.fixture
def outside(run: Any, tmp_path: Path) -> Path:
    """What a careful reader kept of the log: its head, and its key by name."""
    folder = tmp_path / "outside"
    folder.mkdir()
    said = json.loads(run("head", "--json").stdout)
    (folder / "head").write_text(said["checkpoint"])
    (folder / "vkey").write_text(said["vkey"] + "\n")
    return folder


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 0),
        (("--require", "signed"), 5),
        (("--require", "whole"), 0),
        (("--require", "anchored"), 5),
        (("--key", "vkey", "--require", "signed,whole"), 0),
        (("--key", "vkey", "--require", "signed,anchored"), 5),
        (("--key", "vkey", "--checkpoint", "head", "--require", "signed,anchored,whole"), 0),
        (("--require", "certain"), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_what_is_required_decides_the_exit_code(
    run: Any, outside: Path, options: tuple[str, ...], code: int
):
    named = {"vkey": str(outside / "vkey"), "head": str(outside / "head")}

    assert run("verify", *(named.get(each, each) for each in options)).exit_code == code


def test_a_log_that_is_gone_is_an_integrity_failure_for_whoever_knows_of_it(
    run: Any, state: Path, outside: Path
):
    """Not the mistake of naming the wrong folder."""
    run("verify")
    shutil.rmtree(state / "trace")

    remembered = run("verify", "--json")
    kept = run("verify", "--checkpoint", str(outside / "head"))
    elsewhere = run("verify", folder=state.parent / "nothing")

    assert (remembered.exit_code, kept.exit_code, elsewhere.exit_code) == (5, 5, 2)


def test_a_checkpoint_within_what_is_verified_is_refused(run: Any, state: Path, outside: Path):
    (state / "head").write_bytes((outside / "head").read_bytes())

    assert run("verify", "--checkpoint", str(state / "head")).exit_code == 2


def test_a_verifier_key_pins_the_log_and_not_only_its_key(
    run: Any, state: Path, outside: Path, swapped: Path
):
    name, hint, key = (outside / "vkey").read_text().strip().split("+", 2)
    public = PublicKey.read(state / "keys" / "log.pem.pub")
    (outside / "vkey").write_text(vkey("another.example/log", public))
    another = run("verify", "--key", str(outside / "vkey"))
    (outside / "vkey").write_text(f"{name}+00000000+{key}")
    altered = run("verify", "--key", str(outside / "vkey"))

    assert hint
    assert another.exit_code == 5
    assert "the key given is of another.example/log" in another.stdout.replace("\n", " ")
    assert altered.exit_code == 2


def test_an_older_copy_makes_nobody_forget_the_newer_log(run: Any, state: Path):
    lines = (segment := segment_path(state / "trace", 0)).read_bytes().splitlines(keepends=True)
    ends = [at for at, line in enumerate(lines) if line.startswith(CHECKPOINT_PREFIX)]
    run("verify")
    whole = segment.read_bytes()
    segment.write_bytes(b"".join(lines[: ends[2] + 1]))

    assert run("verify").exit_code == 5
    segment.write_bytes(whole)
    assert run("verify").exit_code == 0


def test_a_memory_within_what_is_verified_is_refused(run: Any, state: Path):
    assert run("verify", "--known-checkpoints", str(state / "checkpoints")).exit_code == 2


def test_verify_a_folder_of_segments_alone(run: Any, state: Path, tmp_path: Path):
    """As an auditor gets it: no keys, no state, only the segments."""
    alone = tmp_path / "handed-on"
    alone.mkdir()
    for path in segments(state / "trace"):
        (alone / path.name).write_bytes(path.read_bytes())

    unpinned = run("verify", folder=alone)
    pinned = run("verify", "--key", str(state / "keys" / "log.pem.pub"), folder=alone)

    assert "consistent" in unpinned.stdout
    assert "signed" in pinned.stdout
    assert run("show", "0", "--open", folder=alone).exit_code == 2


def test_another_vault_key_is_not_an_erasure(run: Any, state: Path):
    (state / "keys" / "vault.key").write_bytes(bytes(range(32)))

    shown = run("verify")
    contents = json.loads(run("verify", "--json").stdout)["completeness"]["contents"]

    assert "sealed under another vault key" in shown.stdout
    assert (contents["checked"], contents["erased"]) == (0, 0)
    assert contents["locked"] > 0


def test_keys_that_were_destroyed_are_an_erasure(run: Any, state: Path):
    (state / "trace" / "vault.keys").write_bytes(b"")

    contents = json.loads(run("verify", "--json").stdout)["completeness"]["contents"]

    assert contents["erased"] > 0
    assert contents["locked"] == 0


@pytest.mark.parametrize("first", [1, 7])
def test_a_segment_under_another_name_is_found(run: Any, state: Path, first: int):
    """Its name is the index of its first entry."""
    segment_path(state / "trace", 0).rename(segment_path(state / "trace", first))

    shown = run("verify")

    assert shown.exit_code == 5
    assert "begins with entry 0" in shown.stdout


def test_verify_where_nothing_is(run: Any, tmp_path: Path):
    shown = run("verify", folder=tmp_path / "nowhere")

    assert shown.exit_code == 2
    assert "no trace" in shown.stderr


def test_replay_under_the_recorded_bundle_is_byte_equal(run: Any):
    shown = run("replay", "--json")

    summary = json.loads(shown.stdout)
    assert shown.exit_code == 0
    assert (summary["decisions"], summary["identical"]) == (2, 2)
    assert summary["rows"] == []


def test_replay_under_the_same_policies_changes_nothing(run: Any):
    shown = run("replay", "--policy", str(shipped_folder()), "--fail-on", "changed")

    assert shown.exit_code == 0
    assert "newly allowed  0" in shown.stdout


def test_replay_under_a_looser_policy_stops_ci(run: Any, tmp_path: Path):
    loose = tmp_path / "loose"
    loose.mkdir()
    (loose / "main.rego").write_text(LOOSE)

    shown = run("replay", "--policy", str(loose))

    assert shown.exit_code == 1, shown.stderr
    assert "deny -> allow" in shown.stdout


@pytest.mark.slow
def test_replay_over_processes_finds_the_same_and_goes_on_where_it_was(
    run: Any, recorded: Path, state: Path, tmp_path: Path
):
    loose = tmp_path / "loose" / "main"
    loose.mkdir(parents=True)
    (loose / "main.rego").write_text(LOOSE)
    notes = tmp_path / "notes.jsonl"
    again = ("replay", "--policy", str(loose.parent), "--json")
    with (
        Broker(
            tools=[read_note],
            config=BrokerConfig(state=state, workspace=recorded.parent),
        ) as broker,
        broker.session(user="alice", run="run-2"),
    ):
        read_note(str(recorded.parent / "note.txt"))

    here = json.loads(run(*again, "--jobs", "1").stdout)
    spread = json.loads(run(*again, "--jobs", "2", "--resume", str(notes)).stdout)
    assert spread == here
    whole = notes.read_text()
    notes.write_text(whole + '{"run": "torn')
    resumed = json.loads(run(*again, "--resume", str(notes)).stdout)
    assert resumed == here
    assert notes.read_text() == whole, "what was done is not done again, a torn line is gone"
    assert [row["after"] for row in here["rows"]] == ["allow"]
    rules = {(each["name"], each["after"]) for each in here["by"] if each["kind"] == "rule"}
    assert ("filesystem.outside", "allow") in rules
    assert [each["name"] for each in here["by"] if each["kind"] == "agent"]
    other = run("replay", "--resume", str(notes))
    assert other.exit_code == 2
    assert "is of a replay under" in other.stderr


def test_a_run_is_stepped_through(run: Any):
    shown = run("step", "run-1").stdout

    assert "call 1 of 2" in shown
    assert "call 2 of 2" in shown
    assert shown.index("ran: ok") < shown.index("filesystem.outside")
    missing = run("step", "run-none")
    assert missing.exit_code == 1
    assert "nothing is recorded of the run 'run-none'" in missing.stderr


def test_replay_without_the_bundle_says_so(run: Any, state: Path):
    for path in (state / "bundles").iterdir():
        path.unlink()

    shown = run("replay")

    assert shown.exit_code == 1
    assert "is not in the state folder" in shown.stdout


def test_replay_with_a_folder_that_is_no_policy(run: Any, tmp_path: Path):
    assert run("replay", "--policy", str(tmp_path)).exit_code == 2


def test_hostile_text_is_inert_in_every_answer(run: Any):
    first, second = (json.loads(line) for line in run("list", "--json").stdout.splitlines())
    asked = [
        ("list", "--full"),
        ("why", first["call"]),
        ("why", second["call"], "--full"),
        ("blast", first["call"]),
        ("find", "--tool", "read_note"),
        ("diff", "run-1", "run-1"),
        ("show", first["call"], "--open"),
    ]

    for arguments in asked:
        shown = run(*arguments)
        assert shown.exit_code == 0
        assert shown.stdout
        assert not set(shown.stdout) & set("\x1b\x07\u202e"), arguments


def test_a_long_argument_is_cut_with_a_word_about_it(run: Any):
    listed, whole = run("list").stdout, run("list", "--full").stdout

    [path] = {
        json.loads(line)["arguments"]["path"]
        for line in run("list", "--json").stdout.splitlines()[:1]
    }
    if len(path) > 60:
        assert f"...(+{len(path) + 2 - 60})" in listed
    assert path in whole


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("find", "--amount", "much"), "--amount 'much': write a range"),
        (("find", "--argument", "recipient"), "write NAME=TEXT"),
        (("find", "--since", "yesterday"), "--since 'yesterday': write a time as"),
        (("find", "--outcome", "bad"), "--outcome 'bad' is none of ok"),
    ],
    ids=["amount", "argument", "time", "outcome"],
)
def test_a_wrong_question_is_answered_with_what_to_write(
    run: Any, arguments: tuple[str, ...], said: str
):
    answered = run(*arguments)

    assert answered.exit_code != 0
    assert said in answered.stderr


def test_why_names_the_code_of_a_call_that_was_never_decided() -> None:
    """Its `denied` entry is all there is of it: an evaluator that died leaves no decision."""
    found: Any = {
        "tool": "pay", "end": "unavailable", "call": "c", "run": "r", "time": 0, "index": 1,
        "subject": None, "arguments": {}, "provenance": {}, "plan": None, "decisions": [],
        "requests": [], "start": None, "effects": [],
        "ended": {"entry": 2, "time": 0, "codes": ["policy.unavailable"]},
    }  # fmt: skip

    assert "    codes     policy.unavailable" in list(why_text(found, full=False))


def test_a_verification_tells_prometheus_also_when_it_fails(
    state: Path, tmp_path: Path, run: Any
):
    told = tmp_path / "told"
    told.mkdir()
    metrics = ("--metrics", str(told / "wardline.prom"))

    def numbers() -> dict[str, float]:
        lines = (told / "wardline.prom").read_text().splitlines()
        values = dict(each.rsplit(" ", 1) for each in lines if not each.startswith("#"))
        log = f'{{log="{state}/trace"}}'
        return {name.removesuffix(log): float(value) for name, value in values.items()}

    assert run("verify", *metrics).exit_code == 0
    whole = numbers()
    assert whole["wardline_verify_failed"] == 0
    assert whole["wardline_verify_entries"] > 5
    assert run("verify", "--require", "witnessed", *metrics).exit_code == 5
    assert numbers()["wardline_verify_failed"] == 1
    shutil.rmtree(state / "trace")
    assert run("verify", *metrics).exit_code == 5
    gone = numbers()
    assert gone["wardline_verify_failed"] == 1
    assert gone["wardline_verify_entries"] == 0
    assert gone["wardline_verify_time_seconds"] >= whole["wardline_verify_time_seconds"]
    assert [each.name for each in told.iterdir()] == ["wardline.prom"]
    assert (told / "wardline.prom").stat().st_mode & 0o777 == 0o644
