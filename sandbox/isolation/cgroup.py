"""A control group per run, where this process may make one (cgroup version 1 and 2).

The runner is moved in before it gets its job, so everything the job forks is inside. Where no
group can be made, `RunGroup.create` gives a group without controllers and the caller falls back
on per-process limits, which it must say in the record.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxProviderError
from sandbox.lease import Lease
from sandbox.supervisor.verdict import Evidence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.profile import SandboxProfile

FOLDER = "wardline"
CONTROLLERS = ("memory", "pids", "cpu")
PERIOD_MICROSECONDS = 100_000
EMPTY_SECONDS = 1.0
"""How long a group may take to notice that its last process has been reaped."""


@dataclass(frozen=True, slots=True)
class RunGroup:
    """The groups of one run: controller -> directory. All the same directory on version 2."""

    folders: Mapping[str, Path]
    version: int

    @classmethod
    def create(
        cls, profile: SandboxProfile, *, lease: Lease, name: str, processes: int | None = None
    ) -> RunGroup:
        """Makes the group and sets its limits; a controller that refuses is left out.

        Args:
            profile: its limits.
            lease: of the owner.
            name: unique for it.
            processes: in place of the profile's, where others than the job's are in the group.
        """
        processes = profile.processes if processes is None else processes
        version, parents = _parents()
        folders: dict[str, Path] = {}
        refused: set[Path] = set()
        for controller in CONTROLLERS:
            parent = parents.get(controller)
            if parent is None:
                continue
            folder = parent / FOLDER / f"{lease}_{name}"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                if version == 2:
                    _delegate(controller, parent, folder.parent)
                for file, value in _limits(profile, processes, controller, version):
                    (folder / file).write_text(value)
            except OSError:
                refused.add(folder)
            else:
                folders[controller] = folder
        # Version 2 has one directory for all controllers: it stays if any of them took it.
        for folder in refused - set(folders.values()):
            with contextlib.suppress(OSError):
                folder.rmdir()
        return cls(folders, version)

    def join(self, pid: int) -> None:
        """Moves a process in.

        Raises:
            OSError: a group refused it.
        """
        for folder in set(self.folders.values()):
            (folder / "cgroup.procs").write_text(str(pid))

    @property
    def swap_limited(self) -> bool:
        """True when swap counts, so that the memory limit is one of both together."""
        memory = self.folders.get("memory")
        names = ("memory.memsw.limit_in_bytes", "memory.swap.max")
        return memory is not None and any((memory / name).exists() for name in names)

    def evidence(self) -> Evidence:
        """The kernel's counters of this run."""
        memory, pids = self.folders.get("memory"), self.folders.get("pids")
        events = "memory.events" if self.version == 2 else "memory.oom_control"
        return Evidence(
            oom_kills=_counter(memory / events, "oom_kill") if memory else 0,
            pids_denials=_counter(pids / "pids.events", "max") if pids else 0,
        )

    def remove(self) -> bool:
        """Removes the group; False when a process would not leave it in time."""
        deadline = time.monotonic() + EMPTY_SECONDS
        removed = {_remove(folder, deadline) for folder in set(self.folders.values())}
        return False not in removed


def reap() -> int:
    """Kills and removes the groups of owners that are gone; gives their number."""
    _, parents = _parents()
    abandoned = [
        folder
        for parent in set(parents.values())
        if (parent / FOLDER).is_dir()
        for folder in (parent / FOLDER).iterdir()
        if folder.is_dir() and _is_abandoned(folder)
    ]
    for folder in abandoned:
        _remove(folder, time.monotonic() + EMPTY_SECONDS, kills=True)
    return len({folder.name for folder in abandoned})


def groups() -> list[str]:
    """Names of all groups of ours, for `wardline sandbox ls` and the leftover test."""
    _, parents = _parents()
    return sorted(
        {
            folder.name
            for parent in set(parents.values())
            if (parent / FOLDER).is_dir()
            for folder in (parent / FOLDER).iterdir()
            if folder.is_dir()
        }
    )


def version() -> int:
    """Of the hierarchy in which groups are made here."""
    return _parents()[0]


def remove_named(folder: str, name: str) -> None:
    """Removes an empty group `folder/name` from every hierarchy.

    `folder` stays: another process may be about to make a group in it.
    """
    for parent in _everywhere(folder):
        with contextlib.suppress(OSError):
            (parent / name).rmdir()


def reap_named(folder: str) -> None:
    """Removes the empty groups below `folder` whose owners, by the leases they name, are gone.

    One that was still busy when its container was removed is known by nothing else.
    """
    for parent in _everywhere(folder):
        with contextlib.suppress(OSError):
            for group in parent.iterdir():
                if group.is_dir() and _is_abandoned(group):
                    remove_named(folder, group.name)


def _everywhere(folder: str) -> list[Path]:
    """A folder of groups in every hierarchy that could have it."""
    try:
        text = Path("/proc/self/mounts").read_text()
    except OSError:
        return []  # what is left is found by its lease
    mounts = (line.split() for line in text.splitlines())
    return [Path(each[1], folder) for each in mounts if each[2] in ("cgroup", "cgroup2")]


def _delegate(controller: str, *folders: Path) -> None:
    """Passes a controller down (version 2). The upper one may have it already, unwritable."""
    for folder in folders[:-1]:
        with contextlib.suppress(OSError):
            (folder / "cgroup.subtree_control").write_text(f"+{controller}")
    (folders[-1] / "cgroup.subtree_control").write_text(f"+{controller}")


def _is_abandoned(folder: Path) -> bool:
    lease = Lease.parse(folder.name.rpartition("_")[0])
    return lease is None or lease.is_abandoned()


def _remove(folder: Path, deadline: float, *, kills: bool = False) -> bool:
    """Waits until it is empty. `kills` what is in it, again and again: it may be forking."""
    while True:
        if kills:
            with contextlib.suppress(OSError):
                for pid in (folder / "cgroup.procs").read_text().split():
                    with contextlib.suppress(OSError):
                        os.kill(int(pid), signal.SIGKILL)
        try:
            folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.002)
        else:
            return True


def _limits(
    profile: SandboxProfile, processes: int, controller: str, version: int
) -> list[tuple[str, str]]:
    quota = int(profile.cpus * PERIOD_MICROSECONDS)
    match controller, version:
        case "memory", 1:
            most = str(profile.memory_bytes)
            # The second file is missing where the kernel does not account for swap.
            swap = Path("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists()
            files = [("memory.limit_in_bytes", most)]
            return files + ([("memory.memsw.limit_in_bytes", most)] if swap else [])
        case "memory", _:
            return [("memory.max", str(profile.memory_bytes)), ("memory.swap.max", "0")]
        case "cpu", 1:
            period = ("cpu.cfs_period_us", str(PERIOD_MICROSECONDS))
            return [period, ("cpu.cfs_quota_us", str(quota))]
        case "cpu", _:
            return [("cpu.max", f"{quota} {PERIOD_MICROSECONDS}")]
        case _:
            return [("pids.max", str(processes))]


def _counter(path: Path, name: str) -> int:
    try:
        lines = path.read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [name]), 0)


def _parents() -> tuple[int, dict[str, Path]]:
    """The hierarchy's version, and per controller the group to make ours below.

    Raises:
        SandboxProviderError: /proc cannot be read.
    """
    try:
        mounted = Path("/proc/self/mounts").read_text()
        joined = Path("/proc/self/cgroup").read_text()
    except OSError as err:
        raise SandboxProviderError(f"/proc cannot be read: {err.strerror}") from err
    mounts = [line.split() for line in mounted.splitlines()]
    own = {
        controller: path
        for line in joined.splitlines()
        for _, names, path in [line.split(":", 2)]
        for controller in names.split(",")
    }
    first = {
        controller: Path(fields[1])
        for fields in mounts
        if fields[2] == "cgroup"
        for controller in CONTROLLERS
        if controller in fields[3].split(",")
    }
    if first:
        return 1, {name: _below(mount, own.get(name, "/")) for name, mount in first.items()}
    for fields in mounts:
        if fields[2] == "cgroup2":
            mount = Path(fields[1])
            # Version 2 lets no group have both processes and limited children, so root makes
            # its groups at the top; a user needs a delegated, empty group of its own.
            parent = mount if os.geteuid() == 0 else _below(mount, own.get("", "/"))
            return 2, dict.fromkeys(CONTROLLERS, parent)
    return 2, {}


def _below(mount: Path, own: str) -> Path:
    path = mount / own.lstrip("/")
    return path if path.is_dir() else mount
