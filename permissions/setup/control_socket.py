"""How a running broker is asked for something: over a socket in its state folder.

`wardline policy reload` asks it to load its policies again, `wardline stop` and `resume` to carry
out what they wrote down. The socket is its owner's alone, no sandbox sees the state folder, and
no tool may name a file in it. Who asks is told by the kernel (the peer's credentials).

A question is one line of JSON, the answer all that comes until the end.

Not protected from: code that runs as the same user, in a tool of the broker's own process say.
It can ask that the policies the settings name are loaded, not what they are.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio

from permissions.errors import BrokerError, PolicyLoadError, ServiceError, StateError
from permissions.logs import get_logger
from permissions.service.address import peer_of
from permissions.service.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from anyio.abc import SocketStream

    from permissions.model import JsonObject
    from permissions.service.address import Peer

    Answering = Callable[[JsonObject, str], Awaitable[JsonObject]]
    """Answers a question; it is told who asks."""

SOCKET = "control.sock"
WAIT_SECONDS = 120
MAX_QUESTION = 4096
_ASK_SECONDS = 5
_log = get_logger("setup.control")


class NobodyThereError(StateError):
    """No broker runs on the state folder."""


@asynccontextmanager
async def controllable(state: Path, verbs: Mapping[str, Answering]) -> AsyncIterator[None]:
    """Answers those who ask, as long as it is open. For the one broker of a state folder.

    Args:
        state: its folder.
        verbs: what may be asked, by the member `do` of the question.

    Raises:
        StateError: there can be no socket.
    """

    async def answer(stream: SocketStream) -> None:
        async with stream:
            with suppress(OSError, anyio.EndOfStream, anyio.BrokenResourceError):
                by, asked = _who(peer_of(stream)), b""
                with anyio.move_on_after(_ASK_SECONDS):
                    asked = await _line(stream)
                if by is not None and asked.endswith(b"\n"):
                    await stream.send(json.dumps(await _answered(verbs, asked, by)).encode())

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


def ask(
    state: Path, do: str, *, wait_seconds: float = WAIT_SECONDS, **members: Any
) -> JsonObject:
    """What the broker of a state folder answers to one question. Blocking.

    Raises:
        NobodyThereError: no broker runs there.
        StateError: it does not answer.
        BrokerError: it will not, and says why.
    """
    with (
        _short(state) as folder,
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as peer,
    ):
        peer.settimeout(wait_seconds)
        try:
            peer.connect(f"{folder}/{SOCKET}")
        except OSError as err:
            raise NobodyThereError(f"no broker runs on the state folder {state}") from err
        try:
            peer.sendall(json.dumps({"do": do, **members}).encode() + b"\n")
            parts = list(iter(lambda: peer.recv(65536), b""))
            said: JsonObject = json.loads(b"".join(parts))
        except (OSError, ValueError) as err:
            raise StateError(
                f"the broker of {state} gave no answer within {wait_seconds:g} s"
            ) from err
    if "refused" in said:
        refused = said["refused"]
        if refused["findings"]:
            raise PolicyLoadError(refused["findings"])
        raise BrokerError(refused["message"])
    return said


def ask_reload(state: Path) -> tuple[str, str]:
    """Has the broker of a state folder load its policies again. Blocking.

    Returns:
        The revision before, and the one in force now.

    Raises:
        PolicyLoadError: they must not come into force; those before stay.
        BrokerError: nor could they for another reason.
        StateError: no broker runs there, or it does not answer; what is in force the last
            `config` entry of its trace says.
    """
    try:
        said = ask(state, "reload")
    except NobodyThereError as err:
        raise StateError(f"{err}; it loads the policies when it starts") from err
    return said["before"], said["now"]


async def _line(stream: SocketStream) -> bytes:
    asked = b""
    while not asked.endswith(b"\n") and len(asked) < MAX_QUESTION:
        asked += await stream.receive(MAX_QUESTION)
    return asked


async def _answered(verbs: Mapping[str, Answering], asked: bytes, by: str) -> JsonObject:
    try:
        question = json.loads(asked)
        do = question.get("do") if isinstance(question, dict) else None
        if not isinstance(do, str) or do not in verbs:
            raise ServiceError("the broker does not know what is asked of it")
        return await verbs[do](question, by)
    except ValueError:
        return {"refused": {"message": "what is asked is not JSON", "findings": []}}
    except BrokerError as err:
        findings = list(err.findings) if isinstance(err, PolicyLoadError) else []
        return {"refused": {"message": str(err), "findings": findings}}


def _who(peer: Peer) -> str | None:
    """Who is at the other end; None for whom the broker does not obey."""
    pid, uid, _ = peer
    if uid not in (0, os.geteuid()):
        _log.warning("control_refused", uid=uid)
        return None
    return f"{account_name(uid)} (uid {uid}, pid {pid})"


def account_name(uid: int) -> str:
    """The name of a user account; `?` for one that has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return "?"


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
