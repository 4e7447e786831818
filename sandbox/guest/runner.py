"""The supervisor's half inside the sandbox. Runs one job as process 1, reports, and ends.

Only the standard library: it is handed (with `job` and `output`) to the sandbox's own
interpreter through the channel, compiled beforehand, so nothing has to be mounted or installed.
Every start of every sandbox pays for what is imported here: `json`, `signal`, `ctypes` and
`contextlib` cost more processor time than all of a bare Python's start, what lies below them
costs nothing.

It forks before it knows the job: the child imports what it was told to and waits on a pipe until
it becomes the job, so a sandbox can be prewarmed, and code of the job's is never imported here.
The child has no handle on the channel. Process 1 is not dumpable, so the child (same user) can
neither open its descriptors through /proc nor read or write its memory, and the kernel drops
signals the job sends to it. When the job ends, process 1 kills whatever is left, and only then
looks at the files, so that nobody can swap them while they are copied. When the other end of the
channel closes, process 1 leaves and the kernel ends everything with it.
"""

# ruff: noqa: PTH102, PTH103, PTH118, PTH120, PTH123 - pathlib costs more than all of this
# ruff: noqa: UP031 - `%` on bytes and digits is the plainest here
# ruff: noqa: SIM105 - so does contextlib
from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # not in typeshed
import os
import resource
import select
import sys
import time

from sandbox.guest.job import (
    CAUSE,
    IS_READY,
    PR_SET_DUMPABLE,
    become_job,
    prctl,
    understood,
)
from sandbox.guest.output import (
    CHUNK,
    OUT,
    say,
    send,
    send_out_folder,
)

TYPE_CHECKING = False  # the idiom without importing `typing`, which costs milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn

WORK = "/box"
FORWARDER = "/egress/forwarder.py"
END_SECONDS = 5  # from the end of a pipe to that of the process that had it


class Ended:
    """How the job's first process left."""

    def __init__(self, status: int, usage: resource.struct_rusage, *, disk_full: bool) -> None:
        self.status = status
        self.usage = usage
        self.disk_full = disk_full


def take(channel: int, size: int) -> bytes:
    """Reads so many bytes; without a supervisor all ends."""
    data = b""
    while len(data) < size:
        more = os.read(channel, size - len(data))
        if not more:
            os._exit(0)  # the supervisor is gone
        data += more
    return data


def take_frame(channel: int, wanted: bytes) -> bytes:
    """Reads a frame of one kind; gives its payload."""
    head = take(channel, 5)
    if head[:1] != wanted:
        raise SystemExit("runner: expected %r, got %r" % (wanted, head[:1]))
    return take(channel, int.from_bytes(head[1:], "big"))


def take_bytes(channel: int, kind: bytes, size: int) -> Iterator[bytes]:
    """Reads frames of one kind until there are so many bytes."""
    while size:
        data = take_frame(channel, kind)
        size -= len(data)
        yield data


def take_text(channel: int, kind: bytes) -> bytes:
    """Reads frames of one kind up to an empty one."""
    text = b""
    while part := take_frame(channel, kind):
        text += part
    return text


def receive(channel: int, stdin: int) -> bytes:
    """Reads the job, puts its files and input in place; gives the job's text."""
    text = take_text(channel, b"J")
    job = understood(text)
    put_files(channel, job)
    for data in take_bytes(channel, b"I", job["stdin"]):
        os.write(stdin, data)
    os.lseek(stdin, 0, os.SEEK_SET)
    take_frame(channel, b"E")
    return text


def put_files(channel: int, job: dict[str, Any]) -> None:
    """Reads the files of a job, and puts them in place."""
    for name, size in job["files"]:
        path = os.path.join(WORK, name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            target.writelines(take_bytes(channel, b"F", size))


def give_up(why: str) -> NoReturn:
    """Ends all, and says why where the supervisor looks for it."""
    raise SystemExit("runner: " + why)


class Child:
    """The process that will be the job, and this side's ends of its pipes."""

    def __init__(
        self,
        setup: dict[str, Any],
        become: Callable[[dict[str, Any], tuple[int, ...]], NoReturn],
        stdin: int | None = None,
    ) -> None:
        self.directory = setup["directory"]
        self.stdin = os.memfd_create("stdin") if stdin is None else stdin
        self.kinds: dict[int, bytes] = {}
        ends = [self.stdin]
        for kind in (b"o", b"e", b"v"):
            near, far = os.pipe()
            self.kinds[near] = kind
            ends.append(far)
        orders, self.orders = os.pipe()
        self.ready, ready = os.pipe()
        self.wake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                become(setup, (*ends, orders, ready))
            finally:
                os._exit(70)
        for far in (*ends[1:], orders, ready):
            os.close(far)

    def wait(self, wanted: int, channel: int, seconds: float | None = None) -> None:
        """Waits until `wanted` can be read; without a child there is nothing to wait for."""
        until = None if seconds is None else time.monotonic() + seconds
        poll = select.poll()
        for number in {wanted, self.wake, channel}:
            poll.register(number, select.POLLIN)
        while True:
            left = None if until is None else (until - time.monotonic()) * 1000
            seen = [number for number, _ in poll.poll(None if left is None else max(left, 0))]
            if not seen:
                os._exit(0)
            if self.wake in seen:
                os.read(self.wake, 512)
                while (ended := reap()) is not None:
                    if ended[0] == self.pid:
                        self.mourn(ended[1])
            if wanted in seen:
                return
            if channel in seen:
                os._exit(0)  # closed, or speaking out of turn

    def wait_until_ready(self, channel: int) -> None:
        """Waits until the child says that its job may come; one that cannot says why."""
        self.wait(self.ready, channel)
        said = os.read(self.ready, CAUSE)
        if not said:
            self.wait(channel, channel, END_SECONDS)
        if said != IS_READY:
            give_up(said.decode("utf-8", "replace"))
        os.close(self.ready)
        self.ready = -1

    def mourn(self, status: int) -> NoReturn:
        """Ends all, for the child has ended before its job; says why, or how."""
        said = b""
        if self.ready >= 0 and select.select([self.ready], [], [], 0)[0]:
            said = os.read(self.ready, CAUSE)
        if said not in {b"", IS_READY}:
            give_up(said.decode("utf-8", "replace"))
        if os.WIFSIGNALED(status):
            give_up("the job's process was ended by signal %d" % os.WTERMSIG(status))
        give_up("the job's process left with exit code %d" % os.WEXITSTATUS(status))

    def hand_over(self, text: bytes, channel: int) -> None:
        """Gives the child its one job."""
        self.pour(text, channel)
        os.close(self.orders)
        os.close(self.stdin)

    def pour(self, text: bytes, channel: int) -> None:
        """Gives the child a text; the supervisor may leave meanwhile, and the child end."""
        os.set_blocking(self.orders, False)
        poll = select.poll()
        poll.register(self.orders, select.POLLOUT)
        poll.register(channel, select.POLLIN)
        try:
            while text:
                if any(number == channel for number, _ in poll.poll()):
                    os._exit(0)
                text = text[os.write(self.orders, text) :]
        except BrokenPipeError:
            pass


def supervise(child: Child, channel_in: int, channel_out: int, seconds: float) -> Ended:
    """Forwards what the job says until it has ended and all else is dead."""
    status, usage = watch(child, channel_in, channel_out, seconds)
    return bury(child, channel_out, status, usage)


def bury(child: Child, channel_out: int, status: int, usage: resource.struct_rusage) -> Ended:
    """Kills what is left of a job whose first process has ended, and forwards the rest."""
    full = disk_full(child.directory)
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass
    for near, kind in child.kinds.items():
        while data := os.read(near, CHUNK):
            send(channel_out, kind, data)
    return Ended(status, usage, disk_full=full)


def watch(
    child: Child, channel_in: int, channel_out: int, seconds: float
) -> tuple[int, resource.struct_rusage]:
    """Forwards what the job says until its first process has ended; gives its end and usage."""
    until = time.monotonic() + seconds
    poll = select.poll()
    for number in (*child.kinds, child.wake, channel_in):
        poll.register(number, select.POLLIN)
    while True:
        for number, _ in seen_until(until, poll):
            if number == channel_in:
                os._exit(0)  # closed, or speaking out of turn: in both cases this run is over
            if number == child.wake:
                os.read(child.wake, 512)
                while (ended := reap()) is not None:
                    if ended[0] == child.pid:
                        return ended[1:]
                continue
            data = os.read(number, CHUNK)
            if data:
                send(channel_out, child.kinds[number], data)
            else:
                poll.unregister(number)


def seen_until(until: float, poll: select.poll) -> list[tuple[int, int]]:
    """What can be read; at the end of a job's time all ends, if nobody has ended it before."""
    left = until - time.monotonic()
    if left <= 0 or not (seen := poll.poll(left * 1000)):
        os._exit(0)
    return seen


def reap() -> tuple[int, int, resource.struct_rusage] | None:
    """Takes the status of a process that has ended, if there is one."""
    try:
        pid, status, usage = os.wait4(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status, usage) if pid else None


def disk_full(directory: str) -> bool:
    """Whether a file system that the job may write to has no room left."""
    for path in (WORK, "/tmp", directory):  # noqa: S108 - a file system of its own
        space = os.statvfs(path)
        # A kernel that counts no files (gVisor's) says 0 of 0.
        if space.f_bavail == 0 or (space.f_files and space.f_favail == 0):
            return True
    return False


def counter(paths: tuple[str, ...], name: str) -> int:
    """A counter of this sandbox's own cgroup (version 1 or 2), 0 where it cannot be seen."""
    for path in paths:
        try:
            with open(path) as lines:
                for line in lines:
                    word, _, number = line.partition(" ")
                    if word == name:
                        return int(number)
        except (OSError, ValueError):
            pass
    return 0


def report(setup: dict[str, Any], ended: Ended) -> dict[str, Any]:
    """What is said of the end of a job, from outside its reach."""
    status, usage = ended.status, ended.usage
    signaled = os.WIFSIGNALED(status)
    ended_by = os.WTERMSIG(status) if signaled else None
    spent = usage.ru_utime + usage.ru_stime
    total = resource.getrusage(resource.RUSAGE_CHILDREN)
    most = setup["rlimits"]["cpu"]
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
    """Greets, gets ready, runs one job or a session, reports, ends."""
    if os.getpid() != 1:
        raise SystemExit("runner: only ever process 1 of a sandbox")
    if prctl(PR_SET_DUMPABLE, 0) != 0:
        raise SystemExit("runner: it cannot hide itself from the job")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.closerange(3, 65536)
    channel_in, channel_out = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.chdir(WORK)
    os.mkdir(OUT, 0o700)
    say(channel_out, b"H", {"python": list(sys.version_info[:3])})
    setup = understood(take_text(channel_in, b"S"))
    if os.path.exists(FORWARDER):  # noqa: PTH110
        with open(FORWARDER) as source:  # only a supervisor can put a file there
            exec(source.read(), {"__name__": "__main__"})  # noqa: S102
    if "program" in setup:  # the supervisor's words as well
        exec(setup["program"], globals())  # noqa: S102
        globals()["serve"](setup, channel_in, channel_out)
    child = Child(setup, become_job)
    child.wait_until_ready(channel_in)
    send(channel_out, b"A")
    child.wait(channel_in, channel_in)
    text = receive(channel_in, child.stdin)
    send(channel_out, b"j")
    child.hand_over(text, channel_in)
    seconds = understood(text)["seconds"]
    ended = supervise(child, channel_in, channel_out, seconds)
    send_out_folder(channel_out, setup)
    say(channel_out, b"z", report(setup, ended))
    os._exit(0)


if __name__ == "__main__":
    main()
