"""From a profile to the engine's create request. Pure, table-tested; no engine needed.

Every limit is spelled out, also where it is today's default of the engine, because defaults
differ between engines and are changed by daemon configuration.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sandbox.backends.vm_kernel import KEPT_INSIDE, KERNEL_RUNTIMES, group_processes
from sandbox.isolation import procfs
from sandbox.isolation.seccomp import POLICY_DIGEST, docker_profile
from sandbox.profile import (
    CODE,
    TMP,
    WORK,
)
from sandbox.supervisor.bootstrap import ENVIRONMENT, python_arguments, rlimits
from sandbox.workspace import TARGET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sandbox.profile import SandboxProfile

LEASE_LABEL = "io.wardline.lease"
"""Marks every container of ours; its value is the owner's `Lease`."""

MASKED_PATHS = (
    *procfs.MASKED,
    *("/sys/firmware", "/sys/devices/virtual/powercap", "/dev/mqueue", "/dev/pts"),
)
"""The engine's own list, and in `/dev` what can be written: message queues and terminals."""

CPU_PERIOD_MICROSECONDS = 100_000


def create_request(
    profile: SandboxProfile,
    *,
    image: str,
    lease: str,
    user: int,
    code_roots: Sequence[Path],
    merged: Path | None = None,
    runtime: object = None,
) -> dict[str, Any]:
    """The body of `POST /containers/create` (Docker Engine API 1.41).

    Args:
        profile: the limits.
        image: image id by digest, already resolved.
        lease: text of the owner's lease.
        user: id of its user and group inside.
        code_roots: real host paths, already checked.
        merged: the job's overlay over its workspace, mounted on the host.
        runtime: that runs it (`runtime_of`).
    """
    return {
        "Image": image,
        "Entrypoint": ["python3", *python_arguments()],
        "Cmd": [],
        "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
        "User": f"{user}:{user}",
        "WorkingDir": "/",
        "Hostname": "sandbox",
        "Labels": {LEASE_LABEL: lease},
        "Tty": False,
        "OpenStdin": True,
        # When the attached supervisor goes away, the runner reads end of file and leaves.
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "NetworkDisabled": True,
        "StopSignal": "SIGKILL",
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(profile, user, code_roots, merged, runtime),
    }


def _host_config(
    profile: SandboxProfile,
    user: int,
    code_roots: Sequence[Path],
    merged: Path | None,
    runtime: object,
) -> dict[str, Any]:
    config: dict[str, Any] = {
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "Privileged": False,
        "CapDrop": ["ALL"],
        "SecurityOpt": [
            "no-new-privileges:true",
            "seccomp=" + json.dumps(docker_profile(), separators=(",", ":")),
        ],
        "IpcMode": "none",
        "CgroupnsMode": "private",
        "PidMode": "",
        "UTSMode": "",
        "Memory": profile.memory_bytes,
        "MemorySwap": profile.memory_bytes,  # the sum: no swap beyond the memory limit
        "PidsLimit": _processes(profile, runtime),
        "CpuPeriod": CPU_PERIOD_MICROSECONDS,
        "CpuQuota": int(profile.cpus * CPU_PERIOD_MICROSECONDS),
        "OomScoreAdj": 500,
        "Tmpfs": {
            WORK: _tmpfs(profile.work_bytes, profile.files, user),
            TMP: _tmpfs(profile.tmp_bytes, profile.files, user),
        },
        "Mounts": [
            *(_mount(str(root), f"{CODE}/{number}") for number, root in enumerate(code_roots)),
            *(_mount(str(mount.source), mount.target) for mount in profile.mounts),
            *([] if merged is None else [_mount(str(merged), TARGET) | {"ReadOnly": False}]),
        ],
        "Ulimits": [
            {"Name": name, "Soft": most, "Hard": most}
            for name, most in grouped_rlimits(profile, runtime=runtime).items()
            if name in ("nofile", "fsize", "core")
        ],
        # json-file would fill the host's disk; the output is only streamed.
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
        "Init": False,  # the runner is process 1 and reaps
        "Devices": [],
        "MaskedPaths": list(MASKED_PATHS),
        "ReadonlyPaths": list(procfs.READ_ONLY),
    }
    if profile.runtime is not None:
        config["Runtime"] = profile.runtime
    return config


def runtime_of(profile: SandboxProfile, facts: Mapping[str, object]) -> object:
    """Which of an engine's runtimes runs such a profile: its own, or the engine's default."""
    return profile.runtime or facts.get("default_runtime")


def grouped_rlimits(profile: SandboxProfile, *, runtime: object) -> Mapping[str, int | None]:
    """Per-process limits beside the container's control group.

    Args:
        profile: the limits.
        runtime: that runs it (`runtime_of`).
    """
    return rlimits(
        profile,
        memory_grouped=True,
        processes_grouped=True,
        own_kernel=runtime in KERNEL_RUNTIMES,
    )


def enforced(
    profile: SandboxProfile, *, image: str, facts: Mapping[str, object], has_workspace: bool
) -> dict[str, object]:
    """What stood around a run, as plain JSON for the record."""
    runtime = runtime_of(profile, facts)
    return {
        "backend": "docker",
        "isolation": "kernel" if runtime in KERNEL_RUNTIMES else "container",
        "engine": facts.get("engine"),
        "runtime": runtime,
        "cgroup": facts.get("cgroup"),
        "swap_limited": facts.get("swap_limit"),
        "user_namespace": facts.get("user_namespace"),
        "image": image,
        # Another kernel may not read the filter it is given, so nothing is claimed for it.
        "seccomp": None if runtime in KERNEL_RUNTIMES else POLICY_DIGEST,
        **(KEPT_INSIDE if runtime in KERNEL_RUNTIMES else {}),
        **profile.enforced(has_workspace=has_workspace),
        "user": "its own",
    }


def _processes(profile: SandboxProfile, runtime: object) -> int:
    is_kernel = runtime in KERNEL_RUNTIMES
    return group_processes(profile.processes) if is_kernel else profile.processes


def _tmpfs(size: int, files: int, user: int) -> str:
    return (
        f"rw,noexec,nosuid,nodev,size={size},nr_inodes={files},mode=0700,uid={user},gid={user}"
    )


def _mount(source: str, target: str) -> dict[str, Any]:
    return {
        "Type": "bind",
        "Source": source,
        "Target": target,
        "ReadOnly": True,
        # A file system mounted below the source would stay writable: it is left out.
        "BindOptions": {"Propagation": "rprivate", "NonRecursive": True},
    }
