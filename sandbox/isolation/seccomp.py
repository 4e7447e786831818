"""The system call policy: one allowlist, written out for each backend.

Default deny with EPERM. The same rules become Docker's JSON profile, an OCI runtime's section
and a classic BPF program for bubblewrap, so `POLICY_DIGEST` names what was enforced whichever backend ran the job.

What it does not protect from: a bug in an allowed call. It narrows the kernel's surface, it is
not a second kernel; for that use a runtime such as `runsc`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import platform
from dataclasses import dataclass
from typing import Any, Literal

from sandbox.errors import SandboxUnavailableError
from sandbox.isolation.syscalls import ALLOWED, GUARDED

Machine = Literal["x86_64", "aarch64"]

NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET of clone(2)."""

AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10


@dataclass(frozen=True, slots=True)
class Guard:
    """Allows a call when argument `index`, masked with `mask`, equals `value` (64 bit).

    Only equality is offered: "not equal" on 64 bits lets a caller set high bits which the
    kernel then cuts off (CVE-2019-10063).
    """

    index: int
    value: int
    mask: int = 0xFFFFFFFFFFFFFFFF


GUARDS: dict[str, tuple[Guard, ...]] = {
    "clone": (Guard(0, 0, NEW_NAMESPACES),),
    "socket": (Guard(0, AF_UNIX), Guard(0, AF_INET), Guard(0, AF_INET6)),
    "socketpair": (Guard(0, AF_UNIX),),
    "personality": (Guard(0, 0), Guard(0, 0xFFFFFFFF)),
}
"""Any one of a call's guards lets it through; none of them: EPERM."""

UNKNOWN_TO_US = ("clone3",)
"""Answered with ENOSYS: its arguments lie in memory a filter cannot read, and the C library
falls back to `clone` only on that error."""


def docker_profile() -> dict[str, Any]:
    """The policy as Docker's seccomp JSON (moby `profiles/seccomp`, engine 20.10 and later)."""
    rules: list[dict[str, Any]] = [
        {"names": sorted(ALLOWED), "action": "SCMP_ACT_ALLOW", "args": []}
    ]
    for name, guards in GUARDS.items():
        rules.extend(
            {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [_docker_argument(guard)]}
            for guard in guards
        )
    rules.extend(
        {"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS, "args": []}
        for name in UNKNOWN_TO_US
    )
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.EPERM,
        # No sub-architectures: 32-bit and x32 entries into the kernel are refused outright.
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
        ],
        "syscalls": rules,
    }


def oci_profile() -> dict[str, Any]:
    """The policy as `linux.seccomp` of the OCI Runtime Specification 1.0.2, for this machine.

    Without other architectures: 32-bit and x32 entries into the kernel are refused outright.
    """
    profile = docker_profile()
    known = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
    architectures = [known[name] for name in (platform.machine(),) if name in known]
    if not architectures:
        raise SandboxUnavailableError(
            f"there is no system call filter for {platform.machine()!r}", "use Docker here"
        )
    del profile["archMap"]
    return {**profile, "architectures": architectures}


def _docker_argument(guard: Guard) -> dict[str, Any]:
    if guard.mask == 0xFFFFFFFFFFFFFFFF:
        return {"index": guard.index, "value": guard.value, "op": "SCMP_CMP_EQ"}
    return {
        "index": guard.index,
        "value": guard.mask,
        "valueTwo": guard.value,
        "op": "SCMP_CMP_MASKED_EQ",
    }


def numbers(machine: Machine) -> tuple[dict[str, int], dict[str, int]]:
    """Numbers of the allowed and of the guarded calls that exist on `machine`."""
    column = 0 if machine == "x86_64" else 1
    allowed = {name: pair[column] for name, pair in ALLOWED.items()}
    guarded = {name: pair[column] for name, pair in GUARDED.items()}
    return (
        {name: number for name, number in allowed.items() if number is not None},
        {name: number for name, number in guarded.items() if number is not None},
    )


POLICY_DIGEST = (
    "sha256:"
    + hashlib.sha256(
        json.dumps(docker_profile(), sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()
)
"""Names the policy in the record of a call."""
