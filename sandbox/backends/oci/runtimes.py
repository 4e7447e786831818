"""The OCI runtimes of this machine, and which of them may be used.

What is looked at is what a runtime says of itself (`--version`). A release with a known
escape from a container is refused: runc before 1.1.12 (CVE-2024-21626, a descriptor of the host left
open) and before 1.1 at all, crun before 1.0. A distribution mends old releases under their old
number and adds its own mark to it (`1.1.5+ds1`): such a one is taken, because its number says
nothing, and the record of a call names it. Not looked at: what the mark stands for.

Independent of that, no call depends on those faults being mended: the working folder is fixed,
the runner closes every descriptor before the job exists, and neither image nor job has a say
in the configuration.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import SandboxUnavailableError

PREFERENCE = ("crun", "runc")
"""Runtimes on the host's kernel, the quickest first."""

KERNEL_RUNTIME = "runsc"
"""gVisor's, with a kernel of its own."""

NAMES = (*PREFERENCE, KERNEL_RUNTIME)

GLOBAL_ARGUMENTS = {
    # The group of a run is ours, so that its counters outlive the container.
    "crun": ("--cgroup-manager=disabled",),
    "runc": (),
    "runsc": ("--ignore-cgroups", "--network=none"),
}

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What a runtime gets as its own `PATH`."""

_LEAST = {"crun": (1, 0, 0), "runc": (1, 1, 0)}
_MENDED = {"runc": (1, 1, 12)}
_VERSION = re.compile(r"\bversion (?:release-)?(\S+)")
_NUMBERS = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?(.*)")
_ASK_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Runtime:
    """An executable and the version it says it has."""

    name: str
    path: Path
    version: str


def installed() -> dict[str, Runtime]:
    """The runtimes on `PATH`, by name."""
    found = {}
    for name in NAMES:
        path = shutil.which(name)
        if path is not None:
            found[name] = Runtime(name, Path(path), _asked(path))
    return found


def _asked(path: str) -> str:
    try:
        done = subprocess.run(
            [path, "--version"],
            capture_output=True,
            check=False,
            env={},
            cwd="/",
            timeout=_ASK_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return version_in(done.stdout.decode("utf-8", "replace"))


def version_in(text: str) -> str:
    """The version in what `--version` prints; empty when there is none."""
    match = _VERSION.search(text)
    return match[1] if match else ""


def require_sound(name: str, version: str) -> None:
    """Refuses a release that is known to let a job out.

    Raises:
        SandboxUnavailableError: it is one, or does not say which release it is.
    """
    if name == KERNEL_RUNTIME and version:
        return  # named by its date
    match = _NUMBERS.fullmatch(version)
    if match is None:
        raise SandboxUnavailableError(
            f"{name} does not say its version ({version!r:.40})", f"install {name} again"
        )
    release = (int(match[1]), int(match[2]), int(match[3] or 0))
    mark = match[4]
    least = _LEAST[name] if _is_mended(mark) else _MENDED.get(name, _LEAST[name])
    if release < least:
        raise SandboxUnavailableError(
            f"{name} {version} is older than {'.'.join(map(str, least))}, the first release"
            " without a known escape from a container",
            f"upgrade {name}, or install your distribution's package",
        )


def _is_mended(mark: str) -> bool:
    """True for a distribution's mark (`+ds1`, `-0ubuntu1~22.04`), not for `-rc.1` or `-dev`."""
    return bool(mark) and not re.match(r"[-~+]?(rc|dev|alpha|beta)", mark)
