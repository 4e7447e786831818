"""How process 1 of every sandbox is started, whichever backend starts it."""

from __future__ import annotations

import importlib.util
import marshal
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from sandbox.profile import TMP, WORK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.profile import SandboxProfile

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
"""All that process 1 gets. The job's own variables travel with the job, so that a sandbox can
be started before its job is known and `/proc/1/environ` has nothing to tell."""

JOB_ENVIRONMENT = {
    **ENVIRONMENT,
    "HOME": WORK,
    "TMPDIR": TMP,
    # Compiled modules in a workspace are code that nobody can read: a change set holds them
    # only when somebody means to write one.
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""What every job has besides its profile's own variables, which may say otherwise."""

PAGE = 4096

PENDING_SIGNALS = 256
"""Queued signals and timers of a job. The kernel counts them by user; a standard signal needs
no room in the queue."""


_JOINT = re.compile(
    r"^from (?:__future__|sandbox\.guest\.\w+) import (?:\([^)]*\)|[^(\n]*)\n", re.MULTILINE
)


# gVisor makes what it inherits non-blocking on the host, and finds it so where it inherits it twice.
_START = """\
import _frozen_importlib_external, marshal, posix
posix.set_blocking(0, True)
posix.set_blocking(1, True)
def take(size):
    data = b""
    while len(data) < size:
        data += posix.read(0, size - len(data)) or posix._exit(0)
    return data
magic, code, source = (take(int.from_bytes(take(4), "big")) for _ in "123")
exec(marshal.loads(code) if _frozen_importlib_external.MAGIC_NUMBER == magic else source)
"""


def python_arguments() -> tuple[str, ...]:
    """Arguments that make a Python take `runner_program` from its channel and run it.

    Isolated and without `site`. The program is no argument, because a Python copies those a
    dozen times.
    """
    return ("-I", "-S", "-B", "-c", _START)


@cache
def runner_program() -> bytes:
    """What is sent first: the runner, compiled, and its source for another Python's byte code.

    Compiling it takes as long as starting a Python. A command may run in an image with a
    Python of another version, which knows its byte code by another number.
    """
    texts = (
        resources.files("sandbox.guest").joinpath(name).read_text("utf-8")
        for name in ("output.py", "job.py", "runner.py")
    )
    body = "".join(_JOINT.sub("", text) for text in texts)
    # As a flag, because the statement imports a module besides.
    flag = annotations.compiler_flag
    code = compile(body, "<string>", "exec", flags=flag, dont_inherit=True, optimize=2)
    source = f"from __future__ import annotations\n{body}".encode()
    parts = (importlib.util.MAGIC_NUMBER, marshal.dumps(code), source)
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


@cache
def guest_program(name: str) -> str:
    """What makes the runner give one child several jobs (`session`), or speak with it."""
    text = resources.files("sandbox.guest").joinpath(f"{name}.py").read_text("utf-8")
    return "from __future__ import annotations\n" + _JOINT.sub("", text)


def rlimits(
    profile: SandboxProfile,
    *,
    memory_grouped: bool,
    processes_grouped: bool,
    own_kernel: bool = False,
) -> Mapping[str, int | None]:
    """Per-process limits (setrlimit(2), lower-case names) the runner puts on the job.

    Memory and process count are left to the control group when there is one: `RLIMIT_AS`
    counts address space nobody uses. Signals and queues, which a kernel counts by user, are
    limited only where it is the host's: another one shares them with nobody, and gVisor's
    takes no limit of them. Processes are limited there, because in its control group the
    host counts that kernel's own.
    """
    return {
        "nofile": profile.open_files,
        # One page above the file system's size, so that "no space" is met first.
        "fsize": max(profile.work_bytes, profile.tmp_bytes) + PAGE,
        "core": 0,
        "sigpending": None if own_kernel else PENDING_SIGNALS,
        "msgqueue": None if own_kernel else 0,
        "cpu": profile.cpu_seconds,
        "as": None if memory_grouped else profile.memory_bytes,
        "nproc": None if processes_grouped and not own_kernel else profile.processes,
    }
