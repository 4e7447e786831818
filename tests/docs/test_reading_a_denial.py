"""The guide "Reading a denial": a call is denied as it says, and its commands say what it shows."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from permissions.cli.root import load
from wardline import Broker, BrokerConfig, CallDenied

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "reading-a-denial.md").read_text()
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
CODES = {"explain": 3, "try": 3}
pytestmark = pytest.mark.slow


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The id of the call that the guide is about, in a folder with the guide's tools."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    source = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert source
    (tmp_path / "my_agent").mkdir()
    (tmp_path / "my_agent" / "tools.py").write_text(source[1])
    from my_agent.tools import fetch  # type: ignore[import-not-found]

    config = BrokerConfig(state=tmp_path / ".wardline", workspace=tmp_path)
    with (
        Broker(tools=[fetch], config=config) as broker,
        broker.session(user="alice", prompt="fetch"),
    ):
        with pytest.raises(CallDenied) as denied:
            fetch("https://evil.example/x")
    assert str(denied.value) in PAGE.splitlines()
    yield denied.value.denial.call
    for name in [each for each in sys.modules if each.startswith("my_agent")]:
        del sys.modules[name]


def test_its_commands_say_what_it_shows(call: str) -> None:
    ran = []
    for block in BLOCKS:
        for command, shown in re.findall(
            r"^\$ wardline policy (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE
        ):
            words = shlex.split(command.replace("call-5b0e", call))
            result = CliRunner().invoke(load("policy"), words)
            printed = iter(result.output.splitlines())
            assert result.exit_code == CODES[words[0]], result.output
            missing = [line for line in shown.splitlines() if line not in printed]
            assert missing == [], result.output
            ran.append(words[0])

    assert ran == ["explain", "try"]
