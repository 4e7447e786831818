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
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import anyio
from anyio import to_thread

from sandbox import bpf, frames
from sandbox.base import Availability
from sandbox.boot import rlimits
from sandbox.bubblewrap import reaper
from sandbox.bubblewrap.arguments import MASKED, Descriptors, command, shown_paths
from sandbox.bubblewrap.cgroup import RunGroup
from sandbox.bubblewrap.locate import Programs, locate, system_links
from sandbox.channel import SocketChannel, check_python, converse, greet
from sandbox.errors import SandboxError, SandboxProviderError, SandboxUnavailableError
from sandbox.job import PythonJob
from sandbox.lease import Lease
from sandbox.logs import get_logger
from sandbox.mounts import checked_sources
from sandbox.profile import USER, SandboxProfile
from sandbox.seccomp import POLICY_DIGEST
from sandbox.transcript import Transcript
from sandbox.verdict import Evidence, execution_result, judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from sandbox.job import Job
    from sandbox.result import ExecResult, Isolation
    from sandbox.verdict import Ending

log = get_logger("bubblewrap")

BOOT_SECONDS = 15.0
LEAVE_SECONDS = 5.0
"""For a runner that has reported to end, and for a killed one to be gone."""
DIAGNOSTICS_BYTES = 2048

PASSWD = f"nobody:x:{USER}:{USER}:nobody:/box:/usr/sbin/nologin\n".encode()
GROUP = f"nogroup:x:{USER}:\n".encode()


@dataclass(frozen=True, slots=True)
class Launched:
    """A started sandbox: its launcher, its channel, and where it complains."""

    process: subprocess.Popen[bytes]
    stream: socket.socket
    info: int
    complaints: int

    def diagnostics(self) -> str:
        """What bubblewrap or the runner wrote about itself."""
        return (
            os.pread(self.complaints, DIAGNOSTICS_BYTES, 0).decode("utf-8", "replace").strip()
        )


class BubblewrapSandbox:
    """Runs each job in a fresh set of namespaces."""

    name = "bubblewrap"
    isolation: Isolation = "process"

    def __init__(self) -> None:
        self._programs: Programs | None = None

    async def __aenter__(self) -> Self:
        """Finds its programs lazily: entering never fails, the first run may."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """As `aclose`."""
        await self.aclose()

    async def probe(self) -> Availability:
        """See `Sandbox`. Starts an empty sandbox, because only that tells."""
        facts: dict[str, object] = {}
        try:
            programs = await self._open()
            facts = {"bwrap": str(programs.bwrap), "interpreter": str(programs.interpreter)}
            facts["bundled"] = programs.bwrap_root is not None
            lease = Lease.of_this_process(wall_seconds=BOOT_SECONDS)
            profile = SandboxProfile()
            group = RunGroup.create(profile, lease=lease, name=secrets.token_hex(8))
            facts["cgroup"] = f"v{group.version}"
            facts["controllers"] = sorted(group.folders)
            await to_thread.run_sync(group.remove)
            with _launched(programs, profile, [], lease=lease) as launched:
                try:
                    await _greeted(launched, Transcript(profile))
                finally:
                    await _end(launched, None, leaves=False)
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

    async def run(
        self,
        job: Job,
        profile: SandboxProfile,
        *,
        files: Mapping[str, bytes] | None = None,
    ) -> ExecResult:
        """See `Sandbox`."""
        if profile.image is not None or profile.runtime is not None:
            raise SandboxUnavailableError(
                "bubblewrap has neither images nor runtimes", "use Docker for this profile"
            )
        roots = checked_sources(job, profile, user=USER if os.geteuid() == 0 else None)
        programs = await self._open()
        lease = Lease.of_this_process(wall_seconds=profile.wall_seconds + BOOT_SECONDS)
        group = RunGroup.create(profile, lease=lease, name=secrets.token_hex(8))
        try:
            pieces = list(
                frames.encode_job(
                    job,
                    profile,
                    files=files or {},
                    code_roots=len(roots),
                    rlimits=rlimits(
                        profile,
                        memory_grouped="memory" in group.folders,
                        processes_grouped="pids" in group.folders,
                    ),
                )
            )
            with _launched(programs, profile, roots, lease=lease) as launched:
                ending, transcript, seconds = await _live(launched, job, profile, pieces, group)
        finally:
            with anyio.CancelScope(shield=True):
                if not await to_thread.run_sync(group.remove):
                    log.warning("sandbox_group_not_removed", backend=self.name)
        return execution_result(
            ending, transcript, seconds=seconds, enforced=enforced(profile, group, programs)
        )

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


def enforced(profile: SandboxProfile, group: RunGroup, programs: Programs) -> dict[str, object]:
    """What stood around a run, as plain JSON for the record."""
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
        "profile": profile.digest,
        "limits": profile.document()["limits"],
        "user": USER,
        "capabilities": [],
        "no_new_privileges": True,
        "seccomp": POLICY_DIGEST,
        "read_only_root": True,
        "network": "none",
        "mounts": [mount.target for mount in profile.mounts],
    }


async def _live(
    launched: Launched,
    job: Job,
    profile: SandboxProfile,
    pieces: Sequence[bytes],
    group: RunGroup,
) -> tuple[Ending, Transcript, float]:
    """The sandbox's life, from its hello to its last word."""
    transcript = Transcript(profile)
    runner: int | None = None
    try:
        channel, pid = await _greeted(launched, transcript)
        runner = os.pidfd_open(pid)
        if isinstance(job, PythonJob):
            check_python(transcript, sys.version_info[:2])
        try:
            group.join(pid)
        except OSError as err:
            raise SandboxProviderError("the sandbox could not enter its control group") from err
        stopped, seconds = await converse(channel, transcript, iter(pieces), profile)
    finally:
        with anyio.CancelScope(shield=True):
            await _end(launched, runner, leaves=transcript.is_finished)
        if runner is not None:
            os.close(runner)
    ending = judge(
        transcript,
        group.evidence() if group.folders else Evidence(),
        stopped=stopped,
        returns_value=isinstance(job, PythonJob),
        diagnostics=launched.diagnostics(),
    )
    return ending, transcript, seconds


async def _greeted(launched: Launched, transcript: Transcript) -> tuple[SocketChannel, int]:
    """Waits until the runner is up; gives the channel and the runner's process id."""
    channel = SocketChannel(launched.stream)
    try:
        await greet(channel, transcript, seconds=BOOT_SECONDS)
    except SandboxProviderError as err:
        raise SandboxProviderError(f"{err}: {launched.diagnostics()!r:.600}") from err
    # Written before the runner was started, so it is there.
    said = frames.parse_object(os.read(launched.info, 4096))
    pid = said.get("child-pid")
    if type(pid) is not int:
        raise SandboxProviderError("bubblewrap did not say which process it started")
    return channel, pid


async def _end(launched: Launched, runner: int | None, *, leaves: bool) -> None:
    """Waits for the launcher, which ends after everything inside; kills what does not leave.

    Args:
        launched: the sandbox.
        runner: descriptor of its process 1, whose death is everybody's inside.
        leaves: True when the runner has reported and is on its way out.
    """
    launcher = os.pidfd_open(launched.process.pid)
    try:
        if leaves and await _is_over(launcher):
            return
        if runner is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(runner, signal.SIGKILL)
            if await _is_over(launcher):
                return
        # The whole group: a launcher killed alone in its first milliseconds leaves a child.
        _kill_group(launched.process)
        await _is_over(launcher)
    finally:
        os.close(launcher)


async def _is_over(launcher: int) -> bool:
    with anyio.move_on_after(LEAVE_SECONDS):
        await anyio.wait_readable(launcher)
        return True
    return False


@contextmanager
def _launched(
    programs: Programs, profile: SandboxProfile, roots: Sequence[Path], *, lease: Lease
) -> Iterator[Launched]:
    """Starts the launcher; on leaving it has been waited for and every descriptor closed."""
    with ExitStack() as stack:
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        complaints = _memory(stack, b"")
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        with theirs, ExitStack() as launch:
            launch.callback(os.close, writer)
            descriptors = Descriptors(
                seccomp=_memory(launch, bpf.program(programs.machine)),
                info=writer,
                passwd=_memory(launch, PASSWD),
                group=_memory(launch, GROUP),
            )
            argv = command(
                programs,
                profile,
                shown=shown_paths(programs, roots, profile),
                system=system_links(),
                masked=[path for path in MASKED if Path(path).exists()],
                descriptors=descriptors,
                drop_root=os.geteuid() == 0,
            )
            try:
                # In this thread: `--die-with-parent` means the thread that forked.
                process = subprocess.Popen(
                    argv,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=complaints,
                    # Only the launcher has it: the runner inside starts with `--clearenv`.
                    env={reaper.LEASE_VARIABLE: str(lease)},
                    process_group=0,
                    cwd="/",
                    pass_fds=(
                        descriptors.seccomp,
                        descriptors.info,
                        descriptors.passwd,
                        descriptors.group,
                    ),
                )
            except OSError as err:
                raise SandboxProviderError(f"bubblewrap cannot be started: {err}") from err
        stack.callback(partial(_reap, process))
        yield Launched(process, ours, reader, complaints)


def _reap(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        _kill_group(process)
        process.wait(LEAVE_SECONDS)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _memory(stack: ExitStack, content: bytes) -> int:
    number = os.memfd_create("wardline")
    stack.callback(os.close, number)
    os.write(number, content)
    os.lseek(number, 0, os.SEEK_SET)
    return number
