"""The guides for approvers: their commands run, in order, and print what the pages say."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from told import is_told

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
EACH_TIME = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "TIME"),
    (re.compile(r"\bin \d:\d\d:\d\d"), "in A WHILE"),
    (re.compile(r"\b(req|grant|call)-[0-9a-f]{20}"), r"\1-ID"),
    (re.compile(r"key file  [0-9a-f]{16}"), "key file  KEY"),
)
AGENT = '''
import os
import sys
from typing import Annotated

from wardline import AmountArg, Broker, BrokerConfig, FreeText, RecipientArg, tool

SAID = "Pay Acme 120.50 EUR to DE02120300000000202051, and 20.00 EUR each month."


@tool(effect="send", impact="high")
def pay(
    recipient: Annotated[str, RecipientArg("account")], amount: Annotated[str, AmountArg("EUR")]
) -> str:
    """Pays."""
    return f"paid {amount} to {recipient}"


@tool(effect="irreversible", impact="high")
def erase_case(number: Annotated[str, FreeText()]) -> str:
    """Erases a case for good."""
    os._exit(9)


with (
    Broker([pay, erase_case], config=BrokerConfig.load()) as broker,
    broker.session(
        user="alice", agent="clerk", prompt=SAID, run="run-7", approval_mode="suspend"
    ) as session,
):
    if sys.argv[1:] == ["erase"]:
        broker.call(session, "erase_case", {"number": "4711"}, key="erase 4711")
    else:
        for amount in ("120.50", "880.00", "35.00", "30.00"):
            to = "DE02120300000000202051"
            broker.call(session, "pay", {"recipient": to, "amount": amount})
'''


class Desk:
    """A project, its agent, and an approver's home."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder / "invoices", folder / "home"
        self.folder.mkdir()
        self.home.mkdir()
        (folder / "agent.py").write_text(AGENT)
        self._agent = str(folder / "agent.py")
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("XDG_")},
            "COLUMNS": "100",  # a worker of pytest-xdist has 80, others what their terminal has
            "HOME": str(self.home),
            "WARDLINE_CONFIG": str(self.folder / "wardline.toml"),
            "WARDLINE_APPROVER_KEY": f"file:{self.home}/.config/wardline/olga.pem",
        }
        self.ids: dict[str, str] = {}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def wardline(self, *arguments: str) -> str:
        done = self.run("-m", "permissions", *arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def agent(self, *arguments: str) -> int:
        return self.run(self._agent, *arguments).returncode

    def waiting(self) -> list[str]:
        listed = self.wardline("request", "list", "--json").splitlines()
        return [each["id"] for each in map(json.loads, listed)]

    def follow(self, page: str, first: int = 0, last: int | None = None) -> None:
        """Runs the commands of a guide's blocks; the ids that it names are those here."""
        for block in BLOCK.findall((GUIDES / page).read_text())[first:last]:
            steps: list[tuple[str, list[str]]] = []
            for line in block.splitlines():
                if line.startswith("$ "):
                    steps.append((line[2:], []))
                else:
                    steps[-1][1].append(line)
            for command, expected in steps:
                program, *arguments = shlex.split(command)
                assert program == "wardline"
                said = self.wardline(*(self.ids.get(each, each) for each in arguments))
                said = said.replace(str(self.home), "/home/olga")
                said = said.replace(str(self.folder), "/srv/invoices")
                lines = list(map(plain, said.splitlines()))
                assert is_told(list(map(plain, expected)), lines), (command, said)
                named, real = _GRANT.findall("\n".join(expected)), _GRANT.findall(said)
                self.ids.update(zip(named, real, strict=True))


_GRANT = re.compile(r"grant-[0-9a-f]{20}")


def plain(line: str) -> str:
    for form, word in EACH_TIME:
        line = form.sub(word, line)
    return line.rstrip()


def test_each_command_of_the_guides_prints_what_they_say(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.follow("approver-keys.md", last=1)
    assert desk.agent() == 0
    desk.follow("approver-keys.md", first=1)
    first, second, third, fourth = desk.waiting()
    desk.ids = {
        "req-0a5ba5e1423cadff82a6": first,
        "req-c398826891f40344291f": second,
        "req-7b1e0d4c55aa90f2e831": third,
        "req-542328368947e2c66147": fourth,
    }
    desk.follow("approve.md")

    assert desk.agent("erase") == 0
    (erase,) = [each for each in desk.waiting() if each not in desk.ids.values()]
    desk.wardline("request", "approve", erase)
    assert desk.agent("erase") == 9
    calls = map(json.loads, desk.wardline("trace", "list", "--json").splitlines())
    desk.ids["call-286ffaed90f2e8317b1e"] = [each["call"] for each in calls][-1]
    assert desk.agent("erase") == 0  # it asks again, and is told
    desk.follow("standing-answers.md")
