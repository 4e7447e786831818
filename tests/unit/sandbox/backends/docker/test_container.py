"""How a container ended, as the engine tells it."""

from __future__ import annotations

import anyio
import pytest

from sandbox import CommandJob, SandboxProfile
from sandbox.backends.docker import DockerSandbox
from sandbox.backends.docker.container import Container
from sandbox.errors import SandboxProviderError
from sandbox.protocol import RunRequest
from sandbox.supervisor.wire import encode_job

pytestmark = pytest.mark.docker


async def test_one_that_somebody_kills_is_said_to_have_been_killed() -> None:
    """No limit is blamed for it: the engine knows of none."""
    profile = SandboxProfile(wall_seconds=60)
    job = encode_job(CommandJob(("sleep", "50")), profile, files={})
    async with DockerSandbox() as sandbox, anyio.create_task_group() as tasks:
        started = await sandbox.start(RunRequest(profile=profile))
        assert isinstance(started, Container)

        async def kill() -> None:
            while not started._transcript.took_job:  # noqa: ASYNC110 - it tells nobody
                await anyio.sleep(0.01)
            await anyio.to_thread.run_sync(started._engine.kill, started._name)

        tasks.start_soon(kill)
        with pytest.raises(SandboxProviderError, match="it was killed, perhaps"):
            await started.run(job)
        await started.destroy()
