"""Disposable sandboxes without the broker: a job in, a value and a verdict out.

Names are loaded on first use, so that no backend costs the import of another one's SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wardline._loading import from_homes

if TYPE_CHECKING:
    from sandbox.backends.bubblewrap import BubblewrapSandbox
    from sandbox.backends.docker import DockerSandbox
    from sandbox.backends.oci import OciSandbox
    from sandbox.conversation import Conversation
    from sandbox.egress import Egress, EgressRule, HeaderSecret
    from sandbox.egress.sandbox import EgressSandbox
    from sandbox.egress.secrets import EnvironmentSecrets, FileSecrets, MemorySecrets
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
    from sandbox.pool.pool import PrewarmedPool
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
    from sandbox.workspace import Change, ChangeSet, WorkspaceOverlay

__all__ = [
    "Availability",
    "BubblewrapSandbox",
    "Change",
    "ChangeSet",
    "CommandJob",
    "Conversation",
    "DockerSandbox",
    "Egress",
    "EgressRule",
    "EgressSandbox",
    "EnvironmentSecrets",
    "ExecResult",
    "FileSecrets",
    "FrameError",
    "HeaderSecret",
    "Isolation",
    "Job",
    "MemorySecrets",
    "Mount",
    "OciSandbox",
    "PrewarmedPool",
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
    "WorkspaceOverlay",
]

_HOMES = {
    "PrewarmedPool": "sandbox.pool.pool",
    "Availability": "sandbox.protocol",
    "BubblewrapSandbox": "sandbox.backends.bubblewrap",
    "Change": "sandbox.workspace",
    "ChangeSet": "sandbox.workspace",
    "CommandJob": "sandbox.job",
    "Conversation": "sandbox.conversation",
    "DockerSandbox": "sandbox.backends.docker",
    "Egress": "sandbox.egress",
    "EgressRule": "sandbox.egress",
    "EgressSandbox": "sandbox.egress.sandbox",
    "EnvironmentSecrets": "sandbox.egress.secrets",
    "ExecResult": "sandbox.result",
    "FileSecrets": "sandbox.egress.secrets",
    "FrameError": "sandbox.errors",
    "HeaderSecret": "sandbox.egress",
    "Isolation": "sandbox.result",
    "Job": "sandbox.job",
    "MemorySecrets": "sandbox.egress.secrets",
    "Mount": "sandbox.profile",
    "OciSandbox": "sandbox.backends.oci",
    "ProfileError": "sandbox.errors",
    "PythonJob": "sandbox.job",
    "RaisedError": "sandbox.result",
    "RefusedFile": "sandbox.result",
    "Resources": "sandbox.result",
    "RunRequest": "sandbox.protocol",
    "Sandbox": "sandbox.protocol",
    "SandboxError": "sandbox.errors",
    "SandboxGoneError": "sandbox.errors",
    "SandboxProfile": "sandbox.profile",
    "SandboxProviderError": "sandbox.errors",
    "SandboxSession": "sandbox.session",
    "SandboxUnavailableError": "sandbox.errors",
    "SessionLimits": "sandbox.session_limits",
    "SessionEndedError": "sandbox.errors",
    "StartedSandbox": "sandbox.protocol",
    "Verdict": "sandbox.result",
    "WorkspaceOverlay": "sandbox.workspace",
}

if not TYPE_CHECKING:  # a checker would otherwise let any name pass
    __getattr__ = from_homes(__name__, _HOMES)
