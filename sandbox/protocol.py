"""The port every sandbox backend implements; `sandbox.conformance` is its contract as tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from sandbox.errors import SandboxUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sandbox.job import Job
    from sandbox.profile import SandboxProfile
    from sandbox.result import ExecResult, Isolation
    from sandbox.session import SessionBounds
    from sandbox.supervisor.wire import Order
    from sandbox.workspace import WorkspaceOverlay


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


class Sandbox(Protocol):
    """Runs jobs, each in a sandbox of its own that is gone when `run` returns."""

    @property
    def name(self) -> str:
        """The backend: `docker`, `oci`, `bubblewrap`."""
        ...

    @property
    def isolation(self) -> Isolation:
        """The boundary this backend gives with the default runtime."""
        ...

    async def probe(self) -> Availability:
        """Looks whether this machine has what the backend needs. Never raises for a lack."""
        ...

    async def run(
        self,
        job: Job,
        profile: SandboxProfile,
        *,
        files: Mapping[str, bytes] | None = None,
        workspace: WorkspaceOverlay | None = None,
    ) -> ExecResult:
        """Runs one job. `files` are put below `/box`, its working directory, first.

        With a `workspace` its overlay is at `/workspace`, and that is the working directory. What
        the job changed there is for the overlay's owner to judge when this has returned.

        Cancellation kills the sandbox and waits, shielded, until it is gone.

        Raises:
            ProfileError: the job, a file name or a mount may not be run as written.
            SandboxUnavailableError: something is missing here; nothing ran.
            SandboxProviderError: the provider failed; whether the job ran is unknown.
        """
        ...

    async def aclose(self) -> None:
        """Removes whatever is left, also of owners that died. Safe to call twice."""
        ...


class Armed(Protocol):
    """A started sandbox that waits for its one job. Whoever has it destroys it."""

    def is_alive(self) -> bool:
        """True while it waits. Looks without waiting; a dead one must not be spent."""
        ...

    async def spend(self, order: Order) -> ExecResult:
        """Hands over the job and gives its end. Once only, unless its interpreter is kept.

        When it returns or raises, no process of the job is left; what is left of the sandbox
        itself is for `destroy`.

        Raises:
            SandboxUnavailableError: it runs another Python than the caller; nothing ran.
            SandboxProviderError: the provider failed; whether the job ran is unknown.
        """
        ...

    async def destroy(self) -> None:
        """Removes what is left, spent or not, shielded from cancellation. Safe to call twice."""
        ...


class ArmingSandbox(Sandbox, Protocol):
    """A sandbox whose start can be had apart from its job (`sandbox.pool.pool`)."""

    async def arm(
        self,
        profile: SandboxProfile,
        *,
        code_roots: Sequence[Path],
        preload: Sequence[str],
        keep_seconds: float,
    ) -> Armed:
        """Starts a sandbox up to the point where its job is handed over.

        Args:
            profile: its walls.
            code_roots: as of the `PythonJob` to come.
            preload: `module` or `module:attribute.path`, looked up inside beforehand, within
                the same walls; what cannot be found is left to the job to tell.
            keep_seconds: how long it may be kept until it is spent.

        Raises:
            ProfileError: a mount or code root may not be shown.
            SandboxUnavailableError: something is missing here.
            SandboxProviderError: the provider failed, or a module ended the interpreter.
        """
        ...


@runtime_checkable
class KeepingSandbox(Sandbox, Protocol):
    """A sandbox that can keep one interpreter for several orders (`sandbox.session`)."""

    async def keep(
        self,
        profile: SandboxProfile,
        *,
        code_roots: Sequence[Path],
        preload: Sequence[str],
        bounds: SessionBounds,
    ) -> Armed:
        """Starts a sandbox as `arm` does, whose interpreter lives on after an order.

        `spend` may be called again, one call at a time, as long as the last one ended as `ok` or
        `raised` and it `is_alive`. Between two orders everything inside is stopped. It leaves
        by itself when no order comes within `bounds`.

        Raises:
            ProfileError: as `arm`.
            SandboxUnavailableError: something is missing here.
            SandboxProviderError: as `arm`.
        """
        ...


def keeping(sandbox: Sandbox) -> KeepingSandbox:
    """The same sandbox, as one that keeps interpreters.

    Raises:
        SandboxUnavailableError: it does not.
    """
    if not isinstance(sandbox, KeepingSandbox):
        raise SandboxUnavailableError(
            f"the backend {sandbox.name!r} keeps no interpreter between calls",
            "use a sandbox once, or another backend",
        )
    return sandbox
