"""A container's launch by its runtime, what it leaves on the disk, and the removal of that.

The runtime stays in the foreground: it is our child, waits for process 1, and removes the
container when that ends. Each container has a folder (`bundle`) named by its owner's lease. When
the owner is killed, process 1 reads end of file and leaves, and the runtime cleans up by itself;
what a killed runtime left is removed by that lease, with the runtime's own `delete --force`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from sandbox.backends.launcher import started
from sandbox.backends.oci.runtimes import (
    GLOBAL_ARGUMENTS,
    KERNEL_RUNTIME,
    NAMES,
    SYSTEM_PATH,
    installed,
)
from sandbox.errors import SandboxProviderError
from sandbox.isolation.cgroup import reap_named, remove_named
from sandbox.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox.backends.launcher import Launched
    from sandbox.backends.oci.runtimes import Runtime
    from sandbox.isolation.cgroup import RunGroup

FOLDER = Path("/run/wardline/oci")
BUNDLES, STATE = FOLDER / "bundles", FOLDER / "state"
GROUPS = "wardline-oci"
"""Control groups of runtimes that insist on making some."""

DELETE_SECONDS = 30

_JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"'
"""Enters the groups in front of the `--`, then becomes the command behind it."""
_LOOK_SECONDS = 0.001
_CONFIGURATION, _PID_FILE = "config.json", "pid"


@dataclass(frozen=True, slots=True)
class Container:
    """A container by its name, whether it is there or not."""

    name: str
    lease: str

    @property
    def bundle(self) -> Path:
        """Its folder."""
        return BUNDLES / f"{self.lease}_{self.name}"

    def is_abandoned(self) -> bool:
        """True when nobody can be using it."""
        lease = Lease.parse(self.lease)
        return lease is None or lease.is_abandoned()

    async def process_id(self) -> int:
        """Of process 1, which runs: the runtime writes it down a moment after it started it."""
        while True:
            with suppress(OSError, ValueError):
                return int((self.bundle / _PID_FILE).read_text("ascii"))
            await anyio.sleep(_LOOK_SECONDS)


@contextmanager
def launched(
    container: Container,
    runtime: Runtime,
    configuration: Mapping[str, Any],
    *,
    view: int,
    group: RunGroup,
) -> Iterator[Launched]:
    """Starts a container; on leaving it is gone, and every descriptor closed.

    Args:
        container: a new one.
        runtime: that starts it.
        configuration: its `config.json`.
        view: descriptor of the mount namespace to start it in.
        group: of the run. A runtime with its own kernel is started within it, because that
            kernel is several processes; else process 1 is put into it before its job comes.

    Raises:
        SandboxProviderError: the runtime cannot be started.
    """
    with ExitStack() as stack:
        stack.callback(partial(_remove, container, {runtime.name: runtime}))
        try:
            _write(container, configuration)
        except OSError as err:
            raise SandboxProviderError(f"a container cannot be written down: {err}") from err
        yield stack.enter_context(
            started(
                [
                    *(_joined(group) if runtime.name == KERNEL_RUNTIME else ()),
                    "/usr/bin/nsenter",
                    f"--mount=/proc/self/fd/{view}",
                    "--",
                    *_command(runtime),
                    "run",
                    "--bundle",
                    str(container.bundle),
                    "--pid-file",
                    str(container.bundle / _PID_FILE),
                    container.name,
                ],
                name=runtime.name,
                environment=_environment(container),
                # Of the runtime alone: runtimes close what they inherit, and so does the
                # runner before there is a job.
                descriptors=(view,),
            )
        )


def make_folders() -> None:
    """Makes the folders of all containers, closed to everybody but root."""
    for path in (BUNDLES, *(STATE / name for name in NAMES)):
        path.mkdir(parents=True, exist_ok=True)
    for path in (BUNDLES, STATE):
        path.chmod(0o700)


def containers() -> list[Container]:
    """Every container of ours that has a folder."""
    found = []
    with suppress(OSError):
        for path in sorted(BUNDLES.iterdir()):
            lease, _, name = path.name.rpartition("_")
            found.append(Container(name, lease))
    return found


def reap() -> int:
    """Removes the containers of owners that are gone; gives their number."""
    abandoned = [container for container in containers() if container.is_abandoned()]
    runtimes = installed() if abandoned else {}
    for container in abandoned:
        _remove(container, runtimes)
    reap_named(GROUPS)
    return len(abandoned)


def _command(runtime: Runtime) -> list[str]:
    return [str(runtime.path), *GLOBAL_ARGUMENTS[runtime.name], "--root", str(_state(runtime))]


def _environment(container: Container) -> dict[str, str]:
    """Of a runtime. crun first makes a file to start itself again from: where we remove it."""
    return {"PATH": SYSTEM_PATH, "_LIBCONTAINER_STATEDIR": str(container.bundle)}


def _joined(group: RunGroup) -> list[str]:
    return ["/bin/sh", "-c", _JOIN, "sh", *map(str, set(group.folders.values())), "--"]


def _state(runtime: Runtime) -> Path:
    return STATE / runtime.name


def _write(container: Container, configuration: Mapping[str, Any]) -> None:
    container.bundle.mkdir(mode=0o700)
    text = json.dumps(configuration, separators=(",", ":"))
    (container.bundle / _CONFIGURATION).write_text(text, "ascii")


def _remove(container: Container, runtimes: Mapping[str, Runtime]) -> None:
    """Removes whatever of a container is there. A runtime that was let do so has done it."""
    for runtime in runtimes.values():
        path = _state(runtime) / container.name
        if not path.exists():
            continue
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                [*_command(runtime), "delete", "--force", container.name],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                env=_environment(container),
                cwd="/",
                timeout=DELETE_SECONDS,
            )
        # One that was killed before it had written its state does not know the container.
        shutil.rmtree(path, ignore_errors=True)
    remove_named(GROUPS, container.bundle.name)
    # By name first, which takes no descriptor: there may be none.
    with suppress(OSError):
        for name in (_CONFIGURATION, _PID_FILE):
            (container.bundle / name).unlink(missing_ok=True)
        container.bundle.rmdir()
        return
    shutil.rmtree(container.bundle, ignore_errors=True)
