"""The port every sandbox backend implements; `sandbox.conformance` is its contract as tests.

A backend has one verb: `start` makes a sandbox for what a `RunRequest` says. Whether its job
follows at once, later (prewarmed), or is one of several (a session) is a field of the request.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from anyio.abc import AsyncResource

from sandbox.job import PythonJob
from sandbox.supervisor.wire import encode_job

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sandbox.conversation import Conversation
    from sandbox.job import Job
    from sandbox.network.decision import Gate
    from sandbox.profile import SandboxProfile
    from sandbox.result import ExecResult, Isolation
    from sandbox.session_limits import SessionLimits
    from sandbox.supervisor.wire import EncodedJob
    from sandbox.workspace import WorkspaceOverlay


LEAST_START_SECONDS = 10.0
"""For a sandbox to start, however short its job may be: the machine may be busy."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a backend can run on this machine, and with what.

    `missing` and `remedy` are empty when it can. `facts` are plain JSON: versions, runtimes,
    cgroup, and each measure that is weaker here than it could be.
    """

    available: bool
    facts: Mapping[str, object]
    missing: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """All that a sandbox is started from; its job is handed over afterwards.

    Attributes:
        profile: its limits and isolation.
        code_roots: host directories shown read-only, as of the `PythonJob` to come.
        preload: `module` or `module:attribute.path` that the job looks up.
        workspace: its overlay is at `/workspace`, the working directory. What the job changed
            there is for the overlay's owner to judge once the sandbox is destroyed.
        gate: may refuse, per connection, what the profile allows.
        session: of a stateful session: the interpreter lives on after a job, within these
            limits. None for a single-use sandbox.
        is_conversation: whether its job is spoken with while it runs.
        wait_seconds: how long a prewarmed one may wait for its job; 0 when that comes at once.
        start_seconds: how long an engine may take to start it; None for as long as each of its
            answers may take.
    """

    profile: SandboxProfile
    code_roots: tuple[Path, ...] = ()
    preload: tuple[str, ...] = ()
    workspace: WorkspaceOverlay | None = None
    gate: Gate | None = None
    session: SessionLimits | None = None
    is_conversation: bool = False
    wait_seconds: float = 0.0
    start_seconds: float | None = None

    @property
    def lease_seconds(self) -> float:
        """Longest time between its start and the end of its last job."""
        session = 0.0 if self.session is None else self.session.total_seconds
        return self.wait_seconds + session + self.profile.wall_seconds

    @property
    def imports(self) -> tuple[str, ...]:
        """What is looked up inside before there is a job: nothing when that comes at once.

        The same limits and isolation hold for it; what cannot be found is left to the job to tell.
        """
        return self.preload if self.wait_seconds or self.session is not None else ()


class StartedSandbox(Protocol):
    """A sandbox that waits for a job. Whoever started it destroys it."""

    def is_alive(self) -> bool:
        """True while it waits. Looks without waiting; a dead one must not be given a job."""
        ...

    async def run(self, job: EncodedJob) -> ExecResult:
        """Hands over the job and gives its end.

        Once only, unless it was started for a session: then again, one job at a time, as long
        as the last one ended as `ok` or `raised` and it `is_alive`. Between two of them
        everything inside is stopped, and it leaves by itself when none comes in time.

        When it returns or raises, no process of a single-use sandbox's job is left; what is
        left of the sandbox itself is for `destroy`.

        Raises:
            SandboxUnavailableError: it runs another Python than the caller; nothing ran.
            SandboxGoneError: it ended before it took the job; nothing ran.
            SandboxProviderError: the provider failed; whether the job ran is unknown.
        """
        ...

    async def destroy(self) -> None:
        """Removes what is left, used or not, shielded from cancellation. Safe to call twice."""
        ...


class Sandbox(AsyncResource):
    """Runs jobs, each in a sandbox of its own that is gone when `run` returns.

    Entering one starts nothing and never fails.
    """

    name: str
    """The backend: `docker`, `oci`, `bubblewrap`."""
    isolation: Isolation
    """The boundary this backend gives with the default runtime."""

    @abstractmethod
    async def probe(self) -> Availability:
        """Looks whether this machine has what the backend needs. Never raises for a lack."""

    @abstractmethod
    async def start(self, request: RunRequest) -> StartedSandbox:
        """Starts a sandbox up to the point where its job is handed over.

        Raises:
            ProfileError: a mount, code root or workspace may not be shown.
            SandboxUnavailableError: something is missing here.
            SandboxProviderError: the provider failed, or a module ended the interpreter.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Removes whatever is left, also of owners that died. Safe to call twice."""

    async def start_in_time(
        self, request: RunRequest, *, seconds: float | None = None
    ) -> StartedSandbox:
        """As `start`, given up when it takes longer than its job may, or than `seconds`.

        Raises:
            SandboxUnavailableError: also when it did not start in time; nothing ran.
        """
        most = max(request.profile.wall_seconds, LEAST_START_SECONDS)
        most = most if seconds is None else min(most, seconds)
        return await self.start(replace(request, start_seconds=most))

    async def run(
        self,
        job: Job,
        profile: SandboxProfile,
        *,
        files: Mapping[str, bytes] | None = None,
        workspace: WorkspaceOverlay | None = None,
        gate: Gate | None = None,
        seconds: float | None = None,
        conversation: Conversation | None = None,
    ) -> ExecResult:
        """Runs one job. `files` are put below `/box`, its working directory, first.

        `workspace` and `gate` are as of a `RunRequest`. Cancellation kills the sandbox and
        waits, shielded, until it is gone. `seconds` is for the start and the job together; without it
        the start alone is bounded, by `start_in_time`. With a `conversation` the job, which is
        a command without input, is spoken with until it ends.

        Raises:
            ProfileError: the job, a file name or a mount may not be run as written.
            SandboxUnavailableError: something is missing here; nothing ran.
            SandboxProviderError: the provider failed; whether the job ran is unknown.
        """
        # All of it, before anything is started: a job that cannot be written costs nothing.
        encoded = encode_job(job, profile, files=files or {}, conversation=conversation)
        began = time.monotonic()
        request = request_for(job, profile, workspace=workspace, gate=gate)
        request = replace(request, is_conversation=conversation is not None)
        started = await self.start_in_time(request, seconds=seconds)
        try:
            if seconds is not None:
                left = max(began + seconds - time.monotonic(), 0.001)
                encoded = replace(encoded, wall_seconds=min(encoded.wall_seconds, left))
            return await started.run(encoded)
        finally:
            await started.destroy()


def request_for(
    job: Job,
    profile: SandboxProfile,
    *,
    workspace: WorkspaceOverlay | None = None,
    gate: Gate | None = None,
) -> RunRequest:
    """What one job needs to be started."""
    return RunRequest(
        profile=profile,
        code_roots=tuple(job.code_roots) if isinstance(job, PythonJob) else (),
        preload=job.wanted if isinstance(job, PythonJob) else (),
        workspace=workspace,
        gate=gate,
    )
