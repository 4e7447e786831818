"""The supervisor's half inside the sandbox. Runs one job as process 1, reports, and ends.

Only the standard library, one file: its source is handed to the sandbox's own interpreter with
`-c`, so nothing has to be mounted or installed. It forks; the job runs in the child, which has
no handle on the channel. Process 1 is not dumpable, so the child (same user) can neither open
its descriptors through /proc nor read or write its memory, and the kernel drops signals the
job sends to it. When the job ends, process 1 kills whatever is left, and only then looks at
the files, so that nobody can swap them while they are copied. When the other end of the channel
closes, process 1 leaves and the kernel ends everything with it.
"""

# ruff: noqa: PTH102, PTH103, PTH118, PTH120, PTH123 - pathlib costs more than all of this
# ruff: noqa: UP031 - `%` on bytes and digits is the plainest here
from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import stat
import struct
import sys

TYPE_CHECKING = False  # the idiom without importing `typing`, which costs milliseconds
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

WORK, OUT, CHUNK, DEPTH, REFUSALS = "/box", "/box/out", 65536, 16, 200
PR_SET_DUMPABLE = 4
LIBC = ctypes.CDLL(None)


class Ended:
    """How the job's first process left."""

    def __init__(self, status: int, usage: resource.struct_rusage, *, disk_full: bool) -> None:
        self.status = status
        self.usage = usage
        self.disk_full = disk_full


def send(channel: int, kind: bytes, payload: bytes = b"") -> None:
    data = struct.pack(">cI", kind, len(payload)) + payload
    while data:
        data = data[os.write(channel, data) :]


def say(channel: int, kind: bytes, document: dict[str, Any]) -> None:
    send(channel, kind, json.dumps(document).encode("ascii"))


def take(channel: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(channel, size - len(data))
        if not more:
            os._exit(0)  # the supervisor is gone
        data += more
    return data


def take_frame(channel: int, wanted: bytes) -> bytes:
    kind, size = struct.unpack(">cI", take(channel, 5))
    if kind != wanted:
        raise SystemExit("runner: expected %r, got %r" % (wanted, kind))
    return take(channel, size)


def take_bytes(channel: int, kind: bytes, size: int) -> Iterator[bytes]:
    while size:
        data = take_frame(channel, kind)
        size -= len(data)
        yield data


def receive(channel: int) -> tuple[dict[str, Any], int]:
    """Reads the job, puts its files in place; gives the job and its standard input."""
    text = b""
    while part := take_frame(channel, b"J"):
        text += part
    job = json.loads(text)
    os.mkdir(OUT, 0o700)
    for name, size in job["files"]:
        path = os.path.join(WORK, name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            target.writelines(take_bytes(channel, b"F", size))
    stdin = os.memfd_create("stdin")
    for data in take_bytes(channel, b"I", job["stdin"]):
        os.write(stdin, data)
    os.lseek(stdin, 0, os.SEEK_SET)
    take_frame(channel, b"E")
    return job, stdin


def limit(rlimits: dict[str, int | None]) -> None:
    for name, wanted in rlimits.items():
        if wanted is not None:
            which = getattr(resource, "RLIMIT_" + name.upper())
            ceiling = resource.getrlimit(which)[1]
            most = wanted if ceiling == resource.RLIM_INFINITY else min(wanted, ceiling)
            # One second between SIGXCPU and the kill
            resource.setrlimit(which, (most, most + 1 if name == "cpu" else most))


def become_job(job: dict[str, Any], ends: tuple[int, ...]) -> NoReturn:
    """Turns the forked child into the job. Never returns."""
    os.setsid()
    for ended_by in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT):
        signal.signal(ended_by, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    # The channel took 3 and 4 first, so none of these ends is among 0 to 3
    for number, end in enumerate(ends):
        os.dup2(end, number, inheritable=number < 3)
    os.closerange(4, 65536)
    LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")
    os.environ.clear()
    os.environ.update(job["environment"])
    limit(job["rlimits"])
    if "argv" in job:
        try:
            os.execvp(job["argv"][0], job["argv"])  # noqa: S606 - no shell is the point
        except (OSError, ValueError) as err:
            tell(json.dumps({"error": describe(err)}))
            os._exit(0)
    os._exit(call(job))


def call(job: dict[str, Any]) -> int:
    """Imports and calls the function; its value or exception goes to descriptor 3."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write over the limit is an OSError
    roots = ["/code/%d" % number for number in range(job["code_roots"])]
    sys.path[:] = roots + [place for place in sys.path if place]
    sys.argv[:] = [""]
    code = 0
    try:
        answer = {"value": evaluate(job)}
        text = json.dumps(answer, allow_nan=False)
    except SystemExit as leave:
        given = 0 if leave.code is None else leave.code
        text, code = "", given & 0xFF if isinstance(given, int) else 1
    except BaseException as err:  # noqa: BLE001 - whatever the job raises is its answer
        text = json.dumps({"error": describe(err)})
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    if text:
        tell(text)
    return code


def evaluate(job: dict[str, Any]) -> Any:
    import importlib
    import inspect

    module, _, name = job["entry"].partition(":")
    function: Any = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    value = function(**job["arguments"])
    if inspect.iscoroutine(value):
        import asyncio  # noqa: TID251 - only the standard library exists in here

        value = asyncio.run(value)
    return value


def describe(err: BaseException) -> dict[str, str]:
    try:
        message = str(err)
    except Exception:  # noqa: BLE001 - `__str__` is the job's code too
        message = "(its text cannot be made)"
    return {"type": type(err).__name__, "message": message[:4000]}


def tell(text: str) -> None:
    data = text.encode("utf-8", "backslashreplace")
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(3, data) :]


def supervise(job: dict[str, Any], stdin: int, channel_in: int, channel_out: int) -> Ended:
    """Forks the job and forwards what it says until it has ended and all else is dead."""
    ends: dict[bytes, int] = {}
    kinds: dict[int, bytes] = {}
    for kind in (b"o", b"e", b"v"):
        near, far = os.pipe()
        kinds[near], ends[kind] = kind, far
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker)
    job_pid = os.fork()
    if job_pid == 0:
        try:
            become_job(job, (stdin, *ends.values()))
        finally:
            os._exit(70)
    for far in (*ends.values(), stdin):
        os.close(far)
    status, usage = watch(job_pid, kinds, wake, channel_in, channel_out)
    full = disk_full()
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    for near, kind in kinds.items():
        while data := os.read(near, CHUNK):
            send(channel_out, kind, data)
    return Ended(status, usage, disk_full=full)


def watch(
    job_pid: int, kinds: dict[int, bytes], wake: int, channel_in: int, channel_out: int
) -> tuple[int, resource.struct_rusage]:
    poll = select.poll()
    for number in (*kinds, wake, channel_in):
        poll.register(number, select.POLLIN)
    while True:
        for number, _ in poll.poll():
            if number == channel_in:
                os._exit(0)  # closed, or speaking out of turn: in both cases this run is over
            if number == wake:
                os.read(wake, 512)
                while (ended := reap()) is not None:
                    if ended[0] == job_pid:
                        return ended[1:]
                continue
            data = os.read(number, CHUNK)
            if data:
                send(channel_out, kinds[number], data)
            else:
                poll.unregister(number)


def reap() -> tuple[int, int, resource.struct_rusage] | None:
    try:
        pid, status, usage = os.wait4(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status, usage) if pid else None


def disk_full() -> bool:
    for place in (WORK, "/tmp"):  # noqa: S108 - a file system of its own
        space = os.statvfs(place)
        if space.f_bavail == 0 or space.f_favail == 0:
            return True
    return False


def counter(paths: tuple[str, ...], name: str) -> int:
    """A counter of this sandbox's own cgroup (version 1 or 2), 0 where it cannot be seen."""
    for path in paths:
        with contextlib.suppress(OSError, ValueError), open(path) as lines:
            for line in lines:
                word, _, number = line.partition(" ")
                if word == name:
                    return int(number)
    return 0


class Copier:
    """Sends the regular files below the out folder; names and refuses the rest."""

    def __init__(self, channel: int, job: dict[str, Any]) -> None:
        self.channel = channel
        self.room = job["files_out_bytes"]
        self.files = job["files_out"]
        self.refusals = REFUSALS

    def refuse(self, path: str, reason: str) -> None:
        if self.refusals > 0:
            self.refusals -= 1
            reason = reason if self.refusals else "more entries were refused than are listed"
            path = path.encode("utf-8", "backslashreplace").decode()
            say(self.channel, b"r", {"path": path, "reason": reason})

    def folder(self, number: int, prefix: str, depth: int) -> None:
        with os.scandir(number) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            path = prefix + name
            if not plain(path):
                self.refuse(path, "its name is not plain UTF-8, or too long")
                continue
            kind = os.stat(name, dir_fd=number, follow_symlinks=False).st_mode
            if stat.S_ISDIR(kind):
                self.descend(number, name, path, depth)
            elif stat.S_ISREG(kind):
                self.file(number, name, path)
            else:
                self.refuse(path, "it is no regular file: " + stat.filemode(kind)[0])

    def descend(self, number: int, name: str, path: str, depth: int) -> None:
        if depth == 0:
            self.refuse(path, "it is nested too deeply")
            return
        try:
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=number)
        except OSError:
            self.refuse(path, "it cannot be opened")
            return
        try:
            self.folder(inner, path + "/", depth - 1)
        finally:
            os.close(inner)

    def file(self, number: int, name: str, path: str) -> None:
        try:
            source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=number)
        except OSError:
            self.refuse(path, "it cannot be opened")
            return
        try:
            facts = os.fstat(source)
            if facts.st_nlink != 1:
                self.refuse(path, "it has more than one name (hard link)")
            elif self.files == 0:
                self.refuse(path, "there are more files than may come out")
            elif facts.st_size > self.room:
                self.refuse(path, "it is larger than what may still come out")
            else:
                self.files -= 1
                self.room -= facts.st_size
                say(self.channel, b"f", {"path": path, "size": facts.st_size})
                while data := os.read(source, CHUNK):
                    send(self.channel, b"d", data)
        finally:
            os.close(source)


def plain(path: str) -> bool:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return False
    return size <= 512 and not any(ord(letter) < 32 or ord(letter) == 127 for letter in path)


def report(job: dict[str, Any], ended: Ended) -> dict[str, Any]:
    status, usage = ended.status, ended.usage
    signaled = os.WIFSIGNALED(status)
    ended_by = os.WTERMSIG(status) if signaled else None
    spent = usage.ru_utime + usage.ru_stime
    total = resource.getrusage(resource.RUSAGE_CHILDREN)
    most = job["rlimits"]["cpu"]
    events = "/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"
    pids = "/sys/fs/cgroup/pids.events", "/sys/fs/cgroup/pids/pids.events"
    return {
        "exit_code": None if signaled else os.WEXITSTATUS(status),
        "signal": ended_by,
        "cpu_seconds": total.ru_utime + total.ru_stime,
        "max_rss_bytes": max(usage.ru_maxrss, total.ru_maxrss) * 1024,
        "disk_full": ended.disk_full,
        # The kernel counts ticks for the limit and time for the usage: they differ under load.
        "cpu_limit": (ended_by == signal.SIGXCPU and spent > most / 2)
        or (ended_by == signal.SIGKILL and spent >= most),
        "oom_kills": counter(events, "oom_kill"),
        "pids_denials": counter(pids, "max"),
    }


def main() -> NoReturn:
    if os.getpid() != 1:
        raise SystemExit("runner: only ever process 1 of a sandbox")
    if LIBC.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise SystemExit("runner: it cannot hide itself from the job")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.closerange(3, 65536)
    channel_in, channel_out = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.chdir(WORK)
    say(channel_out, b"H", {"python": list(sys.version_info[:3])})
    job, stdin = receive(channel_in)
    ended = supervise(job, stdin, channel_in, channel_out)
    copier = Copier(channel_out, job)
    try:
        folder = os.open(OUT, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        copier.refuse("out", "the out folder is gone, closed, or no folder any more")
    else:
        copier.folder(folder, "", DEPTH)
    say(channel_out, b"z", report(job, ended))
    os._exit(0)


if __name__ == "__main__":
    main()
