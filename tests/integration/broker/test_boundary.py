"""A tool that needs a boundary this machine lacks does not run, whatever weaker ones there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from backends import build_missing_image
from boundaries import behind_a_kernel, behind_anything

from permissions.assembly import open_broker
from permissions.config import BrokerConfig
from permissions.model import Completed, Denial
from permissions.session import ToolCall
from permissions.sessions import open_session
from permissions.trace.reader import read_entries
from sandbox.docker import DockerSandbox
from sandbox.docker.options import KERNEL_RUNTIMES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", autouse=True)
def image(request: pytest.FixtureRequest) -> None:
    """The image is built before the first test that needs it, outside its timeout."""
    build_missing_image(request.session)


def configured(tmp_path: Path, backend: str) -> BrokerConfig:
    (tmp_path / "work").mkdir()
    return BrokerConfig.load(
        state=tmp_path / "state",
        workspace=tmp_path / "work",
        sandbox={"backends": (backend,), "armed": 0},
    )


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param("bubblewrap", marks=pytest.mark.bwrap),
        pytest.param("docker", marks=pytest.mark.docker),
    ],
)
async def test_a_kernel_of_its_own_is_never_replaced_by_less(
    backend: str, tmp_path: Path
) -> None:
    """The same broker runs the tool that asks for less, so the refusal is about the boundary."""
    if backend == "docker" and await _has_kernel_runtime():
        pytest.skip("this engine has a runtime with a kernel of its own")
    config = configured(tmp_path, backend)
    async with (
        open_broker(config, [behind_a_kernel, behind_anything]) as broker,
        open_session(broker, user="alice", prompt="say where you are") as session,
    ):
        refused = await broker.call(session, ToolCall("behind_a_kernel", {}))
        done = await broker.call(session, ToolCall("behind_anything", {}))

    assert isinstance(refused, Denial), refused
    assert [reason.code for reason in refused.reasons] == ["isolation.unavailable"]
    assert isinstance(done, Completed), done
    assert done.value == 65534
    entries = list(read_entries(tmp_path / "state" / "trace"))
    started = [entry.call for entry in entries if entry.type == "start"]
    assert len(started) == 1


async def _has_kernel_runtime() -> bool:
    async with DockerSandbox() as sandbox:
        runtimes = (await sandbox.probe()).facts.get("runtimes")
    return isinstance(runtimes, list) and not KERNEL_RUNTIMES.isdisjoint(runtimes)
