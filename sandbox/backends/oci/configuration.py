"""From a profile to the runtime's `config.json`. Pure, table-tested; no runtime needed.

Follows the OCI Runtime Specification 1.0.2. Every limit is spelled out. Container root is a user
of the host that owns nothing, nobody is a user of its own there, and no other id exists: what the
image's root owns shows as nobody's, and the job, which is nobody, may still not write it.
Memory, processes and processor share are not in here: they are in the run's own control group
(`sandbox.isolation.cgroup`), which outlives the container, so that its counters can be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.backends.oci.runtimes import KERNEL_RUNTIME
from sandbox.backends.oci.view import VIEW
from sandbox.backends.vm_kernel import KEPT_INSIDE
from sandbox.isolation import procfs
from sandbox.isolation.seccomp import POLICY_DIGEST, oci_profile
from sandbox.profile import (
    CODE,
    TMP,
    USER,
    WORK,
)
from sandbox.supervisor.bootstrap import ENVIRONMENT, python_arguments
from sandbox.workspace import TARGET

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sandbox.backends.oci.roots import Root
    from sandbox.backends.oci.runtimes import Runtime
    from sandbox.backends.oci.view import Point
    from sandbox.profile import SandboxProfile

LEASE_ANNOTATION = "io.wardline.lease"

CONTAINER_ROOT = 2_147_418_112
"""Container root on the host: in the range systemd's table of ids (UIDS-GIDS) leaves unused."""

NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")


def configuration(
    profile: SandboxProfile,
    *,
    runtime: str,
    lease: str,
    name: str,
    user: int,
    code_roots: Sequence[Path],
    merged: Path | None = None,
) -> dict[str, Any]:
    """The whole `config.json`.

    Args:
        profile: the limits.
        runtime: its name.
        lease: text of the owner's lease.
        name: of the container; unique.
        user: of the host, who is nobody inside.
        code_roots: real host paths, already checked.
        merged: the job's overlay over its workspace, mounted on the host.
    """
    namespaces = [{"type": kind} for kind in NAMESPACES]
    linux: dict[str, Any] = {
        "namespaces": namespaces,
        # There is no `/sys` to be masked.
        "maskedPaths": list(procfs.MASKED),
        "readonlyPaths": list(procfs.READ_ONLY),
        "rootfsPropagation": "private",
        "seccomp": oci_profile(),
        # A runtime that has to make a group makes this one, without limits.
        "cgroupsPath": f"/wardline-oci/{lease}_{name}",
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
    }
    if runtime != KERNEL_RUNTIME:
        namespaces.append({"type": "user"})
        linux |= {"uidMappings": _mappings(user), "gidMappings": _mappings(user)}
    return {
        "ociVersion": "1.0.2",
        "annotations": {LEASE_ANNOTATION: lease},
        "hostname": "sandbox",
        "root": {"path": str(VIEW / "merged"), "readonly": True},
        "process": {
            "terminal": False,
            "user": {"uid": USER, "gid": USER},
            "args": ["python3", *python_arguments()],
            "env": [f"{key}={value}" for key, value in ENVIRONMENT.items()],
            "cwd": "/",
            "capabilities": {
                kind: []
                for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")
            },
            # The others are the runner's to set, on the job: a hard limit of this process
            # may be below the profile's, and only a privilege raises it.
            "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
            "noNewPrivileges": True,
            "oomScoreAdj": 500,
        },
        "mounts": _mounts(profile, code_roots, merged),
        "linux": linux,
    }


def points(
    profile: SandboxProfile, *, code_roots: int, files: Sequence[bool], has_workspace: bool
) -> list[Point]:
    """The mount points a root file system has to have.

    Args:
        profile: whose mounts they are.
        code_roots: how many.
        files: of each mount of the profile, whether it is a file.
        has_workspace: whether the job has a workspace.
    """
    folders = [
        WORK,
        TMP,
        "/proc",
        "/dev",
        *(f"{CODE}/{number}" for number in range(code_roots)),
    ]
    folders += [TARGET] if has_workspace else []
    found = [(folder.removeprefix("/"), True) for folder in folders]
    for mount, is_file in zip(profile.mounts, files, strict=True):
        found.append((mount.target.removeprefix("/"), not is_file))
    return found


def _mappings(user: int) -> list[dict[str, int]]:
    return [
        {"containerID": 0, "hostID": CONTAINER_ROOT, "size": 1},
        {"containerID": USER, "hostID": user, "size": 1},
    ]


def _mounts(
    profile: SandboxProfile, code_roots: Sequence[Path], merged: Path | None
) -> list[dict[str, Any]]:
    closed = ["nosuid", "noexec", "nodev"]
    shown = [(str(root), f"{CODE}/{number}") for number, root in enumerate(code_roots)]
    shown += [(str(mount.source), mount.target) for mount in profile.mounts]
    return [
        _mount("/proc", "proc", closed),
        # Its owner is container root, so the job can make nothing in it. No `shm`, no `mqueue`.
        _mount("/dev", "tmpfs", ["nosuid", "noexec", "mode=755", "size=65536"]),
        _mount(WORK, "tmpfs", [*closed, *_tmpfs(profile.work_bytes, profile.files)]),
        _mount(TMP, "tmpfs", [*closed, *_tmpfs(profile.tmp_bytes, profile.files)]),
        *(_bind(source, target, "ro") for source, target in shown),
        *([] if merged is None else [_bind(str(merged), TARGET, "rw")]),
    ]


def _mount(target: str, kind: str, options: list[str]) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": kind, "options": options}


def _tmpfs(size: int, files: int) -> list[str]:
    return [f"size={size}", f"nr_inodes={files}", "mode=0700", f"uid={USER}", f"gid={USER}"]


def _bind(source: str, target: str, access: str) -> dict[str, Any]:
    # Not `rbind`: a file system mounted below the source could stay writable.
    options = ["bind", access, "nosuid", "nodev", "private"]
    return {"destination": target, "type": "bind", "source": source, "options": options}


def enforced(
    profile: SandboxProfile,
    *,
    runtime: Runtime,
    root: Root,
    cgroup: int,
    swap_limited: bool,
    has_workspace: bool,
) -> dict[str, object]:
    """What stood around a run, as plain JSON for the record."""
    is_kernel = runtime.name == KERNEL_RUNTIME
    return {
        "backend": "oci",
        "isolation": "kernel" if is_kernel else "container",
        "engine": f"{runtime.name} {runtime.version}",
        "runtime": runtime.name,
        "cgroup": f"v{cgroup}",
        "swap_limited": swap_limited,
        "user_namespace": not is_kernel,
        "image": root.image,
        "root": root.content,
        # Another kernel may not read the filter it is given, so nothing is claimed for it.
        "seccomp": None if is_kernel else POLICY_DIGEST,
        **(KEPT_INSIDE if is_kernel else {}),
        **profile.enforced(has_workspace=has_workspace),
    }
