"""A tool that needs a boundary this machine lacks does not run, whatever weaker ones there are."""

from __future__ import annotations

import os
import shutil
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from boundaries import behind_a_kernel, behind_anything

from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.setup.sandboxes import available
from permissions.tools.call import ToolCall
from permissions.trace.reader import read_entries
from sandbox.backends.bubblewrap import BubblewrapSandbox
from sandbox.backends.docker import DockerSandbox
from sandbox.backends.oci import OciSandbox
from sandbox.backends.oci.runtimes import PREFERENCE
from sandbox.backends.vm_kernel import kernel_runtime

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.model import CallResult


def configured(tmp_path: Path, backend: str) -> BrokerConfig:
    (tmp_path / "work").mkdir()
    return BrokerConfig.load(
        state=tmp_path / "state",
        workspace=tmp_path / "work",
        sandbox={"backends": (backend,), "prewarmed": 0},
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend",
    [
        pytest.param("bubblewrap", marks=pytest.mark.bwrap),
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("oci", marks=pytest.mark.oci),
    ],
)
async def test_a_kernel_of_its_own_is_never_replaced_by_less(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same broker runs the tool that asks for less, so the refusal is about the boundary."""
    if backend == "oci":
        only_on_the_hosts_kernel(tmp_path / "bin", monkeypatch)
    has_kernel = await _has_kernel_runtime(backend)
    assert backend == "docker" or not has_kernel  # an engine's cannot be taken away

    asked, done, ran = await _both_called(tmp_path, backend)

    assert isinstance(done, Completed), done
    assert done.value not in {0, os.getuid()}
    if has_kernel:
        assert isinstance(asked, Completed), asked
        assert ran == ["kernel", "container"]
        return
    assert isinstance(asked, Denial), asked
    assert [reason.code for reason in asked.reasons] == ["isolation.unavailable"]
    assert len(ran) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend",
    [
        pytest.param("oci", marks=pytest.mark.gvisor),
        pytest.param("docker", marks=pytest.mark.gvisor_engine),
    ],
)
async def test_a_tool_that_asks_for_a_kernel_of_its_own_gets_it(
    backend: str, tmp_path: Path
) -> None:
    """A governed call under a real gVisor, and the record says so."""
    asked, done, ran = await _both_called(tmp_path, backend)

    assert isinstance(asked, Completed), asked
    assert isinstance(done, Completed), done
    assert ran == ["kernel", "container"]


async def _both_called(
    tmp_path: Path, backend: str
) -> tuple[CallResult, CallResult, list[object]]:
    """The answers to the tool behind a kernel and to the other, and what held those that ran."""
    async with (
        open_broker(
            configured(tmp_path, backend), [behind_a_kernel, behind_anything]
        ) as broker,
        open_session(broker, user="alice", prompt="say where you are") as session,
    ):
        asked = await broker.call(session, ToolCall("behind_a_kernel", {}))
        done = await broker.call(session, ToolCall("behind_anything", {}))
    entries = list(read_entries(tmp_path / "state" / "trace"))
    ran = [each.body["enforced"]["isolation"] for each in entries if each.type == "outcome"]
    return asked, done, ran


def only_on_the_hosts_kernel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that may have gVisor becomes one that has not."""
    folder.mkdir()
    for name in PREFERENCE:
        if (path := shutil.which(name)) is not None:
            (folder / name).symlink_to(path)
    monkeypatch.setenv("PATH", str(folder))


async def _has_kernel_runtime(backend: str) -> bool:
    kinds = {kind.name: kind for kind in (BubblewrapSandbox, DockerSandbox, OciSandbox)}
    async with kinds[backend]() as sandbox:
        return kernel_runtime((await sandbox.probe()).facts) is not None


@pytest.mark.oci
@pytest.mark.docker
async def test_a_container_is_the_quickest_at_hand_that_has_the_profiles_images(
    tmp_path: Path,
) -> None:
    """A profile's image that only the engine has takes every container back to the engine."""
    (tmp_path / "work").mkdir()
    profiles = {"own": {"image": "sha256:" + "0" * 64}}
    paths = {"state": tmp_path / "state", "workspace": tmp_path / "work"}
    plain = BrokerConfig.load(**paths, sandbox={"prewarmed": 0})
    own = BrokerConfig.load(**paths, sandbox={"prewarmed": 0, "profiles": profiles})
    found = []
    for config in (plain, own):
        async with AsyncExitStack() as stack:
            found.append((await available(config, stack))["container"].name)

    assert found == ["oci", "docker"]
