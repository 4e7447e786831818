"""What a job must not be able to do: each function tries, and returns how far it got.

Standard library only. The judgement is made outside.
"""

# ruff: noqa: INP001 - a code root, not a package
# ruff: noqa: PTH123, S108 - attempts go by plain system calls
from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal
import socket
import stat
import time
from pathlib import Path
from typing import Any

OUT = Path("/box/out")


def environment() -> dict[str, Any]:
    """Its variables, and every environment of another process it can read."""
    seen = {}
    for path in Path("/proc").glob("[0-9]*/environ"):
        if path.parent.name != str(os.getpid()):
            with contextlib.suppress(OSError):
                seen[path.parent.name] = path.read_bytes().decode("utf-8", "replace")
    return {"own": dict(os.environ), "others": seen}


def writable(paths: list[str]) -> list[str]:
    """The directories and files among `paths` that it could write to."""
    found = []
    for path in paths:
        file = path if not os.path.isdir(path) else f"{path}/wardline-probe"  # noqa: PTH112
        try:
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))
        except OSError:
            continue
        found.append(path)
    return found


def writable_anywhere() -> list[str]:
    """Every directory of the sandbox's file system it could make a file in."""
    found = []
    for folder, names, _ in os.walk("/", followlinks=False):
        if folder == "/" and "proc" in names:
            names.remove("proc")
        if folder.startswith("/usr/"):
            names.clear()
        found += writable([folder])
    return found


def network() -> dict[str, Any]:
    """Interfaces, and which of some addresses and names it could reach."""
    reached = []
    for host, port in (
        ("1.1.1.1", 53),
        ("169.254.169.254", 80),
        ("172.17.0.1", 80),
        ("10.0.0.1", 80),
        ("2606:4700:4700::1111", 53),
    ):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as stream:
            stream.settimeout(1)
            code = stream.connect_ex((host, port))
            if code not in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL):
                reached.append([host, errno.errorcode.get(code, str(code))])
    try:
        resolved = bool(socket.getaddrinfo("example.com", 80))
    except OSError:
        resolved = False
    interfaces = [line.split(":")[0].strip() for line in _lines("/proc/net/dev")[2:]]
    return {"reached": reached, "resolved": resolved, "interfaces": interfaces}


def unix_sockets(paths: list[str]) -> list[str]:
    """The unix sockets among `paths` it could connect to."""
    found = []
    for path in paths:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
            if stream.connect_ex(path) == 0:
                found.append(path)
    return found


def plant() -> None:
    """Fills the out folder with everything that must not come out, and one file that must."""
    (OUT / "good.txt").write_text("good")
    (OUT / "link").symlink_to("/etc/passwd")
    (OUT / "folder-link").symlink_to("/etc")
    (OUT / "dangling").symlink_to("/nowhere")
    os.mkfifo(OUT / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(OUT / "socket"))
    (OUT / "first-name").write_text("two names")
    os.link(OUT / "first-name", OUT / "second-name")
    with open(OUT / "sparse", "wb") as target:
        with contextlib.suppress(OSError):
            os.ftruncate(target.fileno(), 10 * 1024**4)
        with contextlib.suppress(OSError):
            os.ftruncate(target.fileno(), 32 * 1024**2)
    (OUT / "closed").mkdir()
    (OUT / "closed").chmod(0)
    os.close(os.open(b"/box/out/new\nline", os.O_CREAT | os.O_WRONLY))
    os.close(os.open(b"/box/out/bad-\xff-utf8", os.O_CREAT | os.O_WRONLY))
    deep = OUT
    for _ in range(30):
        deep /= "d"
        deep.mkdir()
    (deep / "too-deep.txt").write_text("deep")


def replace_out_folder() -> None:
    """Puts a link to the host's files where the out folder was."""
    OUT.rmdir()
    OUT.symlink_to("/etc")


def leave_state() -> list[str]:
    """Leaves marks wherever it can; gives the marks of an earlier call it found."""
    marks = [
        Path("/box/mark"),
        Path("/tmp/mark"),
        Path("/dev/shm/mark"),
        Path("/var/tmp/mark"),
    ]
    found = [str(mark) for mark in marks if mark.exists()]
    for mark in marks:
        with contextlib.suppress(OSError):
            mark.write_text("mark")
    os.environ["MARK"] = "mark"
    return found


def forge(text: str) -> None:
    """Writes an answer of its own and leaves."""
    os.write(3, text.encode())
    os._exit(0)


def attack_runner() -> dict[str, str]:
    """Goes for process 1: its descriptors, its memory, its life."""
    attempts = {f"fd/{number}": os.O_WRONLY for number in range(16)}
    attempts |= {"fd": os.O_RDONLY, "mem": os.O_RDWR, "environ": os.O_RDONLY}
    attempts |= {"maps": os.O_RDONLY, "syscall": os.O_RDONLY, "root": os.O_RDONLY}
    outcome = {}
    for name, flags in attempts.items():
        try:
            number = os.open(f"/proc/1/{name}", flags)
            if name == "fd":
                os.listdir(number)  # noqa: PTH208
            else:
                os.read(number, 1)
        except OSError as err:
            outcome[name] = errno.errorcode.get(err.errno or 0, "?")
        else:
            outcome[name] = "open"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL):
        with contextlib.suppress(OSError):
            os.kill(1, number)
    time.sleep(0.05)
    return outcome


def identity() -> dict[str, Any]:
    """Who it is and what the kernel says of its privileges."""
    status = dict(line.split(":\t", 1) for line in _lines("/proc/self/status") if ":\t" in line)
    return {
        "ids": [*os.getresuid(), *os.getresgid()],
        "groups": os.getgroups(),
        "capabilities": {
            name: status[name].strip() for name in status if name.startswith("Cap")
        },
        "no_new_privileges": status["NoNewPrivs"].strip(),
        "seccomp": status["Seccomp"].strip(),
        "tty": _can_open("/dev/tty"),
        "core": list(resource.getrlimit(resource.RLIMIT_CORE)),
        "nofile": list(resource.getrlimit(resource.RLIMIT_NOFILE)),
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd")),  # noqa: PTH208
        "uid_map": _lines("/proc/self/uid_map"),
    }


def raw_calls(calls: list[tuple[str, int, list[int]]]) -> dict[str, str]:
    """Makes system calls by number, each in a child; gives `ok`, the errno, or the signal."""
    libc = ctypes.CDLL(None, use_errno=True)
    outcome = {}
    for name, number, arguments in calls:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            code = libc.syscall(number, *map(ctypes.c_ulong, arguments))
            text = "ok" if code >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")
            os.write(writer, text.encode())
            os._exit(0)
        os.close(writer)
        said = os.read(reader, 100).decode()
        os.close(reader)
        _, status = os.waitpid(child, 0)
        outcome[name] = said or f"signal {os.WTERMSIG(status)}"
    return outcome


def sockets(families: dict[str, tuple[int, int, int]]) -> dict[str, str]:
    """Opens sockets; gives `ok` or the errno by name."""
    outcome = {}
    for name, (family, kind, protocol) in families.items():
        try:
            socket.socket(family, kind, protocol).close()
        except OSError as err:
            outcome[name] = errno.errorcode.get(err.errno or 0, "?")
        else:
            outcome[name] = "ok"
    return outcome


def readable(paths: list[str]) -> list[str]:
    """The files and directories among `paths` with something in them to read."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            if os.path.isdir(path):  # noqa: PTH112
                seen = bool(os.listdir(path))  # noqa: PTH208
            else:
                with open(path, "rb") as source:
                    seen = bool(source.read(64).strip(b"\0"))
            if seen:
                found.append(path)
    return found


def devices() -> list[str]:
    """Device nodes it can see besides the harmless ones."""
    harmless = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "console"}
    found = []
    for folder, _, names in os.walk("/dev"):
        for name in names:
            with contextlib.suppress(OSError):
                mode = os.stat(f"{folder}/{name}").st_mode  # noqa: PTH116
                if (stat.S_ISBLK(mode) or stat.S_ISCHR(mode)) and name not in harmless:
                    found.append(f"{folder}/{name}")
    return [path for path in found if not path.startswith("/dev/pts")]


def make_device(folder: str) -> str:
    """Tries to make the node of the first disk."""
    try:
        os.mknod(f"{folder}/disk", stat.S_IFBLK | 0o600, os.makedev(8, 0))
    except OSError as err:
        return errno.errorcode.get(err.errno or 0, "?")
    return "ok"


def raise_limits(promised: dict[str, int]) -> list[str]:
    """The resource limits (setrlimit(2)) it got above what was promised."""
    raised = []
    for name, most in promised.items():
        which = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(which)[1]
        for ceiling in (hard, most + 1, resource.RLIM_INFINITY):
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(which, (most + 1, ceiling))
        if not 0 <= resource.getrlimit(which)[0] <= most:
            raised.append(name)
    return raised


def _can_open(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDWR))
    except OSError:
        return False
    return True


def _lines(path: str) -> list[str]:
    return Path(path).read_text("utf-8", "replace").splitlines()
