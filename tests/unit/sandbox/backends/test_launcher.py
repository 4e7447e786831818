"""A launcher that says nothing, or does not end, holds nobody up."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import anyio
import pytest
from runner_words import HELLO

from sandbox import SandboxProfile, SandboxProviderError
from sandbox.backends.bubblewrap.reaper import LEASE_VARIABLE, launchers
from sandbox.backends.launcher import DIAGNOSTICS_BYTES, Launched, end, started
from sandbox.backends.local_process import LocalProcess
from sandbox.isolation.cgroup import RunGroup

if TYPE_CHECKING:
    from collections.abc import Iterator

GREETS = f"import sys, os; os.write(1, {HELLO!r}); os.read(0, 1 << 20); os.read(0, 1 << 20)"


@pytest.fixture
def launcher() -> Iterator[tuple[Launched, ExitStack]]:
    """A runner's hello from a process that is in no sandbox."""
    with ExitStack() as stack:
        argv = [sys.executable, "-c", GREETS]
        yield (
            stack.enter_context(started(argv, name="x", environment={}, descriptors=())),
            stack.pop_all(),
        )


async def test_a_process_that_is_never_named_is_not_waited_for(
    launcher: tuple[Launched, ExitStack],
) -> None:
    """A runtime may be killed between the start of process 1 and writing its number down."""
    launched, held = launcher
    prewprocess = LocalProcess(
        launched,
        SandboxProfile(),
        group=RunGroup({}, 2),
        enforced={},
        import_folders=(),
        remedy="",
        held=held,
    )

    with anyio.fail_after(10), pytest.raises(SandboxProviderError, match="which process"):
        await prewprocess.set_up((), process_id=_never, seconds=1)
    await prewprocess.destroy()

    assert launched.process.returncode is not None


ORPHANS = """
import os, signal, time
if os.fork():
    signal.pause()
os.setsid()
os.write(1, str(os.getpid()).encode())
while os.read(0, 1 << 20):
    pass
time.sleep(0.3)
"""


async def test_a_killed_launchers_child_is_waited_for() -> None:
    """It is nobody's child by then, and takes a moment to be gone."""
    argv = [sys.executable, "-c", ORPHANS]
    environment = {LEASE_VARIABLE: "of this test"}
    with started(argv, name="x", environment=environment, descriptors=()) as launched:
        child = int(launched.stream.recv(100))
        assert child in launchers()
        await end(launched, None, leaves=False)

        assert not {child, launched.process.pid} & set(launchers())


async def _never() -> int:
    await anyio.sleep_forever()
    raise AssertionError


def test_what_cannot_be_started_is_a_provider_error() -> None:
    nowhere = started(["/nowhere"], name="x", environment={}, descriptors=())

    with pytest.raises(SandboxProviderError, match="x cannot be started"), nowhere:
        pass


def test_of_a_long_complaint_the_end_is_kept() -> None:
    """A traceback, or a runtime's log, names its cause last."""
    argv = [sys.executable, "-c", "raise SystemExit('x' * 10000 + ' the cause')"]
    with started(argv, name="x", environment={}, descriptors=()) as launched:
        launched.process.wait(60)

        said = launched.diagnostics()

    assert said.endswith("x the cause")
    assert len(said) <= DIAGNOSTICS_BYTES
