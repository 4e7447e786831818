"""The guide for operators: each of its commands runs, in order, and ends as the page says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "operate.md"
COMMAND = re.compile(r"^\$ (.+?)(?:\s+#.*)?$", re.MULTILINE)
AGENT = """
from typing import Annotated

from wardline import Broker, BrokerConfig, FreeText, tool


@tool(effect="read", impact="low")
def look(what: Annotated[str, FreeText()]) -> str:
    "Looks."
    return what


with (
    Broker([look], config=BrokerConfig.load()) as broker,
    broker.session(user="alice", agent="desk-bot"),
):
    print(look("here"))
"""
ENDS = {
    "init": {0},
    "doctor": {0, 6},  # 6: nothing isolates on this machine
    "request": {0},
    "trace": {0},
    "stop": {0},
    "resume": {0},
    "cp": {0},
}
OF_THIS_MACHINE = {"sandbox"}
"""Looked through for every sandbox of the machine, so not for a test."""


class Desk:
    """A folder of somebody's, away from any checkout, with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "invoices"
        self.folder.mkdir()
        self.settings = self.folder / "wardline.toml"
        self._elsewhere = {
            "/srv/invoices": self.folder,
            "/mnt/backup": folder / "backup",
            "/mnt/elsewhere": folder / "elsewhere",
            "/mnt/archive": folder / "archive",
        }
        for each in ("backup", "elsewhere", "archive"):
            (folder / each).mkdir()
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("WARDLINE")
        }
        self._environment |= {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "xdg")}
        self._environment |= {"XDG_CONFIG_HOME": str(folder / "config")}

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        for name, path in self._elsewhere.items():
            line = line.replace(name, str(path))
        words = shlex.split(line)
        if words[0] == "wardline":
            words = [sys.executable, "-m", "permissions", *words[1:]]
        return self.said(*words)

    def said(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def works(self, line: str) -> None:
        done = self.run(line)
        words = line.split()
        ends = ENDS[words[1] if words[0] == "wardline" else words[0]]
        assert done.returncode in ends, f"{line}\n{done.stdout}{done.stderr}"


def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    lines = [
        each
        for each in COMMAND.findall(PAGE.read_text())
        if each.split()[1] not in OF_THIS_MACHINE
    ]
    first = lines.index("wardline request list")
    for line in lines[:first]:
        desk.works(line)

    # Settings that changed are not obeyed until they are trusted.
    kept = desk.settings.read_text()
    desk.settings.write_text(f"{kept}\n# changed\n")
    untrusted = desk.run(lines[first])
    assert untrusted.returncode != 0
    assert "has changed since you trusted it" in untrusted.stderr
    assert desk.run("wardline trust /srv/invoices/wardline.toml").returncode == 0
    assert lines[first + 1] == "wardline doctor"
    desk.works(lines[first + 1])

    # A key that is none is told.
    assert lines[first + 2] == "wardline doctor"
    broken = re.sub(r'public_key = ".*"', 'public_key = "no key"', desk.settings.read_text())
    desk.settings.write_text(broken)
    desk.run("wardline trust /srv/invoices/wardline.toml")
    told = desk.run(lines[first + 2])
    assert told.returncode == 1
    assert "not a public key" in told.stdout
    desk.settings.write_text(kept)
    desk.run("wardline trust /srv/invoices/wardline.toml")

    ran = desk.said(sys.executable, "-c", AGENT)
    assert ran.returncode == 0, ran.stderr
    (desk.folder / "next").mkdir()
    (desk.folder / "next" / "later").mkdir()
    (desk.folder / "next" / "later" / "later.rego").write_text(
        "package wardline.policies.later\n\nimport rego.v1\n"
    )
    public = desk.folder / ".wardline" / "keys" / "log.pem.pub"
    shutil.copy(public, tmp_path / "elsewhere" / "log.vkey")
    for line in lines[first + 3 :]:
        if line == "wardline policy reload":
            nobody = desk.run(line)
            assert nobody.returncode == 1
            assert "no broker runs" in nobody.stderr
            continue
        if line.startswith("wardline resume --all"):
            assert desk.run(line).returncode == 1  # nothing of that scope is stopped
            continue
        desk.works(line)
