"""Code that comes in by a governed call: commands, requirements, images of another Python."""

from __future__ import annotations

import io
import secrets
import tarfile
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from commanding import count_bytes, count_lines, elsewhere, lacking, supplied
from typer.testing import CliRunner

from permissions.cli.root import app
from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.tools.call import ToolCall
from permissions.trace.reader import read_entries
from sandbox.backends.docker.engine import Engine
from sandbox.backends.docker.image import PYTHON_LABEL, add_layer, default_image
from wardline import CommandOutput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from permissions.model import CallResult


def configured(tmp_path: Path, backend: str, **sandbox: Any) -> BrokerConfig:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "a.txt").write_text("one $(id)\ntwo\none\n")
    return BrokerConfig.load(
        state=tmp_path / "state",
        workspace=tmp_path / "work",
        sandbox={"backends": (backend,), "prewarmed": 0, **sandbox},
    )


async def called(config: BrokerConfig, function: Any, **arguments: Any) -> CallResult:
    async with (
        open_broker(config, [function]) as broker,
        # The person names the values: what they steer has to come from somebody trusted.
        open_session(
            broker, user="alice", prompt=" ".join(map(str, arguments.values())) or "go"
        ) as session,
    ):
        return await broker.call(session, ToolCall(function.__name__, arguments))


def starts(config: BrokerConfig) -> int:
    entries = read_entries(config.state / "trace")
    return [entry.type for entry in entries].count("start")


@pytest.mark.bwrap
@pytest.mark.parametrize(
    ("word", "path", "said"),
    [
        ("one", "a.txt", (0, "2\n")),
        ("$(id)", "a.txt", (0, "1\n")),
        ("absent", "a.txt", (1, "0\n")),
        ("-v", "a.txt", (1, "0\n")),
    ],
)
async def test_a_command_tool_runs_its_argv(
    tmp_path: Path, word: str, path: str, said: tuple[int, str]
) -> None:
    """Nothing is read by a shell or taken for an option."""
    result = await called(configured(tmp_path, "bubblewrap"), count_lines, word=word, path=path)

    assert isinstance(result, Completed), result
    assert isinstance(result.value, CommandOutput)
    assert (result.value.exit_code, result.value.stdout) == said


@pytest.mark.bwrap
async def test_a_declared_shell_is_what_policies_are_told(tmp_path: Path) -> None:
    """The shipped policy denies it; it needs a rule of the operator's own."""
    config = configured(tmp_path, "bubblewrap")

    result = await called(config, count_bytes, text="x")

    assert isinstance(result, Denial)
    assert "shell.text" in [reason.code for reason in result.reasons]
    assert starts(config) == 0


@pytest.mark.bwrap
async def test_a_tool_that_requires_what_is_missing_is_denied_and_did_not_run(
    tmp_path: Path,
) -> None:
    """The operator is told which package, which version, and what to do."""
    result = await called(configured(tmp_path, "bubblewrap"), lacking)

    assert isinstance(result, Denial)
    assert (result.kind, result.code) == ("unavailable", "isolation.unavailable")
    told = result.reasons[0].operator
    assert "lacks no-such-package>=2: it has none" in told
    assert "pip install" in told


@pytest.mark.bwrap
async def test_a_tool_that_requires_what_is_there_runs(tmp_path: Path) -> None:
    result = await called(configured(tmp_path, "bubblewrap"), supplied)

    assert isinstance(result, Completed), result
    assert result.value == "anyio"


@pytest.fixture
def other_python() -> Iterator[str]:
    """An image whose label says another Python."""
    tag = f"wardline-test/python:{secrets.token_hex(4)}"
    layer = io.BytesIO()
    tarfile.open(fileobj=layer, mode="w").close()
    with closing(Engine.connect()) as engine:
        yield add_layer(
            engine, default_image(engine), layer, labels={PYTHON_LABEL: "3.5"}, tag=tag
        )
        engine.client.remove_image(tag)


@pytest.mark.docker
async def test_an_image_of_another_python_is_found_when_the_broker_opens(
    tmp_path: Path, other_python: str
) -> None:
    """Each call in it is denied before it starts; nothing is tried first."""
    config = configured(tmp_path, "docker", profiles={"other": {"image": other_python}})

    result = await called(config, elsewhere)

    assert isinstance(result, Denial)
    assert (result.kind, result.code) == ("unavailable", "isolation.unavailable")
    assert "has Python '3.5'" in result.reasons[0].operator
    assert starts(config) == 0


@pytest.mark.docker
async def test_an_image_that_is_not_there_is_found_when_the_broker_opens(
    tmp_path: Path,
) -> None:
    missing = "sha256:" + "0" * 64
    config = configured(tmp_path, "docker", profiles={"other": {"image": missing}})

    result = await called(config, elsewhere)

    assert isinstance(result, Denial)
    assert result.code == "isolation.unavailable"
    assert starts(config) == 0


@pytest.mark.slow
@pytest.mark.docker
def test_doctor_finds_it_too(
    tmp_path: Path, other_python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wardline.toml").write_text(
        f'[sandbox.profiles.other]\nimage = "{other_python}"\n'
    )
    monkeypatch.chdir(tmp_path)

    told = CliRunner().invoke(app, ["doctor", "--config", "wardline.toml"])

    assert "sandbox profile other" in told.stdout
    assert "has Python '3.5'" in told.stdout
