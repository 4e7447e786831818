"""The command itself: an event in, an answer and an exit code out, whatever goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hooking import PROGRAM, event, hook

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_a_helper_decides_where_there_is_no_daemon(repository: Path) -> None:
    allowed = hook(event(repository, "Bash", command="git status"), cwd=repository)
    asked = hook(
        event(repository, "Bash", command="git push"), "claude-code", "--ask", cwd=repository
    )
    denied = hook(event(repository, "Read", file_path=".env"), cwd=repository)

    assert allowed == (0, "{}", "")
    said = json.loads(asked[1])["hookSpecificOutput"]
    assert (asked[0], said["permissionDecision"]) == (0, "ask")
    assert denied[0] == 2
    assert "filesystem.secret" in denied[2]
    assert json.loads(denied[1])["hookSpecificOutput"]["permissionDecision"] == "deny"


@pytest.mark.slow
def test_hooks_at_the_same_time_take_turns(repository: Path) -> None:
    text = event(repository, "Read", file_path="src/a.py").encode()
    running = [
        subprocess.Popen(
            [PROGRAM, "hook", "claude-code"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            cwd=repository,
        )
        for _ in range(3)
    ]  # fmt: skip
    told = [each.communicate(text, timeout=120)[0].decode().strip() for each in running]

    assert told == ["{}"] * 3


BROKEN = {
    "nothing": ("", ("claude-code",)),
    "no JSON": ("{", ("claude-code",)),
    "no object": ("[]", ("claude-code",)),
    "not UTF-8": (b"\xff\xfe", ("claude-code",)),
    "another agent's event": ('{"hook_event_name": "BeforeTool"}', ("claude-code",)),
    "no agent": ("{}", ("",)),
    "an unknown agent": ("{}", ("copilot",)),
    "an unknown option": ("{}", ("claude-code", "--allow")),
}


@pytest.mark.parametrize(("text", "words"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_blocks_with_a_reason(
    text: str | bytes, words: tuple[str, ...], tmp_path: Path
) -> None:
    """Any other exit code, or no words on standard error, and the agent makes the call."""
    code, out, err = hook(text, *words, cwd=tmp_path)

    assert code == 2
    assert out == ""
    assert err.startswith("Wardline: the call is not made")


SETTINGS = {
    "none": (None, "wardline init"),
    "no TOML": ("state = ", "wardline.toml"),
    "an unknown key": ('stat = "x"', "stat"),
    "policies that are not there": ('[pdp]\noverlay = "gone"', "gone"),
    "a daemon that is not there": ('broker = "unix:/nowhere/broker.sock"', "wardline serve"),
    "a daemon of the network": ('broker = "tcp://127.0.0.1:1"', "unix socket"),
    "policies that do not load": ('[pdp]\noverlay = "odd"', "odd.rego"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "said"), SETTINGS.values(), ids=SETTINGS)
def test_without_usable_settings_nothing_passes(
    settings: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if settings is None:
        monkeypatch.delenv("WARDLINE_CONFIG", raising=False)
    else:
        (tmp_path / "wardline.toml").write_text(settings)
        monkeypatch.setenv("WARDLINE_CONFIG", str(tmp_path / "wardline.toml"))
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "odd.rego").write_text("package wardline.layers.odd\n\ndeny contains")

    code, out, err = hook(event(tmp_path, "Bash", command="ls"), cwd=tmp_path)

    assert (code, out) == (2, "")
    assert said in err


def test_settings_that_came_with_a_checkout_are_not_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WARDLINE_CONFIG", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "wardline.toml").write_text('[pdp]\npolicies = "theirs"\n')

    code, _, err = hook(event(tmp_path, "Bash", command="ls"), cwd=tmp_path)

    assert code == 2
    assert "wardline trust" in err


def test_it_loads_no_more_than_it_needs(tmp_path: Path) -> None:
    """Before each call of an agent; with a daemon that is not there, it gets as far as asking."""

    def loaded(program: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", program],
            input=event(tmp_path, "Bash", command="ls"), cwd=tmp_path, text=True,
            env={**os.environ, "WARDLINE_BROKER": "unix:/nowhere/broker.sock"},
            capture_output=True, check=False,
        )  # fmt: skip
        lines = [each for each in done.stderr.splitlines() if each.startswith("import time:")]
        return {each.rpartition("|")[2].strip() for each in lines}

    hook = (
        "import sys; sys.argv = ['wardline', 'hook', 'codex'];"
        "from permissions.cli import main; main()"
    )
    assert loaded(hook) - loaded("pass") <= {
        "__future__", "_signal", "_socket", "binascii", "time",
        "permissions", "permissions.cli", "permissions.coding", "permissions.coding.hook",
        "permissions.coding.noted",
    }  # fmt: skip


@pytest.mark.slow
def test_one_that_waits_for_ever_blocks_before_the_agent_gives_up(tmp_path: Path) -> None:
    """An agent makes the call when its own time is over; here the event never ends."""
    hanging = subprocess.Popen(
        [sys.executable, "-c",
         ("from permissions.coding import hook;"
          "hook.DEADLINE_SECONDS = -1; hook.main(['claude-code'])")],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
    )  # fmt: skip
    assert hanging.stderr is not None
    assert hanging.wait(timeout=120) == 2
    assert b"took longer" in hanging.stderr.read()
    hanging.communicate()
