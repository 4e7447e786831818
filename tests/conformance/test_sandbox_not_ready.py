"""A sandbox that cannot be made ready says what kept it: bounded, printable, on every backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from backends import leftovers
from mutants import Edit, ran
from pools import code

from sandbox import SandboxProviderError, SandboxSession
from sandbox.conformance.sessions import PROFILE

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Sandbox

pytestmark = pytest.mark.slow

REFUSED = Edit("supervisor/wire.py", "dict(rlimits)", '{**rlimits, "nofile": -1}')
"""Asks for a limit that no kernel grants: to a job that has no privilege, more than it has."""

UNGRANTED = Edit("supervisor/bootstrap.py", "None if own_kernel else 0", "0")
"""Asks another kernel for a limit of something that gVisor's does not count."""

STARTS = """
import anyio, json, sys
import sandbox
from sandbox import CommandJob, SandboxError, SandboxProfile, SandboxSession
from sandbox.backends.bubblewrap import BubblewrapSandbox
from sandbox.backends.docker import DockerSandbox
from sandbox.backends.oci import OciSandbox
from sandbox.conversation import Conversation
root, name = sys.argv[1:]
assert sandbox.__file__.startswith(root), sandbox.__file__
async def main():
    job, profile, told = CommandJob(("true",)), SandboxProfile(), []
    say, said = anyio.create_memory_object_stream(0)
    hears, heard = anyio.create_memory_object_stream(0)
    backend = {each.name: each for each in (BubblewrapSandbox, DockerSandbox, OciSandbox)}[name]
    async with say, said, hears, heard, backend() as opened:
        for start in (
            lambda: opened.run(job, profile),
            lambda: SandboxSession(opened, profile).evaluate("1"),
            lambda: opened.run(job, profile, conversation=Conversation(said, hears)),
        ):
            try:
                told.append((await start()).verdict)
            except SandboxError as err:
                told.append(str(err))
    print(json.dumps(told))
anyio.run(main)
"""

LOOKS = """
import anyio, json, sys
import sandbox
from sandbox.doctor import diagnose
assert sandbox.__file__.startswith(sys.argv[1]), sandbox.__file__
found = {each.subject: each for each in anyio.run(diagnose)}
print(json.dumps([found["kernel boundary"].works, found["kernel boundary"].detail]))
"""


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param("bubblewrap", marks=pytest.mark.bwrap),
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("oci", marks=pytest.mark.oci),
    ],
)
def test_a_limit_the_kernel_refuses_is_named(backend: str) -> None:
    """For a single job, a session and a conversation, each of which makes ready by itself."""
    told = ran(STARTS, backend, edits=[REFUSED])

    assert len(told) == 3
    for said in told:
        assert "the limit nofile of -1 is refused: " in said
        assert len(said) < 1000
        assert said.isprintable()


@pytest.mark.gvisor
def test_a_kernel_that_takes_no_job_is_told_by_the_doctor() -> None:
    """With why: nobody else would say that no job runs there."""
    _, detail = ran(LOOKS, edits=[UNGRANTED])

    assert "oci refuses runsc: " in detail
    assert "the limit msgqueue of 0 is refused" in detail


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("os._exit(3)", "the job's process left with exit code 3"),
        ("os.kill(os.getpid(), 9)", "the job's process was ended by signal 9"),
        (r"os.write(5, b'\x1b[2J\r\n' * 2000); os._exit(3)", r"\x1b[2J"),
    ],
    ids=["leaves", "is killed", "speaks for us"],
)
async def test_a_module_that_ends_the_interpreter_is_told(
    sandbox: Sandbox, tmp_path: Path, does: str, said: str
) -> None:
    """How, where the kernel knows it; what the module says of it stays short and harmless."""
    root = code(tmp_path / "code", f"import os\n{does}\n")
    async with SandboxSession(
        sandbox, PROFILE, code_roots=(root,), preload=("tool:f",)
    ) as session:
        with pytest.raises(SandboxProviderError) as caught:
            await session.evaluate("1")

    told = str(caught.value)
    assert "ended before it was ready: 'runner: " in told or said.startswith("\\")
    assert said in told
    assert len(told) < 500
    assert told.isprintable()
    assert leftovers() == []
