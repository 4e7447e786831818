"""What a sandbox may use, as one frozen value. The default is the tightest that runs Python.

A profile is the whole promise: two runs with the same `digest` had the same isolation, and
anything kept ready for a run must be kept by that digest, so that no rule is lost on the way.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from sandbox.errors import ProfileError
from sandbox.network.rules import HANDLE, Egress

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

USER = 65534
"""The user and group of a job: nobody. A container without a user namespace gets another id."""

WORK = "/box"
"""Working directory: a fresh file system of `work_bytes`, with the files of the call in it."""
OUT = "/box/out"
"""What a job leaves here comes back as `files_out`."""
TMP = "/tmp"  # noqa: S108 - a path inside the sandbox, on a file system of its own
EGRESS = "/egress"
"""The folder with the socket of the proxy, in a sandbox with egress."""
CODE = "/code"
"""Code roots are mounted below it, read-only: `/code/0`, `/code/1`, ..."""

MEBIBYTE = 1024 * 1024

_IMAGE = re.compile(r"^(?:[a-z0-9][a-z0-9._/:-]{0,200}@)?sha256:[0-9a-f]{64}$")
_RUNTIME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,40}$")
_VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")
_LOADER = re.compile(
    r"^(LD_.*|PYTHON.*|BASH_ENV|ENV|SHELLOPTS|BASHOPTS|PS4|IFS|PROMPT_COMMAND|NODE_OPTIONS"
    r"|PERL5.*|PERLLIB|RUBY(OPT|LIB)|GCONV_PATH|GLIBC_TUNABLES|LOCPATH|NLSPATH|MALLOC_.*"
    r"|HOSTALIASES|GIT_.*|EDITOR|VISUAL|PAGER|PATH|HOME|TMPDIR)$"
)
"""Variables that make a program load or run something else, and those the sandbox sets."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A host file or directory shown read-only inside.

    No target may lie in another one: what is shown there, a link for example, would decide on
    the host where it comes to lie (CVE-2026-87766 of bubblewrap).

    Attributes:
        source: absolute host path. Checked when the sandbox starts (`sandbox.isolation.mounts`).
        target: absolute path inside; not below a directory the sandbox owns.
    """

    source: Path
    target: str

    def __post_init__(self) -> None:
        """Refuses a target that would cover something of the sandbox's own."""
        target = PurePosixPath(self.target)
        if not target.is_absolute() or ".." in target.parts or str(target) != self.target:
            raise ProfileError(
                f"mount target {self.target!r:.120} is not a plain absolute path"
            )
        if len(target.parts) < 2 or target.parts[1] in _OWN_DIRECTORIES:
            raise ProfileError(f"mount target {self.target!r:.120} is the sandbox's own")


_OWN_DIRECTORIES = frozenset(
    {
        "bin",
        "box",
        "code",
        "dev",
        "etc",
        "lib",
        "lib64",
        "proc",
        "sbin",
        "sys",
        "tmp",
        "usr",
        "workspace",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxProfile:
    """Limits and isolation of one run.

    Attributes:
        image: container image by digest (`sha256:...` or `name@sha256:...`); None is the
            default image built for this Python, whose digest is put into the record.
        runtime: OCI runtime by name (`runc`, `runsc`); None is the backend's default.
        network: "none", a loopback interface and no route; or an `Egress`, the same with a
            proxy behind a unix socket.
        memory_bytes: memory with swap, of all processes together; work and tmp count too.
        processes: processes and threads together.
        cpus: share of processor time (1.0 is one processor).
        cpu_seconds: processor time of one process.
        open_files: descriptors of one process.
        work_bytes: size of `/box`, which holds the files in and out.
        tmp_bytes: size of `/tmp`.
        files: entries on each of the two, and files that may come out.
        output_bytes: stdout and stderr together; more ends the run.
        value_bytes: the JSON value a Python job returns; more ends the run.
        files_out_bytes: all files out together; what does not fit is refused and reported.
        wall_seconds: time from handing over the job to the kill.
        environment: the job's variables, besides PATH, HOME, TMPDIR and LANG.
        mounts: further read-only mounts.
        secret_files: files of one call by relative path, and the `secret://` handle of each.
        digest: `sha256:<hex>` over all of it: the only key a sandbox may be kept by.

    Raises:
        ProfileError: a value out of bounds, or a variable that loads code.
    """

    image: str | None = None
    runtime: str | None = None
    network: Literal["none"] | Egress = "none"
    memory_bytes: int = 256 * MEBIBYTE
    processes: int = 64
    cpus: float = 1.0
    cpu_seconds: int = 30
    open_files: int = 256
    work_bytes: int = 64 * MEBIBYTE
    tmp_bytes: int = 16 * MEBIBYTE
    files: int = 1024
    output_bytes: int = MEBIBYTE
    value_bytes: int = MEBIBYTE
    files_out_bytes: int = 16 * MEBIBYTE
    wall_seconds: float = 30.0
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    secret_files: Mapping[str, str] = field(default_factory=dict)
    digest: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Checks every value, so that no backend has to."""
        for name in ("environment", "secret_files"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            # bool is an int, NaN compares false: both are refused here
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ProfileError(f"profile: {name} must be a number, not {value!r:.40}")
            if not low <= value <= high:
                raise ProfileError(
                    f"profile: {name}={value!r:.40} is outside {low} to {high}; choose within"
                )
        self._check_egress()
        self._check_mounts()
        if self.image is not None and not _IMAGE.fullmatch(self.image):
            raise ProfileError(
                f"profile: image={self.image!r:.120} is not pinned by digest; use sha256:..."
            )
        if self.runtime is not None and not _RUNTIME.fullmatch(self.runtime):
            raise ProfileError(f"profile: runtime={self.runtime!r:.60} is not a runtime's name")
        for name, text in self.environment.items():
            _check_variable(name, text)
        text = json.dumps(self.document(), sort_keys=True, separators=(",", ":"))
        digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        object.__setattr__(self, "digest", digest)

    def _check_egress(self) -> None:
        if self.network != "none" and not isinstance(self.network, Egress):
            raise ProfileError(
                f"profile: network={self.network!r:.40} is neither 'none' nor an Egress"
            )
        for handle in self.secret_files.values():
            if not HANDLE.fullmatch(handle):
                raise ProfileError(f"profile: {handle!r:.80} is no handle (secret://name)")

    def _check_mounts(self) -> None:
        targets = [PurePosixPath(mount.target) for mount in self.mounts]
        for index, target in enumerate(targets):
            for other in targets[:index] + targets[index + 1 :]:
                if target.is_relative_to(other):
                    raise ProfileError(
                        f"profile: mount target {str(target)!r:.120} lies in or is"
                        f" {str(other)!r:.120}, another one, whose files would decide where it"
                        " comes to lie; give each a target of its own"
                    )

    def enforced(self, *, has_workspace: bool) -> dict[str, object]:
        """What every backend puts around a run, as plain JSON for the record.

        Args:
            has_workspace: whether the job works on one.
        """
        return {
            "profile": self.digest,
            "limits": self.document()["limits"],
            "user": USER,
            "capabilities": [],
            "no_new_privileges": True,
            "read_only_root": True,
            "network": "none",
            "mounts": [mount.target for mount in self.mounts],
            "workspace": "overlay" if has_workspace else None,
        }

    def document(self) -> dict[str, Any]:
        """The profile as plain JSON, for `digest`. Holds the variables' values: not for a log."""
        limits = {name: getattr(self, name) for name in _BOUNDS}
        return {
            "image": self.image,
            "runtime": self.runtime,
            "network": self.network if self.network == "none" else self.network.document(),
            "limits": limits,
            "environment": dict(self.environment),
            "mounts": [[str(mount.source), mount.target] for mount in self.mounts],
            "secret_files": dict(self.secret_files),
        }

    def __hash__(self) -> int:
        """Over the whole profile."""
        return hash(self.digest)


_BOUNDS: dict[str, tuple[float, float]] = {
    "memory_bytes": (32 * MEBIBYTE, 1024 * 1024 * MEBIBYTE),
    "processes": (4, 32768),
    "cpus": (0.05, 1024),
    "cpu_seconds": (1, 86400),
    "open_files": (32, 65536),
    "work_bytes": (65536, 1024 * 1024 * MEBIBYTE),
    "tmp_bytes": (65536, 1024 * 1024 * MEBIBYTE),
    "files": (16, 1048576),
    "output_bytes": (0, 1024 * MEBIBYTE),
    "value_bytes": (64, 64 * MEBIBYTE),
    "files_out_bytes": (0, 1024 * MEBIBYTE),
    "wall_seconds": (0.05, 86400),
}


def _check_variable(name: str, text: str) -> None:
    if not _VARIABLE.fullmatch(name):
        raise ProfileError(f"profile: environment variable {name!r:.60} has no plain name")
    if _LOADER.fullmatch(name):
        raise ProfileError(
            f"profile: environment variable {name!r} can load code or is set by the sandbox;"
            " leave it out"
        )
    if "\0" in text or len(text) > 32768:
        raise ProfileError(f"profile: environment variable {name!r} holds NUL or is too long")
