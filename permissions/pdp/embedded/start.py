"""Starts an evaluator process, and has it ready before anybody asks it.

It is started from exactly the paths the broker itself was imported from, never from the
current folder (which may belong to the agent), with an otherwise empty environment.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

import permissions
from permissions.errors import PdpUnavailableError
from permissions.pdp.embedded.process import Evaluator

if TYPE_CHECKING:
    from permissions.pdp.embedded.process import Limits
    from permissions.pdp.linker.linked import LinkedBundle


async def start_evaluator(bundle: bytes, linked: LinkedBundle, limits: Limits) -> Evaluator:
    """Starts a process, loads the bundle (JSON: `modules`, `data`) and warms it up.

    Raises:
        PolicyLoadError: the engine refuses the bundle.
        PdpUnavailableError: it cannot be started, or died while it started.
        PdpTimeoutError: it was not ready in time.
    """
    try:
        with anyio.CancelScope(shield=True):  # milliseconds, or a process nobody knows is left
            evaluator = await anyio.to_thread.run_sync(_spawn, limits)
    except OSError as err:
        raise PdpUnavailableError(
            f"no policy evaluator can be started: {err.strerror}"
        ) from err
    try:
        await evaluator.load(bundle, linked)
    except BaseException:
        evaluator.kill()
        evaluator.reap()
        raise
    return evaluator


def _spawn(limits: Limits) -> Evaluator:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        try:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-s",
                    "-S",
                    "-m",
                    "permissions.pdp.embedded.worker",
                    str(theirs.fileno()),
                ],
                env={"PYTHONPATH": ":".join(_import_roots()), "PYTHONDONTWRITEBYTECODE": "1"},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
            )
        except OSError:
            ours.close()
            raise
    return Evaluator(process, ours, limits)


def _import_roots() -> list[str]:
    package = str(Path(permissions.__file__).resolve().parents[1])
    return [package, *(path for path in sys.path if Path(path).is_absolute())]
