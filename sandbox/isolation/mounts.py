"""Which host paths may be shown inside: read-only, real paths, nothing that opens the host."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import ProfileError
from sandbox.profile import EGRESS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.profile import SandboxProfile

_NEVER_BELOW = tuple(map(Path, ("/proc", "/sys", "/dev", "/run", "/boot", "/etc", "/var/run")))
"""Kernel interfaces, sockets of daemons, and the host's own secrets."""

_NEVER_WHOLE = tuple(
    map(
        Path,
        ("/", "/root", "/home", "/var", "/var/lib", "/usr", "/opt", "/srv", "/mnt", "/tmp"),  # noqa: S108
    )
)
"""Directories that hold other people's things; something below them may be shown."""

_SECRET_NAMES = frozenset({".ssh", ".aws", ".gnupg", ".kube", ".docker", ".azure"})


def checked_source(path: Path) -> Path:
    """The real path of a mount's source.

    Raises:
        ProfileError: it does not exist, is neither a file nor a directory, or is (or resolves
            to) a place whose contents open the host or hold credentials.
    """
    try:
        real = path.resolve(strict=True)
        mode = real.stat().st_mode
    except (OSError, RuntimeError) as err:
        raise ProfileError(f"mount source {str(path)!r:.200} cannot be resolved") from err
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise ProfileError(f"mount source {str(path)!r:.200} is no regular file or directory")
    forbidden = (
        real in _NEVER_WHOLE
        or real == Path.home()
        or any(real.is_relative_to(place) for place in _NEVER_BELOW)
        or not _SECRET_NAMES.isdisjoint(real.parts)
    )
    if forbidden:
        raise ProfileError(
            f"mount source {str(path)!r:.200} (really {str(real)!r:.200}) would show the host's"
            " own files; name the one directory the job needs"
        )
    return real


def checked_sources(
    code_roots: Iterable[Path], profile: SandboxProfile, *, user: int | None
) -> list[Path]:
    """The real paths of code roots, after a look at the profile's mounts too.

    Args:
        code_roots: of the job to come.
        profile: whose mounts to check.
        user: the id the job will have on the host, None when it stays the caller's.

    Raises:
        ProfileError: as `checked_source`; or a code root is no directory, or closed to `user`;
            or the profile has egress or secrets, which no backend gives by itself.
    """
    has_way = any(mount.target == EGRESS for mount in profile.mounts)
    if profile.secret_files or (profile.network != "none") != has_way:
        raise ProfileError(
            "egress and secrets of a profile need `sandbox.egress.sandbox.EgressSandbox`"
        )
    for mount in profile.mounts:
        checked_source(mount.source)
    return [_checked_code_root(root, user=user) for root in code_roots]


def _checked_code_root(path: Path, *, user: int | None) -> Path:
    real = checked_source(path)
    status = real.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise ProfileError(f"code root {str(path)!r:.200} is not a directory")
    if user is not None and status.st_uid != user and status.st_mode & 0o005 != 0o005:
        raise ProfileError(
            f"code root {str(path)!r:.200} is closed to uid {user}, as which the job runs;"
            " `chmod o+rx` it or copy the code to a readable place"
        )
    return real
