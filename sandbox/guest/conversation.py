"""Process 1 of a command that is spoken with while it runs, as a server on stdin and stdout is.

Its source goes to the runner with the setup (`sandbox.supervisor.bootstrap`), so that no other
sandbox carries it. Only the standard library exists here. The command reads a pipe, which is
filled as it is emptied: a command that does not read holds up whoever speaks, and no memory
grows here. Limits, verdicts and the end are as those of any other job.
"""

from __future__ import annotations

import contextlib
import os
import select
import time

from sandbox.guest.job import become_job, understood
from sandbox.guest.output import (
    CHUNK,
    say,
    send,
    send_out_folder,
)
from sandbox.guest.runner import (
    Child,
    Ended,
    bury,
    put_files,
    reap,
    report,
    seen_until,
    take_frame,
    take_text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


class Input:
    """The job's standard input, from this side."""

    def __init__(self, pipe: int, poll: select.poll, channel: int) -> None:
        self.pipe = pipe
        self.poll = poll
        self.channel = channel
        self.owed = b""
        self.has_ended = False
        os.set_blocking(pipe, False)

    def take(self) -> None:
        """Takes what the supervisor says, or that it says no more."""
        if self.has_ended:
            os._exit(0)  # closed, or speaking out of turn
        data = take_frame(self.channel, b"I")
        self.has_ended = not data
        if self.pipe < 0:
            return  # the job has closed its input, and is spoken to in vain
        if data:
            self.owed = data
            self.pour()
        else:
            self.close()

    def pour(self) -> None:
        """Gives the job what it is owed, as far as it reads; until then nothing more is taken."""
        try:
            self.owed = self.owed[os.write(self.pipe, self.owed) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        # Without events, the supervisor's leaving is still seen.
        self.poll.register(self.channel, 0 if self.owed else select.POLLIN)
        if self.owed:
            self.poll.register(self.pipe, select.POLLOUT)
        else:
            with contextlib.suppress(KeyError):
                self.poll.unregister(self.pipe)

    def close(self) -> None:
        """Ends the job's input."""
        with contextlib.suppress(KeyError):
            self.poll.unregister(self.pipe)
        os.close(self.pipe)
        self.pipe, self.owed = -1, b""
        self.poll.register(self.channel, select.POLLIN)


def serve(setup: dict[str, Any], channel_in: int, channel_out: int) -> NoReturn:
    """Runs one command, and passes on what is said to it and what it says."""
    far, near = os.pipe()
    child = Child(setup, become_job, far)
    child.wait_until_ready(channel_in)
    send(channel_out, b"A")
    child.wait(channel_in, channel_in)
    text = take_text(channel_in, b"J")
    job = understood(text)
    put_files(channel_in, job)
    take_frame(channel_in, b"E")
    send(channel_out, b"j")
    hand_over(child, text)
    ended = converse(child, near, channel_in, channel_out, job["seconds"])
    send_out_folder(channel_out, setup)
    say(channel_out, b"z", report(setup, ended))
    os._exit(0)


def hand_over(child: Child, text: bytes) -> None:
    """Gives the child its job. The supervisor may speak already, and is listened to afterwards."""
    with contextlib.suppress(BrokenPipeError):
        while text:
            text = text[os.write(child.orders, text) :]
    os.close(child.orders)
    os.close(child.stdin)


def converse(
    child: Child, pipe: int, channel_in: int, channel_out: int, seconds: float
) -> Ended:
    """Passes on both ways until the command has ended and all else is dead."""
    until = time.monotonic() + seconds
    poll = select.poll()
    for number in (*child.kinds, child.wake, channel_in):
        poll.register(number, select.POLLIN)
    stdin = Input(pipe, poll, channel_in)
    while True:
        for number, seen in seen_until(until, poll):
            if number == child.wake:
                if (ended := look(child, channel_out)) is not None:
                    return ended
            elif number == channel_in:
                if not seen & select.POLLIN:
                    os._exit(0)  # the supervisor is gone
                stdin.take()
            elif number == stdin.pipe:
                stdin.pour()
            elif number in child.kinds and not pass_on(child, number, channel_out):
                poll.unregister(number)


def look(child: Child, channel_out: int) -> Ended | None:
    """Reaps who has ended; when that is the command, all else has to end with it."""
    os.read(child.wake, 512)
    while (gone := reap()) is not None:
        if gone[0] == child.pid:
            return bury(child, channel_out, gone[1], gone[2])
    return None


def pass_on(child: Child, number: int, channel_out: int) -> bool:
    """Passes on what was said; False at its end."""
    data = os.read(number, CHUNK)
    if data:
        send(channel_out, child.kinds[number], data)
    return bool(data)
