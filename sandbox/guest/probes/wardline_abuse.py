"""Attempts of the abuse suite. Each goes a little past what is promised and never to the end.

A machine without any isolation must survive the suite: bombs are counted, kernel settings are
opened and not written, calls that could change the host carry arguments the kernel refuses.
Standard library only; the judgement is made outside. One function for each
row of the table that needs code inside, in its order, which is why the file is long.
"""

# ruff: noqa: INP001 - a code root, not a package
# ruff: noqa: PTH102, PTH106, PTH108, PTH123, PTH208, S108 - attempts go by plain system calls
from __future__ import annotations

import base64
import contextlib
import ctypes
import errno
import json
import mmap
import os
import random
import socket
import stat
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

OUT = Path("/box/out")
TIOCSTI = 0x5412
IPC_CREAT = 0o1000
AT_TMPFILE = getattr(os, "O_TMPFILE", 0)


def fork_many(count: int) -> int:
    """Forks up to `count` waiting children; gives how many it got, or fails at the limit."""
    for _ in range(count):
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
    return count


def fill_to(folder: str, size: int) -> int:
    """Writes up to `size` bytes; fails where the disk is full."""
    with open(f"{folder}/fill", "wb") as target:
        target.writelines(b"x" * 65536 for _ in range(size // 65536))
    return size


def flood_to(size: int) -> int:
    """Writes `size` bytes of output."""
    left = size
    while left > 0:
        left -= os.write(1, b"x" * 8192)
    return size


def open_to(count: int) -> int:
    """Opens up to `count` descriptors; gives how many it got."""
    held: list[int] = []
    with contextlib.suppress(OSError):
        while len(held) < count:
            held.append(os.open("/dev/null", os.O_RDONLY))
    for number in held:
        os.close(number)
    return len(held)


def burn(processes: int, seconds: float) -> int:
    """Keeps `processes` processes busy for `seconds` of wall clock."""
    end = time.monotonic() + seconds
    children = []
    for _ in range(processes):
        child = os.fork()
        if child == 0:
            while time.monotonic() < end:
                pass
            os._exit(0)
        children.append(child)
    return sum(os.waitpid(child, 0)[1] == 0 for child in children)


def many_out(count: int, size: int) -> int:
    """Leaves up to `count` files of `size` bytes in the out folder; gives how many it could."""
    for number in range(count):
        try:
            (OUT / f"file{number}").write_bytes(b"x" * size)
        except OSError:
            return number
    return count


def odd_names() -> None:
    """Leaves names that lie to a terminal or to a shell."""
    for name in (b"new\nline", b"bad-\xff", b"--help", b"\x1b[2J", b"a\tb", b"x" * 200):
        os.close(os.open(b"/box/out/" + name, os.O_CREAT | os.O_WRONLY))
    deep = OUT
    for _ in range(40):
        deep /= "d"
        deep.mkdir()


def links(targets: list[str]) -> list[str]:
    """Plants links to `targets` in the out folder; gives the hard links that could be made."""
    made = []
    for number, target in enumerate(targets):
        (OUT / f"soft{number}").symlink_to(target)
        with contextlib.suppress(OSError):
            os.link(target, OUT / f"hard{number}")
            made.append(target)
    return made


def swap_for_ever(target: str) -> int:
    """Leaves a child that keeps swapping a folder for a link; gives the swaps it saw so far."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        end = time.monotonic() + 5
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                (OUT / "d").mkdir()
                (OUT / "d" / "passwd").write_text("swap")
                os.rename(OUT / "d", OUT / "e")  # noqa: PTH104
                (OUT / "d").symlink_to(target)
                os.write(writer, b".")
                (OUT / "d").unlink()
                os.rename(OUT / "e", OUT / "d")  # noqa: PTH104
                (OUT / "d" / "passwd").unlink()
                os.rmdir(OUT / "d")
        os._exit(0)
    return len(os.read(reader, 1))


def specials() -> list[str]:
    """Puts a pipe, a socket and, if it may, a device where files are expected."""
    os.mkfifo(OUT / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(OUT / "socket"))
    with contextlib.suppress(OSError):
        os.mknod(OUT / "device", 0o020600, os.makedev(1, 3))
    return sorted(os.listdir(OUT))


def can_write(paths: list[str]) -> list[str]:
    """Those of `paths` where a file could be made, or which could be opened for writing."""
    found = []
    for path in paths:
        try:
            if os.path.isdir(path):  # noqa: PTH112
                _make_a_file(path)
            else:
                os.close(os.open(path, os.O_WRONLY))
        except OSError:
            continue
        found.append(path)
    return found


def can_open(paths: list[str]) -> list[str]:
    """Those of `paths` that could be opened for reading. Nothing is read: that may act."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            found.append(path)
    return found


def _make_a_file(folder: str) -> None:
    try:
        os.close(os.open(folder, AT_TMPFILE | os.O_WRONLY, 0o600))
    except OSError as err:
        if err.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
        name = f"{folder}/.wardline-{uuid.uuid4().hex}"
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        os.unlink(name)


def leave_at(paths: list[str], text: str) -> None:
    """Tries to write files that the host looks for."""
    for path in paths:
        with contextlib.suppress(OSError):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text)


def contents(paths: list[str]) -> dict[str, str]:
    """What can be read of `paths`, their first bytes."""
    found = {}
    for path in paths:
        with contextlib.suppress(OSError), open(path, "rb") as source:
            found[path] = source.read(4096).decode("utf-8", "replace")
    return found


def everything_told() -> str:
    """All the process table and the kernel tell: variables, arguments, mounts."""
    told = [repr(dict(os.environ))]
    for name in ("environ", "cmdline", "mountinfo", "cgroup"):
        for path in Path("/proc").glob(f"[0-9]*/{name}"):
            with contextlib.suppress(OSError):
                told.append(path.read_bytes().decode("utf-8", "replace"))
    return "\n".join(told)


def reach_process(pid: str) -> list[str]:
    """What of a process can be opened."""
    found = []
    for name in ("mem", "environ", "maps", "syscall", "fd", "root", "cwd", "exe"):
        with contextlib.suppress(OSError):
            number = os.open(f"/proc/{pid}/{name}", os.O_RDONLY)
            if name == "fd":
                os.listdir(number)
            os.close(number)
            found.append(name)
    return found


def control_groups() -> list[str]:
    """Files and folders of the control group tree that could be opened for writing, or made."""
    found = []
    for folder, _, names in os.walk("/sys/fs/cgroup"):
        for name in names:
            if name.endswith((".procs", ".max", "tasks", "release_agent", "_bytes", ".freeze")):
                found += can_write([f"{folder}/{name}"])
        with contextlib.suppress(OSError):
            os.mkdir(f"{folder}/wardline-probe")
            os.rmdir(f"{folder}/wardline-probe")
            found.append(folder)
        if len(found) > 20 or folder.count("/") > 6:
            break
    return found


def terminal(paths: list[str]) -> dict[str, Any]:
    """Its controlling terminal, the terminals it can open, and where input can be pushed."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    ends = [*paths, "/dev/tty", *map(str, Path("/dev/pts").glob("[0-9]*"))]
    opened = []
    libc = ctypes.CDLL(None, use_errno=True)
    push = ctypes.c_ulong(TIOCSTI)
    pushed = [number for number in (0, 1, 2) if libc.ioctl(number, push, b"\n") == 0]
    for path in ends:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_RDWR | os.O_NOCTTY))
            opened.append(path)
    return {"controlling": int(fields[4]), "opened": sorted(set(opened)), "pushed": pushed}


def kernel_addresses() -> int:
    """How many addresses of the kernel's own symbols are shown."""
    with contextlib.suppress(OSError), open("/proc/kallsyms") as symbols:
        return sum(int(line.split()[0], 16) != 0 for line, _ in zip(symbols, range(50)))  # noqa: B905
    return 0


def call_32_bit() -> str:
    """Asks for the process id through the 32-bit entry: `int 0x80` with the i386 number."""
    code = bytes.fromhex("b814000000cd80c3")  # mov eax, 20; int 0x80; ret
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        said = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
        os.write(writer, b"ok" if said == os.getpid() else b"refused")
        os._exit(0)
    os.close(writer)
    text = os.read(reader, 100).decode()
    _, status = os.waitpid(child, 0)
    return text or f"signal {os.WTERMSIG(status)}"


def reach(addresses: list[tuple[str, int]], seconds: float) -> list[list[str]]:
    """The addresses it had any route to, over TCP and UDP, with what came back."""
    found = []
    for host, port in addresses:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(family, kind) as end:
                end.settimeout(seconds)
                try:
                    end.connect((host, port))
                    end.send(b"wardline")
                except TimeoutError:
                    said = "a route"
                except ConnectionRefusedError:
                    # Its own loopback interface answers too; the host's listener counts.
                    said = "refused" if not host.startswith(("127.", "::1")) else ""
                except OSError:
                    said = ""
                else:
                    said = "sent" if not host.startswith(("127.", "::1")) else ""
                if said:
                    found.append([host, said])
    return found


def network(addresses: list[tuple[str, int]], seconds: float) -> dict[str, Any]:
    """Which network it is in, the routes that are there, and what of `addresses` it reached."""
    return {
        "namespace": os.readlink("/proc/self/ns/net"),  # noqa: PTH115
        "interfaces": interfaces(),
        "routes": routes(),
        "reached": reach(addresses, seconds),
    }


def routes() -> list[str]:
    """The routes that leave by anything but the loopback interface."""
    found = []
    for name, column in (("route", 0), ("ipv6_route", -1)):
        with contextlib.suppress(OSError):
            lines = Path("/proc/net", name).read_text().splitlines()
            words = [line.split() for line in lines if not line.startswith("Iface")]
            found += [f"{name} by {each[column]}" for each in words if each[column] != "lo"]
    return sorted(set(found))


def ping(host: str) -> str:
    """Sends one echo request (RFC 792); gives `sent`, or why it could not."""
    request = bytes.fromhex("0800f7ff00000000")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as end:
            end.sendto(request, (host, 0))
    except OSError as err:
        return errno.errorcode.get(err.errno or 0, "?")
    return "sent"


def talk(messages: list[list[str]], seconds: float) -> list[str]:
    """Says each message to the proxy, its parts after an answer each; gives all it answered."""
    answers = []
    for parts in messages:
        said = b""
        with contextlib.suppress(OSError), socket.socket() as end:
            end.settimeout(seconds)
            end.connect(("127.0.0.1", 3128))
            for number, part in enumerate(parts):
                end.sendall(bytes.fromhex(part))
                if number < len(parts) - 1:
                    said += end.recv(65536)
            while more := end.recv(65536):
                said += more
        answers.append(said[:1000].decode("latin-1"))
    return answers


def resolve(names: list[str]) -> tuple[list[str], float]:
    """The names it could resolve, and the seconds it took."""
    os.environ["RES_OPTIONS"] = "timeout:3 attempts:1"  # of resolv.conf(5)
    start = time.monotonic()
    found = []
    for name in names:
        with contextlib.suppress(OSError):
            socket.getaddrinfo(name, 80)
            found.append(name)
    return found, time.monotonic() - start


def interfaces() -> list[str]:
    """Network interfaces."""
    lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    return [line.split(":")[0].strip() for line in lines]


def share(key: int, name: str, *, seconds: float) -> None:
    """Makes objects of every kind of interprocess communication and holds them."""
    libc = ctypes.CDLL(None)
    libc.shmget(key, 4096, IPC_CREAT | 0o666)
    libc.mq_open(f"/{name}".encode(), os.O_CREAT | os.O_RDWR, 0o666, None)
    with contextlib.suppress(OSError):
        Path("/dev/shm", name).write_text(name)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0{name}")
    listener.listen()
    os.set_inheritable(listener.fileno(), True)  # noqa: FBT003 - the os module's signature
    # The name is an argument, so that the host sees when everything is made.
    os.execvp("sh", ["sh", "-c", f"sleep {seconds}; :", name])  # noqa: S606, S607


def find_shared(key: int, name: str) -> list[str]:
    """What of another sandbox's, or the host's, shared objects is found here."""
    libc = ctypes.CDLL(None)
    found = []
    if libc.shmget(key, 4096, 0) != -1:
        found.append("shared memory")
    if libc.mq_open(f"/{name}".encode(), os.O_RDWR) != -1:
        found.append("message queue")
    if os.path.exists(f"/dev/shm/{name}"):  # noqa: PTH110
        found.append("/dev/shm")
    with socket.socket(socket.AF_UNIX) as end:
        if end.connect_ex(f"\0{name}") == 0:
            found.append("abstract socket")
    return found


def randomness() -> list[Any]:
    """Values that no two sandboxes may have in common."""
    return [random.random(), uuid.uuid4().hex, os.urandom(8).hex(), hash("wardline")]  # noqa: S311


def digest_of(name: str) -> str:
    """Digest of a file it was given."""
    import hashlib

    return hashlib.sha256(Path("/box", name).read_bytes()).hexdigest()


def leave_marks() -> dict[str, list[str]]:
    """Leaves marks wherever it can; gives those of an earlier call, and where its own are."""
    import wardline_attempts  # type: ignore[import-not-found]  # beside it, inside

    found = wardline_attempts.leave_state()
    folders = ("/box", "/tmp", "/dev/shm", "/var/tmp")
    return {"found": found, "left": [one for one in folders if os.path.exists(f"{one}/mark")]}  # noqa: PTH110


def set_id_programs() -> dict[str, list[str]]:
    """Starts every set-id program it finds; those that ran, and those that ran as another."""
    ran, others = [], []
    for folder in ("/usr/bin", "/usr/sbin", "/usr/local/bin"):
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder):
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                    ids = _ids_of(entry.path)
                    ran += [entry.path] if ids else []
                    others += [entry.path] if any(len(set(each)) > 1 for each in ids) else []
    return {"ran": ran, "others": others}


def _ids_of(program: str) -> list[list[str]]:
    """Real, effective, saved and file system ids of a started program, its end not yet taken."""
    silent = subprocess.DEVNULL
    try:
        started = subprocess.Popen(
            [program, "--help"], stdin=silent, stdout=silent, stderr=silent
        )
    except OSError:
        return []
    try:
        lines = Path(f"/proc/{started.pid}/status").read_text().splitlines()
    finally:
        started.kill()
        started.wait()
    return [line.split()[1:] for line in lines if line.startswith(("Uid:", "Gid:"))]


def spelled(secret: bytes) -> dict[str, bytes]:
    """A secret in each form that is promised to be masked (`sandbox.egress.scrub`)."""
    text = base64.b64encode(secret)
    forms = {
        "plain": secret,
        "hex": secret.hex().encode(),
        "HEX": secret.hex().upper().encode(),
    }
    forms |= {"hex spaced": secret.hex(" ").encode(), "hex colons": secret.hex(":").encode()}
    forms |= {"base64": text, "base64 wrapped": b"\n".join(_cut(text, 16))}
    forms |= {f"base64 at {n}": base64.b64encode(b"x" * n + secret + b"x" * n) for n in (1, 2)}
    forms["base64url"] = base64.urlsafe_b64encode(secret)
    forms["percent"] = b"".join(b"%%%02X" % byte for byte in secret)
    forms["percent as needed"] = quote(secret, safe="").encode()
    forms["json"] = json.dumps(secret.decode())[1:-1].encode()
    forms["json slashes"] = forms["json"].replace(b"/", b"\\/")
    return forms


def _cut(text: bytes, size: int) -> list[bytes]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def print_secret(file: str) -> dict[str, str]:
    """Says a secret in every form, by output, file, file name and value."""
    forms = spelled(Path("/box", file).read_bytes())
    lines = b"".join(b"%s=%s\n" % (name.encode(), form) for name, form in forms.items())
    for stream in (sys.stdout.buffer, sys.stderr.buffer):
        stream.write(lines)
    (OUT / "copy").write_bytes(lines)
    for name in ("hex", "base64url"):
        (OUT / forms[name].decode()).touch()
    return {name: form.decode() for name, form in forms.items()}


def fail_with(file: str) -> None:
    """Raises with a secret in its message."""
    raise LookupError(
        " ".join(form.decode() for form in spelled(Path("/box", file).read_bytes()).values())
    )


def unreaped(count: int) -> int:
    """Makes orphans that end at once; gives how many of them nobody has waited for."""
    import wardline_probes  # type: ignore[import-not-found]  # beside it, inside

    wardline_probes.orphans(count)
    end = time.monotonic() + 2
    while (left := _zombies()) and time.monotonic() < end:
        time.sleep(0.01)
    return left


def _zombies() -> int:
    states = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            states.append(path.read_text().rpartition(")")[2].split()[0])
    return states.count("Z")
