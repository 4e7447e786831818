"""Bubblewrap as a sandbox: namespaces without a daemon, from `pip install` alone.

Protects the host's files, processes, network and environment from the job. Shares the host's
kernel through every call the system call policy allows, like a container, and is one layer
thinner than one: `/usr` of the host can be read, `/box` and `/tmp` are not `noexec`, and
without a control group of its own memory and processes are limited per process only
(`enforced` says which). Needs user namespaces for plain users, or uid 0.
"""

from __future__ import annotations

import os
import secrets
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from sandbox.backends.bubblewrap import reaper
from sandbox.backends.bubblewrap.arguments import check_targets
from sandbox.backends.bubblewrap.locate import MENDED, Programs, locate
from sandbox.backends.bubblewrap.namespaces import Namespaces
from sandbox.errors import SandboxError, SandboxUnavailableError
from sandbox.isolation.cgroup import RunGroup
from sandbox.isolation.mounts import checked_sources
from sandbox.isolation.seccomp import POLICY_DIGEST
from sandbox.isolation.users import own_user
from sandbox.lease import Lease
from sandbox.profile import WORK, SandboxProfile
from sandbox.protocol import Availability, RunRequest, Sandbox
from sandbox.supervisor.bootstrap import rlimits
from sandbox.supervisor.wire import encode_setup
from sandbox.workspace import TARGET

if TYPE_CHECKING:
    from sandbox.result import Isolation

BOOT_SECONDS = 15.0


class BubblewrapSandbox(Sandbox):
    """Runs each job in a fresh set of namespaces.

    Finds its programs lazily: entering never fails, the first run may.
    """

    name = "bubblewrap"
    isolation: Isolation = "process"

    def __init__(self) -> None:
        self._programs: Programs | None = None

    async def probe(self) -> Availability:
        """See `Sandbox`. Starts an empty sandbox, because only that tells."""
        facts: dict[str, object] = {}
        try:
            programs = await self._open()
            facts = {"bwrap": str(programs.bwrap), "interpreter": str(programs.interpreter)}
            facts["bundled"] = programs.bwrap_root is not None
            facts["version"] = ".".join(map(str, programs.version))
            facts["mended"] = programs.version >= MENDED
            namespaces, group = await self._start(RunRequest(profile=SandboxProfile()))
            await namespaces.destroy()
            facts["cgroup"] = f"v{group.version}"
            facts["controllers"] = sorted(group.folders)
        except SandboxUnavailableError as err:
            return Availability(
                available=False, facts=facts, missing=err.missing, remedy=err.remedy
            )
        except SandboxError as err:
            return Availability(
                available=False,
                facts=facts,
                missing=f"bubblewrap does not start here: {err}",
                remedy="allow user namespaces (kernel.unprivileged_userns_clone,"
                " kernel.apparmor_restrict_unprivileged_userns), or use Docker",
            )
        return Availability(available=True, facts=facts)

    async def start(self, request: RunRequest) -> Namespaces:
        """See `Sandbox`."""
        namespaces, _ = await self._start(request)
        return namespaces

    async def _start(self, request: RunRequest) -> tuple[Namespaces, RunGroup]:
        profile = request.profile
        if profile.image is not None or profile.runtime is not None:
            raise SandboxUnavailableError(
                "bubblewrap has neither images nor runtimes", "use Docker for this profile"
            )
        user = own_user() if os.geteuid() == 0 else None
        roots = checked_sources(request.code_roots, profile, user=user)
        programs = await self._open()
        check_targets(programs, profile)
        lease = Lease.of_this_process(wall_seconds=request.lease_seconds + 2 * BOOT_SECONDS)
        create = partial(RunGroup.create, profile, lease=lease, name=secrets.token_hex(8))
        # In a thread, for the kernel takes its time; what was made has to be known.
        with anyio.CancelScope(shield=True):
            group = await to_thread.run_sync(create)
        has_workspace = request.workspace is not None
        try:
            namespaces = Namespaces(
                programs,
                request,
                roots,
                lease=lease,
                user=user,
                group=group,
                enforced=enforced(profile, group, programs, has_workspace=has_workspace),
            )
        except BaseException:
            group.remove()
            raise
        setup = encode_setup(
            profile,
            code_roots=len(roots),
            directory=TARGET if has_workspace else WORK,
            preload=request.imports,
            rlimits=rlimits(
                profile,
                memory_grouped="memory" in group.folders,
                processes_grouped="pids" in group.folders,
            ),
            session=request.session,
            is_conversation=request.is_conversation,
        )
        try:
            await namespaces.set_up(setup, seconds=BOOT_SECONDS)
        except BaseException:
            await namespaces.destroy()
            raise
        return namespaces, group

    async def _open(self) -> Programs:
        if self._programs is None:
            self._programs = locate()
            await to_thread.run_sync(reaper.reap)
        return self._programs

    async def aclose(self) -> None:
        """See `Sandbox`."""
        if self._programs is not None:
            self._programs = None
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(reaper.reap)


def enforced(
    profile: SandboxProfile, group: RunGroup, programs: Programs, *, has_workspace: bool
) -> dict[str, object]:
    """What held a run, as plain JSON for the record."""
    return {
        "backend": "bubblewrap",
        "isolation": "process",
        "engine": "bundled" if programs.bwrap_root is not None else str(programs.bwrap),
        "runtime": None,
        "cgroup": f"v{group.version}" if group.folders else None,
        "memory": "group" if "memory" in group.folders else "per process",
        "processes": "group" if "pids" in group.folders else "per user namespace",
        "cpus": "group" if "cpu" in group.folders else "not limited",
        "files": "not limited",
        "noexec": False,
        "uid_dropped": os.geteuid() == 0,
        "image": None,
        "seccomp": POLICY_DIGEST,
        **profile.enforced(has_workspace=has_workspace),
    }
