"""How a running broker is found and asked for something: over the socket in its state folder.

That is where a broker in its agents' process listens for its owner alone. A daemon, which listens
for its clients as well, has its socket there or a link to it. What may be asked is in
`permissions.service.control`. No sandbox sees the state folder, and no tool may name a file in it.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from permissions.errors import BrokerError, PolicyLoadError, StateError
from permissions.logs import get_logger
from permissions.service.address import SOCKET, peer_of_socket, short

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from permissions.approval.model import AccessRequest
    from permissions.model import JsonObject

WAIT_SECONDS = 120
ANNOUNCE_SECONDS = 10
_log = get_logger("setup.control")


class NobodyThereError(StateError):
    """No broker runs on the state folder."""


@contextmanager
def findable(state: Path, path: Path) -> Iterator[None]:
    """Has the state folder lead to the socket of its broker while the context is open.

    Args:
        state: the folder, with one broker at a time.
        path: of the socket, absolute; in that folder or elsewhere.

    Raises:
        StateError: the folder cannot be written.
    """
    own = state.absolute() / SOCKET
    try:
        if own.is_symlink():  # of a daemon that died
            own.unlink()
        if own == path:
            yield
            return
        own.unlink(missing_ok=True)
        own.symlink_to(path)
    except OSError as err:
        raise StateError(f"{own} cannot be made: {err.strerror}") from err
    try:
        yield
    finally:
        with suppress(OSError):
            own.unlink()


def ask(
    state: Path, do: str, *, wait_seconds: float = WAIT_SECONDS, **members: Any
) -> JsonObject:
    """What the broker of a state folder answers to one question. Blocking.

    Raises:
        NobodyThereError: no broker runs there.
        StateError: it does not answer, or somebody else does.
        BrokerError: it will not, and says why.
    """
    question = json.dumps({"id": 1, "do": do, **members}).encode()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as peer:
        peer.settimeout(wait_seconds)
        try:
            with short(state) as folder:
                peer.connect(f"{folder}/{SOCKET}")
        except OSError as err:
            raise NobodyThereError(f"no broker runs on the state folder {state}") from err
        _require_its_broker(peer, state)
        try:
            peer.sendall(len(question).to_bytes(4, "big") + question)
            said: JsonObject = json.loads(_frame(peer))
        except (OSError, ValueError) as err:
            raise StateError(
                f"the broker of {state} gave no answer within {wait_seconds:g} s"
            ) from err
    if "error" in said:
        raise BrokerError(str(said["error"].get("text")))
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


def announced(state: Path, request: AccessRequest) -> None:
    """Has the broker of a state folder tell people that a request waits for them.

    Without a broker nobody is told: it is the one that knows how.
    """
    try:
        ask(state, "announce", request=request.id, wait_seconds=ANNOUNCE_SECONDS)
    except NobodyThereError:
        _log.info("nobody_announces", request=request.id)
    except BrokerError as err:
        _log.warning("not_announced", request=request.id, cause=str(err)[:200])


def _frame(peer: socket.socket) -> bytes:
    with peer.makefile("rb") as incoming:
        length = int.from_bytes(incoming.read(4), "big")
        return incoming.read(length)


def _require_its_broker(peer: socket.socket, state: Path) -> None:
    uid = peer_of_socket(peer).uid
    if uid not in (0, os.geteuid(), state.stat().st_uid):
        raise StateError(f"who listens on {state / SOCKET} is user {uid}, whose it is not")
