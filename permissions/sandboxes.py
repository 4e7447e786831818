"""Which sandboxes this machine can give, by boundary, and the configured profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.logs import get_logger
from sandbox import SandboxProfile
from sandbox.pool import ArmedPool

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from permissions.config import BrokerConfig
    from permissions.vocabulary import Isolation
    from sandbox import Sandbox
    from sandbox.base import ArmingSandbox

_log = get_logger("sandboxes")

MOST_ARMED = 8
"""Armed sandboxes of one backend, of all tools together; each holds its own Python in memory."""


async def available(config: BrokerConfig, stack: AsyncExitStack) -> dict[Isolation, Sandbox]:
    """Opens each configured backend that can run here. The first one of a boundary wins.

    Unless the configuration says otherwise, each keeps sandboxes armed for the tools in use.
    """
    found: dict[Isolation, Sandbox] = {}
    for name in config.sandbox.backends:
        backend = _backend(name)
        answer = await backend.probe()
        if not answer.available:
            _log.info("sandbox_missing", backend=name, missing=answer.missing)
            continue
        armed = config.sandbox.armed
        if armed == 0 or backend.isolation in found:
            stack.push_async_callback(backend.aclose)
            found.setdefault(backend.isolation, backend)
            continue
        pool = ArmedPool(backend, minimum=armed, maximum=max(armed, MOST_ARMED))
        found[backend.isolation] = await stack.enter_async_context(pool)
    return found


def profiles(config: BrokerConfig) -> dict[str, SandboxProfile]:
    """The named profiles of the configuration."""
    return {
        name: SandboxProfile(
            image=entry.image,
            memory_bytes=entry.memory_mb * 1024 * 1024,
            processes=entry.processes,
            cpus=entry.cpus,
            cpu_seconds=entry.cpu_seconds,
            wall_seconds=entry.wall_seconds,
        )
        for name, entry in config.sandbox.profiles.items()
    }


def _backend(name: str) -> ArmingSandbox:
    match name:
        case "docker":
            from sandbox.docker import DockerSandbox

            return DockerSandbox()
        case "bubblewrap":
            from sandbox.bubblewrap import BubblewrapSandbox

            return BubblewrapSandbox()
        case _:
            raise ValueError(f"unknown sandbox backend {name!r}")
