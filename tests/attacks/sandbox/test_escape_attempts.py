"""What a job tries against its sandbox, and how little it gets."""

from __future__ import annotations

import json
import os
import platform
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import (
    CommandJob,
    Mount,
    ProfileError,
    PythonJob,
    SandboxProfile,
)
from sandbox.conformance import attempt
from sandbox.probes.calls import GROUPS, arguments

if TYPE_CHECKING:
    from sandbox import Sandbox

X86_64 = {
    "iopl": (172, [3]),
    "ioperm": (173, [0, 1, 1]),
    "modify_ldt": (154, [0, 0, 0]),
    "a number of the future": (600, [0]),
}
"""Calls beside those of the abuse suite that the policy refuses; harmless as they stand."""


def nobody_of(sandbox: Sandbox, seen: list[int]) -> int:
    """A container without a user namespace has an id of its own, which is nobody's."""
    return seen[0] if sandbox.name == "docker" and seen[0] >= 1000 else 65534


async def test_it_is_nobody_without_any_privilege(sandbox: Sandbox) -> None:
    """No uid 0 on either side of the user namespace, no capability, no new ones, a filter."""
    result = await attempt(sandbox, "identity", SandboxProfile(open_files=128))

    assert result.verdict == "ok", result
    found = result.value
    assert set(found["ids"]) == {nobody_of(sandbox, found["ids"])}
    assert 0 not in found["groups"]
    assert {int(bits, 16) for bits in found["capabilities"].values()} == {0}
    assert found["no_new_privileges"] == "1"
    assert found["seccomp"] == "2"
    assert found["tty"] is False
    assert found["core"] == [0, 0]
    assert found["nofile"] == [128, 128]
    assert set(found["descriptors"]) - {0, 1, 2, 3} <= {4, 5}  # the listing's own


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are x86-64's")
async def test_refused_calls_are_refused(sandbox: Sandbox) -> None:
    """Each answers EPERM, before the kernel looks at an argument."""
    attempts = [(name, number, given) for name, (number, given) in X86_64.items()]
    attempts += [call for group in GROUPS for call in arguments(group)]

    result = await attempt(sandbox, "raw_calls", calls=attempts)

    assert result.verdict == "ok", result
    # runc answers ENOSYS for numbers above those its libseccomp knows
    future = result.value.pop("a number of the future")
    assert future in {"EPERM", "ENOSYS"}
    assert result.value == dict.fromkeys(result.value, "EPERM")
    assert len(result.value) == len(attempts) - 1


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x32 exists on x86-64 only")
async def test_another_entry_into_the_kernel_is_death(sandbox: Sandbox) -> None:
    """The x32 numbers of allowed calls are not allowed; clone3 is unknown, not refused."""
    getpid, mount = 0x40000000 + 39, 0x40000000 + 165
    attempts = [("getpid", getpid, []), ("mount", mount, [0] * 5), ("clone3", 435, [0, 0])]

    result = await attempt(sandbox, "raw_calls", calls=attempts)

    refused = {"signal 31", "EPERM", "ENOSYS"}
    assert result.value["getpid"] in refused
    assert result.value["mount"] in refused
    assert result.value["clone3"] == "ENOSYS"


async def test_odd_sockets_do_not_open(sandbox: Sandbox) -> None:
    """Only unix and internet sockets exist, and no raw ones."""
    stream, raw = int(socket.SOCK_STREAM), int(socket.SOCK_RAW)
    odd = {
        "vsock": (40, stream, 0),
        "packet": (17, raw, 0),
        "netlink": (16, raw, 0),
        "netlink netfilter": (16, raw, 12),
        "alg": (38, int(socket.SOCK_SEQPACKET), 0),
        "bluetooth": (31, raw, 1),
        "can": (29, raw, 1),
        "xdp": (44, raw, 0),
        "tipc": (30, stream, 0),
        "raw": (2, raw, 1),
        "raw 6": (10, raw, 58),
    }
    usual = {"unix": (1, stream, 0), "internet": (2, stream, 0), "internet 6": (10, stream, 0)}

    result = await attempt(sandbox, "sockets", families={**odd, **usual})

    opened = {name for name, how in result.value.items() if how == "ok"}
    assert opened == set(usual)


async def test_the_kernels_settings_cannot_be_written(sandbox: Sandbox) -> None:
    """Not even where the launcher was the host's root."""
    entries = [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sysrq-trigger",
        "/sys/kernel/uevent_helper",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/pids/pids.max",
        "/sys/fs/cgroup/release_agent",
        "/proc/1/oom_score_adj",
    ]

    result = await attempt(sandbox, "writable", paths=entries)

    assert result.value == []


async def test_the_hosts_secrets_are_not_there(sandbox: Sandbox) -> None:
    """No home, no keys, no shadow, no masked facts of the kernel."""
    entries = [
        *(f"{Path.home()}/{name}" for name in (".ssh", ".cache", ".bashrc", ".profile")),
        "/home",
        "/etc/shadow",
        "/etc/ssh",
        "/etc/hosts",
        "/tmp",
        "/var/lib/docker",
        "/proc/kcore",
        "/proc/keys",
        "/proc/timer_list",
        "/proc/1/root/etc",
        "/proc/self/root/etc/shadow",
        "/dev/kmsg",
        "/dev/mem",
    ]

    result = await attempt(sandbox, "readable", paths=entries)

    # A container has an /etc/hosts of its own.
    assert set(result.value) <= ({"/etc/hosts"} if sandbox.name == "docker" else set())


async def test_no_daemon_can_be_called(sandbox: Sandbox) -> None:
    """The container engines' and the system's sockets are absent."""
    entries = [
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/systemd/private",
        "/run/dbus/system_bus_socket",
        "\0/tmp/.X11-unix/X0",
    ]

    result = await attempt(sandbox, "unix_sockets", paths=entries)

    assert result.value == []


async def test_an_abstract_socket_of_the_host_is_out_of_reach(sandbox: Sandbox) -> None:
    """Abstract names belong to the network namespace."""
    name = f"\0wardline-host-socket-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()

        result = await attempt(sandbox, "unix_sockets", paths=[name])

    assert result.value == []


async def test_devices_are_neither_there_nor_made(sandbox: Sandbox) -> None:
    """/dev has the harmless nodes only, and mknod of a disk fails."""
    seen = await attempt(sandbox, "devices")
    made = await attempt(sandbox, "make_device", folder="/box")

    assert seen.value == []
    assert made.value in {"EPERM", "EACCES"}


async def test_a_set_id_program_gives_nothing(sandbox: Sandbox) -> None:
    """`no_new_privs` holds across exec, also for su and mount."""
    job = CommandJob(
        ("sh", "-c", "for p in su mount passwd; do $p -h >/dev/null 2>&1; done; id -u")
    )

    result = await sandbox.run(job, SandboxProfile())

    number = int(result.stdout)
    assert number == nobody_of(sandbox, [number])


async def test_the_command_line_of_process_1_has_no_secret(sandbox: Sandbox) -> None:
    """It is the runner's own source: neither the job's arguments nor its variables."""
    canary = "canary-5a3f"
    job = CommandJob(("cat", "/proc/1/cmdline", "/proc/self/mountinfo"), canary.encode())

    result = await sandbox.run(job, SandboxProfile(environment={"TOKEN": canary}))

    assert canary.encode() not in result.stdout


def _mounts() -> list[Path]:
    risky = [
        "/",
        "/root",
        "/home",
        "/etc",
        "/etc/passwd",
        "/proc",
        "/sys",
        "/dev",
        "/run",
        "/usr",
    ]
    return [Path(path) for path in [*risky, "/var/run/docker.sock", "/no/such/path"]]


@pytest.mark.parametrize("source", _mounts(), ids=str)
async def test_a_mount_that_opens_the_host_is_refused(sandbox: Sandbox, source: Path) -> None:
    """Whole systems, kernel interfaces and sockets are not shown, not even read-only."""
    profile = SandboxProfile(mounts=(Mount(source, "/data"),))

    with pytest.raises(ProfileError):
        await sandbox.run(CommandJob(("true",)), profile)


async def test_a_link_to_a_forbidden_path_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    """The real path counts."""
    link = tmp_path / "innocent"
    link.symlink_to("/etc")

    with pytest.raises(ProfileError):
        await sandbox.run(PythonJob("m:f", {}, (link,)), SandboxProfile())


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP", "BASH_ENV", "PATH"]
)
def test_a_variable_that_loads_code_is_refused(name: str) -> None:
    with pytest.raises(ProfileError):
        SandboxProfile(environment={name: "/box/evil.so"})


async def test_a_read_only_mount_stays_so(sandbox: Sandbox) -> None:
    """A job sees the mounted directory and cannot change it."""
    source = Path(__file__).parent
    profile = SandboxProfile(mounts=(Mount(source, "/data"),))
    script = "ls /data; touch /data/x 2>/dev/null || echo refused"

    result = await sandbox.run(CommandJob(("sh", "-c", script)), profile)

    lines = result.stdout.decode().split()
    assert Path(__file__).name in lines
    assert lines[-1] == "refused"


async def test_nested_json_and_huge_output_do_not_reach_the_broker(sandbox: Sandbox) -> None:
    """A value that would exhaust a parser is an error of the job."""
    bomb = json.dumps({"value": 1})[:-1] + ', "x": ' + "[" * 50_000 + "]" * 50_000 + "}"

    result = await attempt(sandbox, "forge", text=bomb)

    assert result.verdict == "raised"
    assert result.value is None
