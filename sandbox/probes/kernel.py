"""Cases 35 to 51: privileges, the kernel's entry points, and what the runtime leaves open.

One function for each row of the table, in its order, which is why the file is long.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from sandbox.errors import ProfileError
from sandbox.probes.calls import GETPID, GROUPS, X32_GETPID, arguments
from sandbox.probes.fixtures import CALM_SECONDS, NotTriedError, inside, started_by_another
from sandbox.probes.table import (
    Weakness,
    blocked,
    blocked_unless,
    not_applicable,
    opened,
    probe,
)
from sandbox.profile import SandboxProfile
from sandbox.supervisor.bootstrap import PAGE, PENDING_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.probes.fixtures import Ground
    from sandbox.probes.table import Outcome

REFUSED = frozenset({"EPERM", "ENOSYS", "EACCES", "signal 31"})
"""Answers of a filter; any other means that the kernel looked at the call."""


DEVICES = ("/dev/mem", "/dev/kmsg", "/dev/port", "/dev/kvm", "/dev/fuse", "/dev/net/tun")
"""Nodes that open the machine; the first disk is asked for by number."""


async def _refused(ground: Ground, group: str) -> list[str]:
    """The calls of a group that were not refused, with their answers."""
    calls = arguments(group)
    if not calls:
        raise NotTriedError(f"no call numbers for {platform.machine()}")
    calls.append(("getpid", GETPID[platform.machine()], []))
    answers: dict[str, str] = await ground.value("attempts:raw_calls", calls=calls)
    if answers.pop("getpid") != "ok":
        raise NotTriedError("not even getpid can be called by its number")
    return [f"{name}: {answer}" for name, answer in answers.items() if answer not in REFUSED]


@probe(
    35,
    "Capabilities, new privileges, set-id programs",
    "none, and none to be had",
    without="the order to gain no new privileges, or the system call filter",
)
async def privileges(ground: Ground) -> Outcome:
    """Read from the host's side where the process can be seen there."""
    async with ground.living() as pid:
        status = _status(pid)
    held = {
        name: bits for name, bits in status.items() if name.startswith("Cap") and int(bits, 16)
    }
    if held or status.get("NoNewPrivs") != "1" or status.get("Seccomp") != "2":
        return opened(f"{held} nnp={status.get('NoNewPrivs')} filter={status.get('Seccomp')}")
    programs = await ground.value("abuse:set_id_programs")
    return blocked_unless(
        programs["others"],
        "no capability in any set, no new privileges, a system call filter;"
        f" {len(programs['ran']) or 'no'} set-id programs to be tried",
    )


@probe(36, "Started by uid 0", "the job is not the host's root", without="a user of its own")
async def started_by_root(ground: Ground) -> Outcome:
    """The uid that the host's kernel knows, in whatever namespace."""
    if os.geteuid() != 0:
        return not_applicable("not started by uid 0")
    async with ground.living() as pid:
        ids = _status(pid)["Uid"].split()
    return blocked_unless("0" in ids and "uid 0 on the host", f"uid {ids[0]} on the host")


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {name: text.strip() for name, text in pairs}


@probe(37, "A new user namespace", "refused", without="the system call filter")
async def user_namespace(ground: Ground) -> Outcome:
    """By each call that makes or enters one."""
    return blocked_unless(await _refused(ground, "namespaces"), "unshare, clone, setns")


@probe(
    38,
    "Mount, remount, change the root, the new mount calls",
    "refused",
    without="the system call filter",
)
async def mounting(ground: Ground) -> Outcome:
    """Both generations of calls."""
    return blocked_unless(await _refused(ground, "mounts"), "old and new calls")


@probe(
    39,
    "Make or open a device node",
    "refused; only the harmless ones exist",
    without="a `/dev` of its own",
)
async def device_nodes(ground: Ground) -> Outcome:
    """The first disk, and what lies in `/dev`."""
    made = await ground.value("attempts:make_device", folder="/box")
    shown = await ground.value("attempts:devices")
    found = [*shown, *([] if made in REFUSED else [f"mknod: {made}"])]
    found += await ground.among("abuse:can_open", "/dev/null", DEVICES)
    return blocked_unless(found, "mknod refused, /dev is bare")


@probe(
    40,
    "Trace or read another process, process 1 too",
    "refused",
    without="the system call filter",
)
async def other_processes(ground: Ground) -> Outcome:
    """By system call and through /proc."""
    if not await ground.value("abuse:reach_process", pid="self"):
        raise NotTriedError("it cannot even look at itself")
    opened_files = await ground.value("abuse:reach_process", pid="1")
    allowed = await _refused(ground, "processes")
    return blocked_unless([*opened_files, *allowed], "calls refused, /proc/1 closed")


@probe(
    41,
    "Raw, packet, vsock, crypto, netlink and other sockets",
    "refused",
    without="the system call filter",
)
async def odd_sockets(ground: Ground) -> Outcome:
    """Only unix and internet sockets are left."""
    stream, raw, packet = (
        int(kind) for kind in (socket.SOCK_STREAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET)
    )
    families = {
        "vsock": (40, stream, 0),
        "packet": (17, raw, 0),
        "netlink": (16, raw, 0),
        "netlink netfilter": (16, raw, 12),
        "alg": (38, packet, 0),
        "bluetooth": (31, raw, 1),
        "can": (29, raw, 1),
        "xdp": (44, raw, 0),
        "tipc": (30, stream, 0),
        "raw": (2, raw, 1),
        "raw 6": (10, raw, 58),
    }
    usual = {"unix": (1, stream, 0), "internet": (2, stream, 0)}
    answers = await ground.value("attempts:sockets", families={**families, **usual})
    if {answers.pop(name) for name in usual} != {"ok"}:
        raise NotTriedError("not even the usual sockets open")
    return blocked_unless(
        [name for name, answer in answers.items() if answer == "ok"],
        f"{len(families)} families",
    )


@probe(
    42,
    "io_uring, bpf, perf, keys, handles, modules, kexec, reboot",
    "refused",
    without="the system call filter",
)
async def dangerous_calls(ground: Ground) -> Outcome:
    """With arguments the kernel would not act on."""
    return blocked_unless(
        await _refused(ground, "dangerous"), f"{len(GROUPS['dangerous'])} calls refused"
    )


@probe(
    43,
    "The 32-bit and x32 entry points around the filter",
    "refused",
    without="the system call filter",
)
async def other_entries(ground: Ground) -> Outcome:
    """`int 0x80`, and a call number with the x32 bit; of those that this kernel has."""
    if platform.machine() != "x86_64":
        return not_applicable("these entry points exist on x86-64 only")
    entries = await to_thread.run_sync(_entries_here)
    if not entries:
        return not_applicable("this kernel has neither entry point")
    x32 = await ground.value("attempts:raw_calls", calls=[("x32", X32_GETPID, [])])
    old = await ground.value("abuse:call_32_bit")
    found = [f"x32: {x32['x32']}"] if x32["x32"] not in REFUSED else []
    found += [f"32-bit: {old}"] if old == "ok" else []
    return blocked_unless(found, f"x32: {x32['x32']}, 32-bit: {old}; here: {entries}")


ENTRIES = """
import sys
sys.path.insert(0, sys.argv[1])
import wardline_abuse, wardline_attempts
x32 = wardline_attempts.raw_calls([("x32", int(sys.argv[2]), [])])["x32"]
print(*["x32"] * (x32 == "ok"), *["32-bit"] * (wardline_abuse.call_32_bit() == "ok"))
"""


def _entries_here() -> str:
    """The entry points that work on this host without a sandbox."""
    (code,) = inside("x:x").code_roots
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-c", ENTRIES, str(code), str(X32_GETPID)],
        capture_output=True,
        check=True,
        text=True,
        timeout=30,
    )
    return done.stdout.strip()


@probe(
    44,
    "Write the kernel's settings",
    "read-only",
    without="a user of its own, and settings that are read-only",
)
async def kernel_settings(ground: Ground) -> Outcome:
    """Opened for writing, never written."""
    names = (
        "kernel/core_pattern",
        "kernel/modprobe",
        "vm/overcommit_memory",
        "fs/suid_dumpable",
    )
    entries = [f"/proc/sys/{name}" for name in names]
    entries += ["/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/proc/1/oom_score_adj"]
    return blocked_unless(
        await ground.among("abuse:can_write", "/box", entries), f"{len(entries)} settings"
    )


@probe(
    45,
    "Facts of the kernel that help an attack",
    "masked",
    without="a user of its own, and the mask over such files",
)
async def kernel_facts(ground: Ground) -> Outcome:
    """Memory, keys, timers, symbols, logs."""
    names = ("kcore", "keys", "timer_list", "latency_stats", "sched_debug", "kpageflags")
    entries = [f"/proc/{name}" for name in names]
    entries += ["/sys/firmware", "/sys/kernel/debug", "/sys/kernel/tracing"]
    entries += ["/sys/kernel/security", "/sys/devices/virtual/powercap"]
    readable = await ground.among("attempts:readable", "/proc/version", entries)
    readable += await ground.among("abuse:can_open", "/dev/null", ["/proc/kmsg", *DEVICES])
    shown = await ground.value("abuse:kernel_addresses")
    log = await _refused(ground, "log")
    return blocked_unless(
        [*readable, *log, *([f"{shown} kernel addresses"] if shown else [])],
        f"{len(entries)} files, symbols, the log",
    )


@probe(
    46,
    "Raise one's own limits",
    "control groups read-only, hard limits stay",
    without="hard limits as low as the soft ones",
)
async def own_limits(ground: Ground) -> Outcome:
    """Through the control group tree and by setrlimit."""
    groups = await ground.value("abuse:control_groups")
    profile = ground.profile()
    promised = {
        "NOFILE": profile.open_files,
        "FSIZE": max(profile.work_bytes, profile.tmp_bytes) + PAGE,
        "CPU": profile.cpu_seconds + 1,
        "CORE": 0,
        "SIGPENDING": PENDING_SIGNALS,
        "MSGQUEUE": 0,
    }
    raised = await ground.value("attempts:raise_limits", profile, promised=promised)
    return blocked_unless([*groups, *raised], "neither groups nor limits can be changed")


@probe(
    47,
    "Set the clock or the host's name",
    "refused; deadlines use a clock nobody sets",
    without="the system call filter",
)
async def clock(ground: Ground) -> Outcome:
    """Every call that could."""
    return blocked_unless(await _refused(ground, "clock"), "refused")


@probe(
    48,
    "A descriptor the runtime left open",
    "the job has 0, 1, 2 and its answer",
    without="the closing of what the runner holds",
)
async def left_descriptors(ground: Ground) -> Outcome:
    """What CVE-2024-21626 and its like need, as the host sees it."""
    async with ground.living() as pid:
        held = _descriptors(pid)
        with anyio.move_on_after(CALM_SECONDS):
            # A program that comes up opens its libraries, and closes them; a left one stays.
            while _odd(held):
                await anyio.sleep(0.02)
                held = _descriptors(pid)
    if not {0, 1, 2} <= held.keys():
        raise NotTriedError(f"its own descriptors are not seen: {held!r:.200}")
    odd = _odd(held)
    runtime = ground.runtime or ground.facts.get("default_runtime") or "bubblewrap"
    return blocked_unless(odd, f"{len(held)} descriptors, none of {runtime}'s")


def _descriptors(pid: int) -> dict[int, str]:
    held = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            held[int(entry.name)] = str(entry.readlink())
    return held


def _odd(held: Mapping[int, str]) -> list[str]:
    return [
        f"{number}: {path}"
        for number, path in sorted(held.items())
        if number > 3 or not path.startswith(("pipe:", "socket:", "/dev/null", "/memfd:"))
    ]


@probe(
    49,
    "Aliases of the host's files and of the supervisor's variables",
    "lead nowhere",
    without="a view without the host's files, or an environment of its own",
)
async def aliases(ground: Ground) -> Outcome:
    """Roots and working folders of every process, back out through `..`."""
    canary = ground.folder / "canary"
    ways = ["/proc/self/root", "/proc/1/root", "/proc/1/cwd", "/proc/self/cwd/../../../.."]
    ways += ["/proc/self/task/../root", "/dev/fd/../../../.."]
    control = "/proc/self/root/etc/passwd"
    read = await ground.value(
        "abuse:contents", paths=[control, *(f"{way}{canary}" for way in ways)]
    )
    if control not in read:
        raise NotTriedError(f"not even {control} can be read")
    variables = await ground.told()
    found = [path for path in read if path != control]
    found += ["the caller's variable"] if ground.canary in variables else []
    return blocked_unless(found, f"{len(ways)} ways")


AT_A_TERMINAL = """
import fcntl, importlib, json, os, sys, termios, anyio
from sandbox import SandboxProfile
from sandbox.probes.fixtures import inside
asked = json.load(sys.stdin)
fcntl.ioctl(asked["terminal"], termios.TIOCSCTTY, 0)
async def main():
    backend = getattr(importlib.import_module(asked["module"]), asked["name"])()
    job = inside("abuse:terminal", paths=[asked["path"]])
    profile = SandboxProfile(runtime=asked["runtime"])
    async with backend:
        result = await backend.run(job, profile)
    os.close(os.open("/dev/tty", os.O_RDWR))
    print(json.dumps(result.value))
anyio.run(main)
"""
"""A caller with a controlling terminal, without which there would be nothing to type into."""


@probe(
    50,
    "Type into the caller's terminal",
    "there is no terminal",
    without="a session and terminals of its own",
)
async def terminal(ground: Ground) -> Outcome:
    """The caller has one, open to everybody: the isolation has to hold, not the mode."""
    ours, theirs = os.openpty()
    try:
        os.fchmod(theirs, 0o666)
        caller = started_by_another(
            ground, AT_A_TERMINAL, terminal=theirs, path=os.ttyname(theirs)
        )
        try:
            said, _ = await to_thread.run_sync(caller.communicate, abandon_on_cancel=True)
        finally:
            caller.kill()
    finally:
        os.close(ours)
        os.close(theirs)
    if caller.returncode != 0 or not (told := json.loads(said)):
        raise NotTriedError(f"its caller ended with {caller.returncode}")
    found = [*told["opened"], *(f"pushed into {number}" for number in told["pushed"])]
    found += [f"terminal {told['controlling']}"] if told["controlling"] else []
    return blocked_unless(found, "no controlling terminal, none to open or to push input into")


@probe(
    51, "Variables that load code", "refused before it starts", without="the check of variables"
)
async def loading_variables(ground: Ground) -> Outcome:  # noqa: ARG001 - the profile is all backends'
    """Each by its name."""
    names = ["LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP"]
    names += ["BASH_ENV", "ENV", "NODE_OPTIONS", "PERL5OPT", "RUBYOPT", "GIT_SSH_COMMAND"]
    names += ["GCONV_PATH", "GLIBC_TUNABLES", "PATH", "IFS", "EDITOR", "PAGER"]
    for name in names:
        try:
            SandboxProfile(environment={name: "/box/evil"})
        except ProfileError:
            continue
        return opened(f"{name} was taken")
    return blocked(f"{len(names)} names refused")


@probe(
    75,
    "Ids that mean on the host what they mean inside",
    "a user namespace of its own, in which nobody is the host's root",
    without="a user namespace",
    weak={
        "docker": Weakness(
            "without `userns-remap` of the engine, uid 0 of an image is uid 0 of the host; the"
            " job itself is another one (row 36)",
            unless="user_namespace",
        )
    },
)
async def user_ids(ground: Ground) -> Outcome:
    """The host's view of the namespace's map: a missing namespace shows the host's own."""
    found = []
    async with ground.living() as pid:
        for name, line in _id_maps(pid):
            first, host, count = map(int, line.split())
            if host <= 0 < host + count:
                found.append(f"{name}: {first - host} is 0 on the host")
    return blocked_unless(found, "no id inside is the host's root")


def _id_maps(pid: int) -> list[tuple[str, str]]:
    return [
        (name, line)
        for name in ("uid_map", "gid_map")
        for line in Path(f"/proc/{pid}/{name}").read_text("ascii").splitlines()
    ]
