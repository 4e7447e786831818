"""System calls the suite makes by number, with arguments on which no kernel acts.

Numbers of x86-64 and arm64 (`asm/unistd_64.h`, `asm-generic/unistd.h`). A call that got past
every call gets a bad pointer, a bad descriptor or an impossible length.
"""

from __future__ import annotations

import platform

NEW_USER = 0x10000000
SIGCHLD = 17
HERE = 2**64 - 100  # AT_FDCWD as an unsigned long
NEVER = 2**64 - 1
BAD = 1  # no address of any process
TOO_MANY_SEGMENTS = 17

GETPID = {"x86_64": 39, "aarch64": 172}
"""By machine: a call that is always allowed."""

X32_GETPID = 0x40000000 + GETPID["x86_64"]

Call = tuple[int, int, list[int]]
"""Number on x86-64, on arm64, arguments."""

GROUPS: dict[str, dict[str, Call]] = {
    "namespaces": {
        "unshare": (272, 97, [NEW_USER]),
        "clone": (56, 220, [NEW_USER | SIGCHLD, 0, 0, 0, 0]),
        "setns": (308, 268, [NEVER, 0]),
    },
    "mounts": {
        "mount": (165, 40, [BAD, BAD, BAD, 0, 0]),
        "umount2": (166, 39, [BAD, 0]),
        "pivot_root": (155, 41, [BAD, BAD]),
        "chroot": (161, 51, [BAD]),
        "fsopen": (430, 430, [BAD, 0]),
        "fspick": (433, 433, [HERE, BAD, 0]),
        "open_tree": (428, 428, [HERE, BAD, 0]),
        "move_mount": (429, 429, [NEVER, BAD, NEVER, BAD, 0]),
        "mount_setattr": (442, 442, [HERE, BAD, 0, BAD, 0]),
    },
    "processes": {
        "ptrace": (101, 117, [0, 0, 0, 0]),  # PTRACE_TRACEME, in a child that ends at once
        "process_vm_readv": (310, 270, [1, BAD, 1, BAD, 1, 0]),
        "process_vm_writev": (311, 271, [1, BAD, 1, BAD, 1, 0]),
        "pidfd_getfd": (438, 438, [NEVER, 0, 0]),
        "process_madvise": (440, 440, [NEVER, BAD, 1, 0, 0]),
        "kcmp": (312, 272, [1, 1, 0, 0, 0]),
    },
    "dangerous": {
        "io_uring_setup": (425, 425, [8, BAD]),
        "io_uring_enter": (426, 426, [NEVER, 0, 0, 0, 0, 0]),
        "io_uring_register": (427, 427, [NEVER, 0, 0, 0]),
        "bpf": (321, 280, [0, BAD, 8]),
        "perf_event_open": (298, 241, [BAD, 0, NEVER, NEVER, 0]),
        "userfaultfd": (323, 282, [0]),
        "keyctl": (250, 219, [0, NEVER - 2, 0, 0, 0]),
        "add_key": (248, 217, [BAD, BAD, 0, 0, 0]),
        "request_key": (249, 218, [BAD, BAD, 0, 0]),
        "open_by_handle_at": (304, 265, [NEVER, BAD, 0]),
        "name_to_handle_at": (303, 264, [HERE, BAD, BAD, BAD, 0]),
        "fanotify_init": (300, 262, [0, 0]),
        "kexec_load": (246, 104, [0, TOO_MANY_SEGMENTS, BAD, 0]),
        "kexec_file_load": (320, 294, [NEVER, NEVER, 0, BAD, 0]),
        "init_module": (175, 105, [BAD, 0, BAD]),
        "finit_module": (313, 273, [NEVER, BAD, 0]),
        "delete_module": (176, 106, [BAD, 0]),
        "reboot": (169, 142, [0, 0, 0, 0]),  # without its magic numbers
        "swapon": (167, 224, [BAD, 0]),
        "swapoff": (168, 225, [BAD]),
        "acct": (163, 89, [BAD]),
        "quotactl": (179, 60, [0, BAD, 0, BAD]),
        "memfd_secret": (447, 447, [NEVER]),
        "personality": (135, 92, [0x0400000]),  # ADDR_NO_RANDOMIZE, in a child that ends
        "mbind": (237, 235, [0, 0, NEVER, 0, 0, 0]),
    },
    "log": {"syslog": (103, 116, [3, 0, 0])},
    "clock": {
        "settimeofday": (164, 170, [BAD, 0]),
        "clock_settime": (227, 112, [0, BAD]),
        "clock_adjtime": (305, 266, [0, BAD]),
        "adjtimex": (159, 171, [BAD]),
        "sethostname": (170, 161, [BAD, NEVER]),
        "setdomainname": (171, 162, [BAD, NEVER]),
    },
}
"""Calls the policy refuses before the kernel looks at an argument."""


def arguments(group: str) -> list[tuple[str, int, list[int]]]:
    """Name, number on this machine, and arguments of a group; empty on an unknown machine."""
    machine = platform.machine()
    if machine not in ("x86_64", "aarch64"):
        return []
    return [
        (name, intel if machine == "x86_64" else aarch64, list(given))
        for name, (intel, aarch64, given) in GROUPS[group].items()
    ]
