"""The system call policy as a classic BPF program (seccomp(2), `struct sock_filter`).

Kept small on purpose: five instructions, forward jumps only, each call tested in turn. The
program first refuses a foreign architecture and, on x86-64, the x32 calls, because both would
give the same numbers another meaning. A table test runs the program over every call number.
"""

from __future__ import annotations

import errno
import struct
from functools import cache
from typing import TYPE_CHECKING

from sandbox.isolation.seccomp import GUARDS, UNKNOWN_TO_US, numbers

if TYPE_CHECKING:
    from sandbox.isolation.seccomp import Guard, Machine

LOAD, AND, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
"""BPF_LD|W|ABS, BPF_ALU|AND|K, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K."""

ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
ERRNO = 0x00050000

NUMBER_OFFSET, ARCHITECTURE_OFFSET, ARGUMENTS_OFFSET = 0, 4, 16
"""Offsets into `struct seccomp_data`; arguments are 64-bit, little endian on both machines."""

AUDIT_ARCH: dict[Machine, int] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32_BIT = 0x40000000

Instruction = tuple[int, int, int, int]
"""Operation, jump if true, jump if false, constant."""


@cache
def program(machine: Machine) -> bytes:
    """The filter for `machine`, as the array of `struct sock_filter` bubblewrap reads."""
    return b"".join(struct.pack("<HBBI", *step) for step in instructions(machine))


def instructions(machine: Machine) -> list[Instruction]:
    """The filter, one tuple per instruction."""
    allowed, guarded = numbers(machine)
    steps: list[Instruction] = [
        (LOAD, 0, 0, ARCHITECTURE_OFFSET),
        (JUMP_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, NUMBER_OFFSET),
    ]
    if machine == "x86_64":
        steps += [(JUMP_AT_LEAST, 0, 1, X32_BIT), (RETURN, 0, 0, KILL_PROCESS)]
    for first, last in _ranges(sorted(allowed.values())):
        steps += _allow_range(first, last)
    for name, number in guarded.items():
        steps += _guarded(number, name)
    return [*steps, (RETURN, 0, 0, ERRNO | errno.EPERM)]


def _allow_range(first: int, last: int) -> list[Instruction]:
    if first == last:
        return [(JUMP_EQUAL, 0, 1, first), (RETURN, 0, 0, ALLOW)]
    return [
        (JUMP_AT_LEAST, 0, 2, first),
        (JUMP_AT_LEAST, 1, 0, last + 1),
        (RETURN, 0, 0, ALLOW),
    ]


def _guarded(number: int, name: str) -> list[Instruction]:
    if name in UNKNOWN_TO_US:
        body: list[Instruction] = [(RETURN, 0, 0, ERRNO | errno.ENOSYS)]
    else:
        body = [step for guard in GUARDS[name] for step in _guard(guard)]
        body.append((RETURN, 0, 0, ERRNO | errno.EPERM))
    return [(JUMP_EQUAL, 0, len(body), number), *body]


def _guard(guard: Guard) -> list[Instruction]:
    """Both halves of the argument must match; the accumulator is free to be overwritten."""
    offset = ARGUMENTS_OFFSET + 8 * guard.index
    low, high = guard.value & 0xFFFFFFFF, guard.value >> 32
    low_mask, high_mask = guard.mask & 0xFFFFFFFF, guard.mask >> 32
    return [
        (LOAD, 0, 0, offset),
        (AND, 0, 0, low_mask),
        (JUMP_EQUAL, 0, 4, low),
        (LOAD, 0, 0, offset + 4),
        (AND, 0, 0, high_mask),
        (JUMP_EQUAL, 0, 1, high),
        (RETURN, 0, 0, ALLOW),
    ]


def _ranges(values: list[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for value in values:
        if found and value == found[-1][1] + 1:
            found[-1] = (found[-1][0], value)
        else:
            found.append((value, value))
    return found
