"""`wardline policy reload`: a running broker is asked, over a socket in its state folder.

The socket is its owner's alone, no sandbox sees the state folder, and no tool may name a file in
it. Who asks is told by the kernel (the peer's credentials), and goes into the record.

Not protected from: code that runs as the same user, in a tool of the broker's own process say.
All it can ask for is that the policies the settings name are loaded; what they are it cannot say.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio

from permissions.errors import BrokerError, PolicyLoadError, StateError
from permissions.logs import get_logger
from permissions.service.address import peer_of
from permissions.service.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from anyio.abc import SocketStream

    from permissions.broker.reloading import Reloaded
    from permissions.service.address import Peer

SOCKET = "reload.sock"
WAIT_SECONDS = 120
_ASK_SECONDS = 5
_ASKED = b"reload\n"
_log = get_logger("setup.reload")


@asynccontextmanager
async def reloadable(
    state: Path, reload: Callable[[str], Awaitable[Reloaded]]
) -> AsyncIterator[None]:
    """Answers those who ask, as long as it is open. For the one broker of a state folder.

    Args:
        state: its folder.
        reload: loads the policies; it is told who asks.

    Raises:
        StateError: there can be no socket.
    """

    async def answer(stream: SocketStream) -> None:
        async with stream:
            with suppress(OSError, anyio.EndOfStream, anyio.BrokenResourceError):
                by, asked = _who(peer_of(stream)), b""
                with anyio.move_on_after(_ASK_SECONDS):
                    asked = await stream.receive(len(_ASKED))
                if by is not None and asked == _ASKED:
                    await stream.send(json.dumps(await _answered(reload, by)).encode())

    with _short(state) as folder:
        try:
            listener = await anyio.create_unix_listener(f"{folder}/{SOCKET}", mode=0o600)
        except OSError as err:
            raise StateError(f"{state / SOCKET} cannot be made: {err.strerror}") from err
        try:
            async with beside() as tasks:
                tasks.start_soon(listener.serve, answer)
                yield
        finally:
            with anyio.CancelScope(shield=True):
                await listener.aclose()
            with suppress(OSError):
                os.unlink(f"{folder}/{SOCKET}")  # noqa: PTH108 - a path of the kernel's


def ask_reload(state: Path) -> tuple[str, str]:
    """Has the broker of a state folder load its policies again. Blocking.

    Returns:
        The revision before, and the one in force now.

    Raises:
        PolicyLoadError: they must not come into force; those before stay.
        BrokerError: nor could they for another reason.
        StateError: no broker runs there, or it does not answer.
    """
    with (
        _short(state) as folder,
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as peer,
    ):
        peer.settimeout(WAIT_SECONDS)
        try:
            peer.connect(f"{folder}/{SOCKET}")
        except OSError as err:
            raise StateError(
                f"no broker runs on the state folder {state}; it loads the policies when it starts"
            ) from err
        try:
            peer.sendall(_ASKED)
            parts = list(iter(lambda: peer.recv(65536), b""))
            said = json.loads(b"".join(parts))
        except (OSError, ValueError) as err:
            raise StateError(
                f"the broker of {state} gave no answer within {WAIT_SECONDS} s; what is in force"
                " the last `config` entry of its trace says"
            ) from err
    if "refused" in said:
        refused = said["refused"]
        if refused["findings"]:
            raise PolicyLoadError(refused["findings"])
        raise BrokerError(refused["message"])
    return said["before"], said["now"]


async def _answered(reload: Callable[[str], Awaitable[Reloaded]], by: str) -> dict[str, Any]:
    try:
        done = await reload(by)
    except BrokerError as err:
        findings = list(err.findings) if isinstance(err, PolicyLoadError) else []
        return {"refused": {"message": str(err), "findings": findings}}
    return {"before": done.before, "now": done.now}


def _who(peer: Peer) -> str | None:
    """Who is at the other end; None for whom the broker does not obey."""
    pid, uid, _ = peer
    if uid not in (0, os.geteuid()):
        _log.warning("reload_refused", uid=uid)
        return None
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = "?"
    return f"{name} (uid {uid}, pid {pid})"


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """Another name of a folder, short enough for a socket's address (108 bytes)."""
    try:
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as err:
        raise StateError(f"the state folder {folder}: {err.strerror}") from err
    try:
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)
