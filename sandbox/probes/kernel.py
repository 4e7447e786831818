"""Cases 35 to 51: privileges, the kernel's entry points, and what the runtime leaves open."""

from __future__ import annotations

import os
import platform
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from sandbox.errors import ProfileError
from sandbox.probes.calls import GROUPS, X32_GETPID, arguments
from sandbox.probes.fixtures import CALM_SECONDS
from sandbox.probes.table import (
    blocked,
    blocked_unless,
    not_applicable,
    opened,
    probe,
)
from sandbox.profile import SandboxProfile

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
        raise RuntimeError(f"no call numbers for {platform.machine()}")
    answers: dict[str, str] = await ground.value("attempts:raw_calls", calls=calls)
    return [f"{name}: {answer}" for name, answer in answers.items() if answer not in REFUSED]


@probe(35, "Capabilities, new privileges, set-id programs", "none, and none to be had")
async def privileges(ground: Ground) -> Outcome:
    """Read from the host's side where the process can be seen there."""
    async with ground.living() as pid:
        status = _status(pid)
    held = {
        name: bits for name, bits in status.items() if name.startswith("Cap") and int(bits, 16)
    }
    if held or status.get("NoNewPrivs") != "1" or status.get("Seccomp") != "2":
        return opened(f"{held} nnp={status.get('NoNewPrivs')} filter={status.get('Seccomp')}")
    script = "for p in su mount passwd; do $p -h >/dev/null 2>&1; done; id -u"
    result = await ground.command("sh", "-c", script)
    return blocked_unless(
        result.stdout.strip() == b"0" and "it became uid 0",
        "no capability in any set, no new privileges, a system call filter",
    )


@probe(36, "Started by uid 0", "the job is not the host's root")
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


@probe(37, "A new user namespace", "refused")
async def user_namespace(ground: Ground) -> Outcome:
    """By each call that makes or enters one."""
    return blocked_unless(await _refused(ground, "namespaces"), "unshare, clone, setns")


@probe(38, "Mount, remount, change the root, the new mount calls", "refused")
async def mounting(ground: Ground) -> Outcome:
    """Both generations of calls."""
    return blocked_unless(await _refused(ground, "mounts"), "old and new calls")


@probe(39, "Make or open a device node", "refused; only the harmless ones exist")
async def device_nodes(ground: Ground) -> Outcome:
    """The first disk, and what lies in `/dev`."""
    made = await ground.value("attempts:make_device", folder="/box")
    shown = await ground.value("attempts:devices")
    found = [*shown, *([] if made in REFUSED else [f"mknod: {made}"])]
    found += await ground.value("abuse:can_open", paths=list(DEVICES))
    return blocked_unless(found, "mknod refused, /dev is bare")


@probe(40, "Trace or read another process, process 1 too", "refused")
async def other_processes(ground: Ground) -> Outcome:
    """By system call and through /proc."""
    opened_files = await ground.value("abuse:reach_process_1")
    allowed = await _refused(ground, "processes")
    return blocked_unless([*opened_files, *allowed], "calls refused, /proc/1 closed")


@probe(41, "Raw, packet, vsock, crypto, netlink and other sockets", "refused")
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
    answers = await ground.value("attempts:sockets", families=families)
    return blocked_unless(
        [name for name, answer in answers.items() if answer == "ok"],
        f"{len(families)} families",
    )


@probe(42, "io_uring, bpf, perf, keys, handles, modules, kexec, reboot", "refused")
async def dangerous_calls(ground: Ground) -> Outcome:
    """With arguments the kernel would not act on."""
    return blocked_unless(
        await _refused(ground, "dangerous"), f"{len(GROUPS['dangerous'])} calls refused"
    )


@probe(43, "The 32-bit and x32 entry points around the filter", "refused")
async def other_entries(ground: Ground) -> Outcome:
    """`int 0x80`, and a call number with the x32 bit."""
    if platform.machine() != "x86_64":
        return not_applicable("these entry points exist on x86-64 only")
    x32 = await ground.value("attempts:raw_calls", calls=[("x32", X32_GETPID, [])])
    old = await ground.value("abuse:call_32_bit")
    found = [f"x32: {x32['x32']}"] if x32["x32"] not in REFUSED else []
    found += [f"32-bit: {old}"] if old == "ok" else []
    return blocked_unless(found, f"x32: {x32['x32']}, 32-bit: {old}")


@probe(44, "Write the kernel's settings", "read-only")
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
        await ground.value("abuse:can_write", paths=entries), f"{len(entries)} settings"
    )


@probe(45, "Facts of the kernel that help an attack", "masked")
async def kernel_facts(ground: Ground) -> Outcome:
    """Memory, keys, timers, symbols, logs."""
    names = ("kcore", "keys", "timer_list", "latency_stats", "sched_debug", "kpageflags")
    entries = [f"/proc/{name}" for name in names]
    entries += ["/sys/firmware", "/sys/kernel/debug", "/sys/kernel/tracing"]
    entries += ["/sys/kernel/security", "/sys/devices/virtual/powercap"]
    readable = await ground.value("attempts:readable", paths=entries)
    readable += await ground.value("abuse:can_open", paths=["/proc/kmsg", *DEVICES])
    shown = await ground.value("abuse:kernel_addresses")
    log = await _refused(ground, "log")
    return blocked_unless(
        [*readable, *log, *([f"{shown} kernel addresses"] if shown else [])],
        f"{len(entries)} files, symbols, the log",
    )


@probe(46, "Raise one's own limits", "control groups read-only, hard limits stay")
async def own_limits(ground: Ground) -> Outcome:
    """Through the control group tree and by setrlimit."""
    groups = await ground.value("abuse:control_groups")
    raised = await ground.value("attempts:raise_limits")
    return blocked_unless([*groups, *raised], "neither groups nor limits can be changed")


@probe(47, "Set the clock or the host's name", "refused; deadlines use a clock nobody sets")
async def clock(ground: Ground) -> Outcome:
    """Every call that could."""
    return blocked_unless(await _refused(ground, "clock"), "refused")


@probe(48, "A descriptor the runtime left open", "the job has 0, 1, 2 and its answer")
async def left_descriptors(ground: Ground) -> Outcome:
    """What CVE-2024-21626 and its like need, as the host sees it."""
    async with ground.living() as pid:
        held = _descriptors(pid)
        with anyio.move_on_after(CALM_SECONDS):
            # A program that comes up opens its libraries, and closes them; a left one stays.
            while _odd(held):
                await anyio.sleep(0.02)
                held = _descriptors(pid)
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


@probe(49, "Aliases of the host's files and of the supervisor's variables", "lead nowhere")
async def aliases(ground: Ground) -> Outcome:
    """Roots and working folders of every process, back out through `..`."""
    canary = ground.folder / "canary"
    ways = ["/proc/self/root", "/proc/1/root", "/proc/1/cwd", "/proc/self/cwd/../../../.."]
    ways += ["/proc/self/task/../root", "/dev/fd/../../../.."]
    read = await ground.value("abuse:contents", paths=[f"{way}{canary}" for way in ways])
    variables = await ground.value("abuse:everything_told")
    found = list(read) + (["the caller's variable"] if ground.canary in variables else [])
    return blocked_unless(found, f"{len(ways)} ways")


@probe(50, "Type into the caller's terminal", "there is no terminal")
async def terminal(ground: Ground) -> Outcome:
    """TIOCSTI, and the controlling terminal as the host sees it."""
    told = await ground.value("abuse:terminal")
    async with ground.living() as pid:
        number = _terminal(pid)
    found = [name for name, answer in told.items() if answer in ("ok", "open")]
    found += [f"terminal {number}"] if number != "0" else []
    return blocked_unless(found, "no controlling terminal, no input to be pushed")


def _terminal(pid: int) -> str:
    """Field 7 of proc(5) stat: the device number of the controlling terminal, 0 for none."""
    text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    return text.rpartition(")")[2].split()[4]


@probe(51, "Variables that load code", "refused before it starts")
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
