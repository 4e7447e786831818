"""A backend with a runtime that puts a kernel of its own around each job: gVisor, Kata.

What it does not protect from: a bug of that kernel or of its monitor. The limits of the profile
are asked for as always, but it is that kernel which keeps them, and it may keep fewer: see
`wardline sandbox probe`, which has a column for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox.errors import SandboxUnavailableError
from sandbox.protocol import Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.profile import SandboxProfile
    from sandbox.protocol import Availability, RunRequest, StartedSandbox
    from sandbox.result import Isolation


KERNEL_RUNTIMES = frozenset({"runsc", "kata", "kata-runtime", "io.containerd.kata.v2"})
"""Runtimes that put a kernel of their own between the job and the host's."""


def kernel_runtime(facts: Mapping[str, object]) -> str | None:
    """A runtime with a kernel of its own among a backend's facts; None when it has none."""
    runtimes = facts.get("runtimes")
    known = runtimes if isinstance(runtimes, list) else []
    return min(KERNEL_RUNTIMES.intersection(known), default=None)


class KernelSandbox(Sandbox):
    """A `Sandbox` whose jobs never run on the host's kernel.

    Args:
        backend: has such a runtime; stays its owner's to close.
        runtime: one of `KERNEL_RUNTIMES`, as the backend names it.
    """

    isolation: Isolation = "kernel"

    def __init__(self, backend: Sandbox, runtime: str) -> None:
        self.name = backend.name
        self._backend = backend
        self._runtime = runtime

    async def probe(self) -> Availability:
        """See `Sandbox`."""
        return await self._backend.probe()

    async def start(self, request: RunRequest) -> StartedSandbox:
        """See `Sandbox`.

        Raises:
            SandboxUnavailableError: the profile names a runtime on the host's own kernel.
        """
        inner = replace(request, profile=self._on_its_kernel(request.profile))
        return await self._backend.start(inner)

    def _on_its_kernel(self, profile: SandboxProfile) -> SandboxProfile:
        runtime = profile.runtime or self._runtime
        if runtime not in KERNEL_RUNTIMES:
            raise SandboxUnavailableError(
                f"runtime {runtime!r} shares the host's kernel",
                f"leave the profile's runtime out, or name one of {sorted(KERNEL_RUNTIMES)}",
            )
        return replace(profile, runtime=runtime)

    async def aclose(self) -> None:
        """Nothing: the backend is closed by its owner."""
