"""Which host paths may be shown inside: read-only, real paths, nothing that opens the host."""

from __future__ import annotations

import pwd
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import ProfileError
from sandbox.profile import EGRESS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.profile import SandboxProfile

_NEVER_BELOW = tuple(
    map(
        Path,
        (
            *("/proc", "/sys", "/dev", "/run", "/boot", "/etc", "/var/run"),
            *("/var/log", "/var/spool", "/var/backups"),
            *("/var/lib/docker", "/var/lib/containerd", "/var/lib/containers"),
            *("/var/lib/kubelet", "/var/lib/etcd", "/var/lib/rancher", "/var/lib/libvirt"),
            *("/var/lib/lxc", "/var/lib/lxd", "/var/lib/incus", "/var/lib/machines"),
            *("/var/lib/mysql", "/var/lib/postgresql", "/var/lib/private", "/var/lib/wardline"),
        ),
    )
)
"""Kernel interfaces, sockets and data of daemons, and the host's own secrets."""

_NEVER_WHOLE = tuple(
    map(
        Path,
        ("/", "/root", "/home", "/var", "/var/lib", "/usr", "/opt", "/srv", "/mnt", "/tmp"),  # noqa: S108
    )
)
"""Directories that hold other people's things; something below them may be shown."""

_SECRET_NAMES = frozenset(
    {
        *(".ssh", ".aws", ".gnupg", ".kube", ".docker", ".azure", ".password-store"),
        *(".env", ".netrc", ".pgpass", ".pypirc", ".npmrc", ".my.cnf", ".git-credentials"),
        *(".vault-token", ".terraform.d", ".mozilla", ".thunderbird", ".boto", ".s3cfg"),
        *(".aliyun", ".bluemix", ".bunfig.toml", ".claude.json", ".gitcookies", ".mcp-auth"),
        *(".mylogin.cnf", ".oci", ".pulumi", ".rclone.conf", ".tccli", ".tsh", "_netrc"),
    }
)
"""Folders and files of credentials, in anybody's home or anywhere else."""

_SECRET_PATHS = tuple(
    tuple(path.split("/"))
    for path in (
        *(".config/gcloud", ".config/gh", ".config/git/credentials", ".config/op"),
        *(".config/doctl", ".config/rclone", ".config/google-chrome", ".config/chromium"),
        *(".local/share/keyrings", ".local/share/docker", ".local/share/containers"),
        *(".cargo/credentials", ".cargo/credentials.toml", ".gem/credentials"),
        *(".claude/.credentials.json", ".codex/auth.json", ".gemini/oauth_creds.json"),
        *(".config/openstack", ".local/share/uv/credentials", ".qwen/oauth_creds.json"),
    )
)
"""The same, of names that mean other things elsewhere."""

_HOLDERS = frozenset({".claude", ".codex", ".config", ".gemini", ".local", ".qwen"})
"""Folders that hold such ones: not shown whole. (Agents keep worktrees below theirs.)"""

_FIRST_PERSON = 1000
"""Below it are services (login.defs(5))."""

_STATE, _CODE = ".wardline", "code"
"""A broker's state, of which a sandbox may be shown copies of code alone."""


def checked_source(path: Path) -> Path:
    """The real path of a mount's source.

    Raises:
        ProfileError: it does not exist, is neither a file nor a directory, or is (or resolves
            to) a path whose contents open the host or hold credentials.
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
        or real.parent == Path("/var/lib")
        or _is_home(real)
        or any(real.is_relative_to(entry) for entry in _NEVER_BELOW)
        or _is_secret(real)
    )
    if forbidden:
        raise ProfileError(
            f"mount source {str(path)!r:.200} (really {str(real)!r:.200}) would show the host's"
            " own files; name the one directory the job needs"
        )
    return real


def _is_home(real: Path) -> bool:
    """Whether it is anybody's home, or holds one."""
    people = [
        each for each in pwd.getpwall() if each.pw_uid == 0 or each.pw_uid >= _FIRST_PERSON
    ]
    homes = [Path.home(), *(Path(each.pw_dir) for each in people)]
    return real.parent == Path("/home") or any(home.is_relative_to(real) for home in homes)


def _is_secret(real: Path) -> bool:
    parts = real.parts
    if not _SECRET_NAMES.isdisjoint(parts) or real.name in _HOLDERS:
        return True
    if _STATE in parts and parts[parts.index(_STATE) + 1 :][:1] != (_CODE,):
        return True
    return any(
        parts[start : start + len(path)] == path
        for path in _SECRET_PATHS
        for start in range(len(parts))
    )


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
            " `chmod o+rx` it or copy the code to a readable folder"
        )
    return real
