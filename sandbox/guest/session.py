"""Process 1 of a session: one child that answers several calls, each judged by itself.

Its source goes to the runner with the setup (`sandbox.supervisor.bootstrap`), so that a
single-use sandbox neither carries nor compiles it. Only the standard library exists here.

The child keeps its interpreter, and with it whatever a call left there: objects, threads,
processes, files. Between two calls all of that is stopped (SIGSTOP). What a call left may forge
the answer of a later one, because both are the same process; it can do no more than that:
limits, verdicts, counters and the order of things are kept here, out of its reach. An answer is
its length, a new line and its JSON. One that comes when none is due ends the session.
"""

# ruff: noqa: PTH102, PTH104, PTH123, PTH208, UP031 - as in `runner`
from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import signal
import sys
import time

from sandbox.guest.job import (
    ORDERS,
    call,
    get_ready,
    move_in,
    tell,
)
from sandbox.guest.output import (
    CHUNK,
    OUT,
    opened,
    say,
    send,
    send_out_folder,
)
from sandbox.guest.runner import (
    WORK,
    Child,
    Ended,
    bury,
    disk_full,
    give_up,
    reap,
    report,
    seen_until,
    take_bytes,
    take_frame,
    take_text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

PIPE = 1048576
"""As much as a pipe can hold: one read takes all there is at that moment."""
DIGITS = 12
"""Of the length of an answer."""


# -- the child ----------------------------------------------------------------------------


def become_session(setup: dict[str, Any], ends: tuple[int, ...]) -> NoReturn:
    """Turns the forked child into the session's interpreter. Never returns."""
    import types

    move_in(setup, ends)
    session = types.ModuleType("__session__")
    session.__dict__.update(evaluate=evaluate_text, namespace={"__name__": "__main__"})
    sys.modules["__session__"] = session
    get_ready(setup["preload"])
    while True:
        job = json.loads(order())
        told: list[str] = []
        code = call(job, told.append, setup["value_bytes"])
        if not told:
            os._exit(code)
        text = told[0].encode("utf-8", "backslashreplace")
        tell("%d\n" % len(text))
        tell(told[0])


def order() -> bytes:
    """Reads the text of the next call."""
    size = b""
    while not size.endswith(b"\n"):
        size += exactly(1)
    return exactly(int(size))


def exactly(size: int) -> bytes:
    """Reads so many bytes of the orders; without process 1 all ends."""
    data = b""
    while len(data) < size:
        more = os.read(ORDERS, size - len(data))
        if not more:
            os._exit(0)
        data += more
    return data


def evaluate_text(code: str) -> Any:
    """Runs text in the one namespace of the session; gives its last expression's value."""
    import ast

    namespace = sys.modules["__session__"].__dict__["namespace"]
    tree = ast.parse(code, "<session>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<session>", "exec"), namespace)  # noqa: S102 - what a sandbox is for
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), "<session>", "eval"), namespace)  # noqa: S307


# -- process 1 ----------------------------------------------------------------------------


class Answer:
    """The answer of one call as it comes: how much of it is still due."""

    def __init__(self) -> None:
        self.head = b""
        self.due: int | None = None

    def take(self, data: bytes) -> bytes:
        """The bytes in `data` that are the answer's own."""
        if self.due is None:
            self.head += data
            size, line, data = self.head.partition(b"\n")
            if not line and len(size) <= DIGITS:
                return b""
            if not (size.isdigit() and len(size) <= DIGITS and int(size) > 0):
                give_up("the job answered in another form than agreed")
            self.due = int(size)
        self.due -= len(data)
        if self.due < 0:
            give_up("the job answered more than once")
        return data


def serve(setup: dict[str, Any], channel_in: int, channel_out: int) -> NoReturn:
    """Answers calls until the child ends, the supervisor goes, or the time is over."""
    limits = setup["session"]
    child = Child(setup, become_session)
    os.close(child.stdin)
    child.wait_until_ready(channel_in)
    everyone(signal.SIGSTOP)
    send(channel_out, b"A")
    over = time.monotonic() + limits["total_seconds"]
    before = counters(setup, child)
    while True:
        left = max(over - time.monotonic(), 0)
        child.wait(channel_in, channel_in, min(left, limits["idle_seconds"]))
        text = receive_call(channel_in)
        send(channel_out, b"j")
        everyone(signal.SIGCONT)
        child.pour(b"%d\n%s" % (len(text), text), channel_in)
        seconds = json.loads(text)["seconds"]
        ended = listen(child, channel_in, channel_out, seconds)
        if ended is not None:
            send_out_folder(channel_out, setup)
            say(channel_out, b"z", since(before, report(setup, ended)))
            os._exit(0)
        pause(child, channel_out)
        send_out_folder(channel_out, setup)
        clear_out_folder()
        now = counters(setup, child)
        say(channel_out, b"c", since(before, now))
        before = now


def everyone(number: int) -> None:
    """Sends a signal to every other process."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, number)


def listen(child: Child, channel_in: int, channel_out: int, seconds: float) -> Ended | None:
    """Forwards what is said until the answer is whole; or how the child ended instead."""
    until = time.monotonic() + seconds
    answer = Answer()
    poll = select.poll()
    for number in (*child.kinds, child.wake, channel_in):
        poll.register(number, select.POLLIN)
    while answer.due != 0:
        for number, _ in seen_until(until, poll):
            if number == channel_in:
                os._exit(0)  # closed, or speaking out of turn
            if number == child.wake:
                if (ended := look(child, channel_out)) is not None:
                    return ended
                continue
            data = os.read(number, CHUNK)
            if not data:
                poll.unregister(number)
                del child.kinds[number]
            elif child.kinds[number] != b"v":
                send(channel_out, child.kinds[number], data)
            elif part := answer.take(data):
                send(channel_out, b"v", part)
    return None


def look(child: Child, channel_out: int) -> Ended | None:
    """Reaps who has ended; when that is the child, all else has to end with it."""
    os.read(child.wake, 512)
    while (gone := reap()) is not None:
        if gone[0] == child.pid:
            # Half an answer of a process that ended is none.
            child.kinds = {number: kind for number, kind in child.kinds.items() if kind != b"v"}
            return bury(child, channel_out, gone[1], gone[2])
    return None


def pause(child: Child, channel_out: int) -> None:
    """Stops all there is, and forwards what it had said by then."""
    everyone(signal.SIGSTOP)
    # Until every thread of the interpreter has stopped, or it has ended
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    poll = select.poll()
    for number in child.kinds:
        poll.register(number, select.POLLIN)
    for number, _ in poll.poll(0):
        kind, data = child.kinds[number], os.read(number, PIPE)
        if not data:
            del child.kinds[number]
        elif kind == b"v":
            give_up("the job answered more than once")
        for start in range(0, len(data), CHUNK):
            send(channel_out, kind, data[start : start + CHUNK])


def receive_call(channel: int) -> bytes:
    """Reads an order and puts its files in place; gives its text.

    What lies in the working directory is the job's doing by now, so no link of it is followed.
    """
    text = take_text(channel, b"J")
    for name, size in json.loads(text)["files"]:
        *parents, last = name.split("/")
        folder = opened(WORK)
        for part in parents:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=folder)
            inner = opened(part, folder)
            os.close(folder)
            folder = inner
        with contextlib.suppress(FileNotFoundError):
            os.unlink(last, dir_fd=folder)
        made = os.open(last, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        os.close(folder)
        with open(made, "wb") as target:
            target.writelines(take_bytes(channel, b"F", size))
    take_frame(channel, b"E")
    return text


def clear_out_folder() -> None:
    """What has come out is not there for the next call; what cannot be removed is put aside.

    The folder itself stays where that can be: there may be no room for a new one.
    """
    with contextlib.suppress(OSError):
        folder = opened(OUT)
        for name in os.listdir(folder):
            try:
                os.unlink(name, dir_fd=folder)
            except IsADirectoryError:
                shutil.rmtree(name, ignore_errors=True, dir_fd=folder)
        left = os.listdir(folder)
        os.close(folder)
        if not left:
            return
    with contextlib.suppress(FileNotFoundError):
        os.rename(OUT, "%s/left-%s" % (WORK, os.urandom(8).hex()))
    os.mkdir(OUT, 0o700)


# -- counting -----------------------------------------------------------------------------


def counters(setup: dict[str, Any], child: Child) -> dict[str, Any]:
    """As the report of a child that would leave now, with what all processes used so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = report(setup, Ended(0, used, disk_full=disk_full(setup["directory"])))
    said["cpu_seconds"] += living_seconds()
    said["max_rss_bytes"] = max(said["max_rss_bytes"], high_water(child.pid))
    return said


def high_water(pid: int) -> int:
    """The most memory a process had in place so far."""
    with contextlib.suppress(OSError), open("/proc/%d/status" % pid, "rb") as status:
        for line in status:
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def living_seconds() -> float:
    """Processor time of every living process but this one, with that of children it reaped."""
    ticks = 0
    for name in os.listdir("/proc"):
        if name.isdigit() and name != "1":
            with contextlib.suppress(OSError), open("/proc/%s/stat" % name, "rb") as stat:
                ticks += sum(map(int, stat.read().rpartition(b")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def since(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The kernel counts events from the start; a call is blamed for its own."""
    events = {name: now[name] - before[name] for name in ("oom_kills", "pids_denials")}
    return {**now, **events}
