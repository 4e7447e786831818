"""Disposable sandboxes for Python functions and commands. Usable without the broker.

    async with DockerSandbox() as sandbox:
        result = await sandbox.run(CommandJob(("id",)), SandboxProfile())

One protocol (`Sandbox`), three backends: `sandbox.backends.docker.DockerSandbox`,
`sandbox.backends.oci.OciSandbox` and `sandbox.backends.bubblewrap.BubblewrapSandbox`. All pass
`sandbox.conformance`.
"""

from __future__ import annotations

from sandbox.conversation import Conversation
from sandbox.errors import (
    FrameError,
    ProfileError,
    SandboxError,
    SandboxGoneError,
    SandboxProviderError,
    SandboxUnavailableError,
    SessionEndedError,
)
from sandbox.job import CommandJob, Job, PythonJob
from sandbox.profile import Mount, SandboxProfile
from sandbox.protocol import Availability, RunRequest, Sandbox, StartedSandbox
from sandbox.result import (
    ExecResult,
    Isolation,
    RaisedError,
    RefusedFile,
    Resources,
    Verdict,
)
from sandbox.session import SandboxSession
from sandbox.session_limits import SessionLimits

__all__ = [
    "Availability",
    "CommandJob",
    "Conversation",
    "ExecResult",
    "FrameError",
    "Isolation",
    "Job",
    "Mount",
    "ProfileError",
    "PythonJob",
    "RaisedError",
    "RefusedFile",
    "Resources",
    "RunRequest",
    "Sandbox",
    "SandboxError",
    "SandboxGoneError",
    "SandboxProfile",
    "SandboxProviderError",
    "SandboxSession",
    "SandboxUnavailableError",
    "SessionEndedError",
    "SessionLimits",
    "StartedSandbox",
    "Verdict",
]
