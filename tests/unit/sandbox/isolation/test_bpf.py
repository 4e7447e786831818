"""The system call filter run instruction by instruction, and Docker's form of it beside it."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.isolation import bpf
from sandbox.isolation.seccomp import (
    GUARDS,
    UNKNOWN_TO_US,
    docker_profile,
    numbers,
)
from sandbox.isolation.syscalls import ALLOWED, GUARDED

if TYPE_CHECKING:
    from sandbox.isolation.seccomp import Machine

MACHINES: tuple[Machine, ...] = ("x86_64", "aarch64")
EPERM = bpf.ERRNO | errno.EPERM
ENOSYS = bpf.ERRNO | errno.ENOSYS
NEW_NAMESPACES = [1 << bit for bit in (17, 25, 26, 27, 28, 29, 30)]


def run(machine: Machine, number: int, arguments: tuple[int, ...] = (), arch: int = 0) -> int:
    """Interprets the filter as the kernel would (only the instructions it uses)."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number, arch or bpf.AUDIT_ARCH[machine], 0, *padded)
    program = bpf.program(machine)
    accumulator, path = 0, 0
    while True:
        code, yes, no, constant = struct.unpack_from("<HBBI", program, path * 8)
        path += 1
        match code:
            case bpf.LOAD:
                (accumulator,) = struct.unpack_from("<I", data, constant)
            case bpf.AND:
                accumulator &= constant
            case bpf.JUMP_EQUAL:
                path += yes if accumulator == constant else no
            case bpf.JUMP_AT_LEAST:
                path += yes if accumulator >= constant else no
            case bpf.RETURN:
                return int(constant)
            case _:
                raise AssertionError(f"an instruction the filter must not use: {code:#x}")


def docker_answer(name: str, arguments: tuple[int, ...] = ()) -> int:
    """What libseccomp does with the JSON profile: a matching rule's action, else the default."""
    profile = docker_profile()
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    for rule in profile["syscalls"]:
        if name in rule["names"] and all(_holds(one, padded) for one in rule["args"]):
            refused = rule["action"] != "SCMP_ACT_ALLOW"
            return bpf.ERRNO | int(rule["errnoRet"]) if refused else bpf.ALLOW
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    return bpf.ERRNO | int(profile["defaultErrnoRet"])


def _holds(argument: dict[str, Any], arguments: tuple[int, ...]) -> bool:
    given_value = arguments[argument["index"]]
    if argument["op"] == "SCMP_CMP_EQ":
        return bool(given_value == argument["value"])
    assert argument["op"] == "SCMP_CMP_MASKED_EQ"
    return bool(given_value & argument["value"] == argument["valueTwo"])


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
    assert docker_answer(name) == EPERM


def test_both_forms_of_the_policy_say_the_same() -> None:
    """What Docker gets allows and guards exactly the calls of the filter."""
    rules = docker_profile()["syscalls"]
    allowed = {name for rule in rules if not rule["args"] for name in rule["names"]}
    guarded = {name for rule in rules if rule["args"] for name in rule["names"]}

    assert allowed - set(UNKNOWN_TO_US) == set(ALLOWED)
    assert guarded == set(GUARDS)
    assert set(GUARDS) | set(UNKNOWN_TO_US) == set(GUARDED)
    assert len({pair[0] for pair in (ALLOWED | GUARDED).values()}) == len(ALLOWED | GUARDED)


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        pytest.param("clone", (17,), bpf.ALLOW, id="a fork"),
        pytest.param("clone", (0x10000000 | 17,), EPERM, id="a user namespace"),
        pytest.param("clone3", (), ENOSYS, id="clone3"),
        pytest.param("socket", (1, 1), bpf.ALLOW, id="unix"),
        pytest.param("socket", (2, 1), bpf.ALLOW, id="internet"),
        pytest.param("socket", (40, 1), EPERM, id="vsock"),
        pytest.param("socket", (16, 3), EPERM, id="netlink"),
        pytest.param("socket", (17, 3), EPERM, id="packet"),
        pytest.param("socket", (1 << 32 | 1, 1), EPERM, id="high bits"),
        pytest.param("socketpair", (2, 1), EPERM, id="an internet pair"),
        pytest.param("personality", (0,), bpf.ALLOW, id="the plain personality"),
        pytest.param("personality", (0x0400000,), EPERM, id="no randomized addresses"),
    ],
)
@pytest.mark.parametrize("machine", MACHINES)
def test_arguments_count_in_both_forms(
    machine: Machine, name: str, arguments: tuple[int, ...], answer: int
) -> None:
    assert docker_answer(name, arguments) == answer
    assert run(machine, numbers(machine)[1][name], arguments) == answer


@pytest.mark.parametrize("machine", MACHINES)
def test_both_forms_give_every_call_the_same_answer(machine: Machine) -> None:
    """Without arguments, for each call the policy names."""
    allowed, guarded = numbers(machine)

    for name, number in (allowed | guarded).items():
        assert run(machine, number) == docker_answer(name), name


@given(
    machine=st.sampled_from(MACHINES),
    name=st.sampled_from(sorted(GUARDED)),
    first=st.one_of(st.integers(0, 64), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)),
)
def test_both_forms_give_any_argument_the_same_answer(
    machine: Machine, name: str, first: int
) -> None:
    assert run(machine, numbers(machine)[1][name], (first,)) == docker_answer(name, (first,))


def test_docker_opens_no_second_architecture() -> None:
    """Its 32-bit and x32 entry points stay shut."""
    assert all(entry["subArchitectures"] == [] for entry in docker_profile()["archMap"])
