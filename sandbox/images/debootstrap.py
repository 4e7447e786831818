"""A minimal root file system with the caller's minor version of Python, made by debootstrap.

From this machine's Debian release, whose Python must be that version. Nothing in it is set-id,
and what nothing at run time reads (documentation, caches, device nodes) is taken out.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sandbox.errors import SandboxProviderError, SandboxUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEBOOTSTRAP_SECONDS = 1200

_PACKAGES = "python3,libpython3-stdlib,ca-certificates"
_STRIP = (
    "boot",
    "usr/share/doc",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/info",
    "usr/share/bash-completion",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
)
"""Directories that are emptied: nothing in them runs."""


def python_tag() -> str:
    """The caller's minor version, which the Python inside must have: `3.11`."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


@contextmanager
def bootstrapped(progress: Callable[[str], None]) -> Iterator[tuple[IO[bytes], str]]:
    """The file system as a tar archive, and its origin, for a record. Minutes.

    Args:
        progress: called with one line of text per step.

    Raises:
        SandboxUnavailableError: no Debian, no debootstrap, not root, or another Python.
        SandboxProviderError: there is no room for it.
    """
    with tempfile.TemporaryDirectory(prefix="wardline-image-") as folder:
        root = Path(folder, "root")
        suite = _debootstrap(root, progress)
        with tempfile.TemporaryFile(prefix="wardline-image-") as archive:
            try:
                with tarfile.open(fileobj=archive, mode="w") as tar:
                    tar.add(root, arcname=".", filter=kept)
            except OSError as err:
                raise SandboxProviderError(f"an image cannot be kept: {err.strerror}") from err
            archive.seek(0)
            yield archive, f"debootstrap:{suite}"


def _debootstrap(root: Path, progress: Callable[[str], None]) -> str:
    release, suite = _debian_release()
    tool = shutil.which("debootstrap", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if tool is None or os.geteuid() != 0:
        raise SandboxUnavailableError(
            "no registry answers, and debootstrap is missing or this is not root",
            "install debootstrap and run as root, or pull python:"
            f"{python_tag()}-slim on a machine with a network and `docker load` it",
        )
    command = [tool, "--variant=minbase", f"--include={_PACKAGES}", suite, str(root)]
    follow(command, progress)
    inside = sorted(root.glob("usr/bin/python3.[0-9]*"))
    version = inside[0].name.removeprefix("python") if inside else "none"
    if version != python_tag():
        raise SandboxUnavailableError(
            f"{release} has Python {version}, the caller runs {python_tag()}",
            f"run the caller with Python {version}, or use a registry's python image",
        )
    return suite


def _debian_release() -> tuple[str, str]:
    try:
        text = Path("/etc/os-release").read_text("utf-8", errors="replace")
    except OSError:
        text = ""
    facts = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    suite = facts.get("VERSION_CODENAME", "").strip('"')
    if facts.get("ID", "").strip('"') != "debian" or not suite.isalpha():
        raise SandboxUnavailableError(
            "no registry answers, and this machine is not Debian, so it cannot bootstrap",
            f"`docker load` an image of python:{python_tag()}-slim",
        )
    return facts.get("PRETTY_NAME", suite).strip('"'), suite


def follow(
    command: list[str], progress: Callable[[str], None], *, seconds: float = DEBOOTSTRAP_SECONDS
) -> None:
    """Runs debootstrap to its end, or kills it and all it started.

    Args:
        command: its argv. Run among mounts of its own: those it makes end with it.
        progress: called with its steps.
        seconds: it may take.

    Raises:
        SandboxUnavailableError: it cannot be started, failed, or took longer.
    """
    try:
        process = subprocess.Popen(
            ["/usr/bin/unshare", "--mount", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **_proxies()},
            process_group=0,
        )
    except OSError as err:
        raise SandboxUnavailableError(
            f"debootstrap cannot be started: {err.strerror}", "install util-linux"
        ) from err
    last, late = "", threading.Timer(seconds, _kill, (process,))
    with process:
        late.start()
        try:
            for line in process.stdout or ():
                last = line.strip() or last
                if last.startswith(("I: Retrieving", "I: Extracting", "I: Configuring")):
                    progress(last[:120])
            process.wait()
        finally:
            late.cancel()
            _kill(process)
    if process.returncode != 0:
        raise SandboxUnavailableError(
            f"debootstrap failed, or took over {seconds:g} seconds: {last!r:.200}",
            "look at its message; it needs a Debian mirror and the archive's keyring",
        )


def _kill(process: subprocess.Popen[str]) -> None:
    if process.returncode is None:  # not waited for, so its number is still its own
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _proxies() -> dict[str, str]:
    names = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return {name: os.environ[name] for name in names if name in os.environ}


def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leaves out device nodes, set-id bits and what nothing at run time reads."""
    name = entry.name.removeprefix("./")
    if any(name.startswith(path + "/") for path in _STRIP) or entry.isdev():
        return None
    entry.mode &= 0o1777
    return entry
