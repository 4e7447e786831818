"""Passes connections of the job to the proxy's socket. Runs inside, with no right the job lacks.

Only the standard library, one file, shown beside the socket: the runner executes it before
there is a job. It listens, and a child goes on that has nothing but the listener. It reads
nothing of what it passes on: what may be reached is decided outside, and a job that goes to the
socket without it gets no further.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket

PROXY, PORT, CHUNK, MOST = "/egress/proxy", 3128, 65536, 64


class End:
    """One side of a connection: what it still has to be told, and whether it has finished."""

    def __init__(self, stream: socket.socket) -> None:
        stream.setblocking(False)  # noqa: FBT003 - the socket module's signature
        self.stream = stream
        self.peer = self
        self.owed = b""
        self.is_finished = False

    def events(self) -> int:
        """What it waits for; nothing is read for a peer that is behind."""
        reads = not self.is_finished and not self.peer.owed
        return select.POLLIN * reads | select.POLLOUT * bool(self.owed)

    def read(self) -> None:
        """Takes bytes for the peer, or its end."""
        data = self.stream.recv(CHUNK)
        self.is_finished = not data
        self.peer.owed = data
        self.peer.write()

    def write(self) -> None:
        """Gives what is owed, and the end once the peer has finished."""
        if self.owed:
            with contextlib.suppress(BlockingIOError):
                self.owed = self.owed[self.stream.send(self.owed) :]
        if not self.owed and self.peer.is_finished:
            self.stream.shutdown(socket.SHUT_WR)

    def is_over(self) -> bool:
        """Whether both sides have said and heard everything."""
        ends = (self, self.peer)
        return all(end.is_finished and not end.owed for end in ends)


def join(near: socket.socket) -> list[End]:
    """Both ends of a new connection; none when the proxy does not answer."""
    far = socket.socket(socket.AF_UNIX)
    try:
        far.connect(PROXY)
    except OSError:
        far.close()
        near.close()
        return []
    ends = [End(near), End(far)]
    ends[0].peer, ends[1].peer = ends[1], ends[0]
    return ends


def forward(listener: socket.socket) -> None:
    """Forwards for ever."""
    ends: dict[int, End] = {}
    while True:
        poll = select.poll()
        if len(ends) < 2 * MOST:
            poll.register(listener, select.POLLIN)
        for number, end in ends.items():
            poll.register(number, end.events())
        for number, seen in poll.poll():
            if number == listener.fileno():
                for end in join(listener.accept()[0]):
                    ends[end.stream.fileno()] = end
            elif number in ends:
                serve(ends, ends[number], seen)


def serve(ends: dict[int, End], end: End, seen: int) -> None:
    """Does what an end is ready for; drops the connection when it is over or broken."""
    try:
        if seen & select.POLLOUT:
            end.write()
        # A hung-up stream may still have bytes; without any it is read to its end.
        if seen & select.POLLIN or (seen & select.POLLHUP and end.events() & select.POLLIN):
            end.read()
        is_over = end.is_over() or bool(seen & (select.POLLERR | select.POLLNVAL))
        is_over = is_over or bool(seen & select.POLLHUP and end.is_finished)
    except BlockingIOError:
        return
    except OSError:
        is_over = True
    if is_over:
        for each in (end, end.peer):
            del ends[each.stream.fileno()]
            each.stream.close()


def start() -> None:
    """Listens from now on; a child forwards, with no other descriptor of the runner's."""
    with socket.create_server(("127.0.0.1", PORT), backlog=MOST) as listener:
        if os.fork() == 0:
            try:
                os.dup2(listener.fileno(), 3)
                os.closerange(4, 65536)
                forward(socket.socket(fileno=3))
            finally:
                os._exit(70)


if __name__ == "__main__":
    start()
