"""The system call filter, run instruction by instruction over every call number."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

import pytest

from sandbox import bpf
from sandbox.seccomp import GUARDS, UNKNOWN_TO_US, docker_profile, numbers
from sandbox.syscalls import ALLOWED, GUARDED

if TYPE_CHECKING:
    from sandbox.seccomp import Machine

MACHINES: tuple[Machine, ...] = ("x86_64", "aarch64")
EPERM = bpf.ERRNO | errno.EPERM
ENOSYS = bpf.ERRNO | errno.ENOSYS
NEW_NAMESPACES = [1 << bit for bit in (17, 25, 26, 27, 28, 29, 30)]


def run(machine: Machine, number: int, arguments: tuple[int, ...] = (), arch: int = 0) -> int:
    """Interprets the filter as the kernel would (only the instructions it uses)."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number, arch or bpf.AUDIT_ARCH[machine], 0, *padded)
    program = bpf.program(machine)
    accumulator, place = 0, 0
    while True:
        code, yes, no, constant = struct.unpack_from("<HBBI", program, place * 8)
        place += 1
        match code:
            case bpf.LOAD:
                (accumulator,) = struct.unpack_from("<I", data, constant)
            case bpf.AND:
                accumulator &= constant
            case bpf.JUMP_EQUAL:
                place += yes if accumulator == constant else no
            case bpf.JUMP_AT_LEAST:
                place += yes if accumulator >= constant else no
            case bpf.RETURN:
                return int(constant)
            case _:
                raise AssertionError(f"an instruction the filter must not use: {code:#x}")


@pytest.mark.parametrize("machine", MACHINES)
def test_every_number_gets_the_policys_answer(machine: Machine) -> None:
    """Allowed calls pass; all others, known or not, are refused."""
    allowed, guarded = numbers(machine)

    for number in range(1000):
        if number in guarded.values():
            continue
        wanted = bpf.ALLOW if number in allowed.values() else EPERM
        assert run(machine, number) == wanted, number


@pytest.mark.parametrize("machine", MACHINES)
def test_a_foreign_architecture_is_killed(machine: Machine) -> None:
    """Its numbers mean other calls."""
    i386, other = 0x40000003, bpf.AUDIT_ARCH["aarch64" if machine == "x86_64" else "x86_64"]

    assert {run(machine, n, arch=arch) for n in range(400) for arch in (i386, other)} == {
        bpf.KILL_PROCESS
    }


def test_x32_numbers_are_killed() -> None:
    assert {run("x86_64", bpf.X32_BIT + number) for number in range(600)} == {bpf.KILL_PROCESS}
    assert run("x86_64", 0xFFFFFFFF) == bpf.KILL_PROCESS


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("flag", NEW_NAMESPACES, ids=hex)
def test_no_flag_of_clone_makes_a_namespace(machine: Machine, flag: int) -> None:
    """Each flag alone and together with those of a thread; a plain fork and a thread pass."""
    clone = numbers(machine)[1]["clone"]
    thread = 0x003D0F00

    assert run(machine, clone, (17,)) == bpf.ALLOW
    assert run(machine, clone, (thread,)) == bpf.ALLOW
    assert run(machine, clone, (flag | 17,)) == EPERM
    assert run(machine, clone, (flag | thread,)) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_only_three_socket_families_pass(machine: Machine) -> None:
    """Also not with bits in the upper half, which the kernel would cut off."""
    guarded = numbers(machine)[1]

    passing = [f for f in range(64) if run(machine, guarded["socket"], (f, 1)) == bpf.ALLOW]

    assert passing == [1, 2, 10]
    assert run(machine, guarded["socket"], (1 << 32 | 1, 1)) == EPERM
    assert run(machine, guarded["socketpair"], (1, 1)) == bpf.ALLOW
    assert run(machine, guarded["socketpair"], (2, 1)) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_clone3_is_unknown(machine: Machine) -> None:
    """The C library falls back to clone only on ENOSYS."""
    assert run(machine, numbers(machine)[1]["clone3"]) == ENOSYS


@pytest.mark.parametrize(
    "name",
    [
        *(
            "unshare",
            "setns",
            "mount",
            "umount2",
            "pivot_root",
            "chroot",
            "open_tree",
            "fsopen",
        ),
        *(
            "io_uring_setup",
            "io_uring_enter",
            "bpf",
            "perf_event_open",
            "userfaultfd",
            "ptrace",
        ),
        *("process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "keyctl", "add_key"),
        *("request_key", "kexec_load", "init_module", "finit_module", "delete_module", "acct"),
        *("reboot", "swapon", "syslog", "settimeofday", "clock_settime", "sethostname"),
        *("open_by_handle_at", "name_to_handle_at", "fanotify_init", "quotactl", "iopl"),
        *("modify_ldt", "vmsplice", "io_setup", "memfd_secret", "lookup_dcookie"),
    ],
)
def test_a_dangerous_call_is_in_no_table(name: str) -> None:
    assert name not in ALLOWED
    assert name not in GUARDED


def test_both_forms_of_the_policy_say_the_same() -> None:
    """What Docker gets allows and guards exactly the calls of the filter."""
    rules = docker_profile()["syscalls"]
    allowed = {name for rule in rules if not rule["args"] for name in rule["names"]}
    guarded = {name for rule in rules if rule["args"] for name in rule["names"]}

    assert allowed - set(UNKNOWN_TO_US) == set(ALLOWED)
    assert guarded == set(GUARDS)
    assert set(GUARDS) | set(UNKNOWN_TO_US) == set(GUARDED)
    assert len({pair[0] for pair in (ALLOWED | GUARDED).values()}) == len(ALLOWED | GUARDED)
