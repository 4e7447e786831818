"""Where a hook finds who answers it, with next to nothing loaded.

For each settings file this user has a folder, beside the list of trusted ones: in it lies a note
of who answers, and the socket of the helper if it is that.
"""

from __future__ import annotations

import _socket
import os
import sys

VERSION = 2
"""Of what is said between a hook and who answers."""
NAME = "wardline.toml"
NOTE = "answerer"
SOCKET = "helper.sock"


class HookError(Exception):
    """Nobody can be asked, or who is does not answer; says why."""


def settings_path() -> str:
    """The settings file that is named or found, as `permissions.setup.settings_file` does.

    Raises:
        HookError: there is none.
    """
    if (named := os.environ.get("WARDLINE_CONFIG")) is not None:
        return os.path.abspath(named)  # noqa: PTH100 - no pathlib before each call
    folder = os.getcwd()  # noqa: PTH109
    home, device = os.path.realpath(os.path.expanduser("~")), os.stat(folder).st_dev  # noqa: PTH111, PTH116
    while os.stat(folder).st_dev == device:  # noqa: PTH116
        path = os.path.join(folder, NAME)  # noqa: PTH118
        if os.path.lexists(path):
            return path
        above = os.path.dirname(folder)  # noqa: PTH120
        if folder in (home, above):
            break
        folder = above
    raise HookError("there is no wardline.toml here or above; run `wardline init`")


def note_folder(file: str) -> str:
    """The folder of this user in which is noted who answers under a settings file."""
    base = os.environ.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):
        base = os.path.expanduser("~/.local/state")  # noqa: PTH111
    name = file.replace("%", "%25").replace("/", "%2F")
    if len(os.fsencode(name)) > 250:
        import hashlib

        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f"{base}/wardline/hooks/{name}"


def stamp(file: str) -> str:
    """What tells whether a settings file, and the user's list of trusted ones, were changed.

    And who chose it: one that is named need not be trusted.
    """
    trusted = note_folder("").rpartition("/hooks/")[0] + "/trusted.json"
    by = "named" if "WARDLINE_CONFIG" in os.environ else "found"
    return f"{VERSION} {by} {of_file(file)} {of_file(trusted)}"


def of_file(path: str) -> str:
    """What tells whether a file was changed or replaced; `-` for one that is not there.

    The time of the last change of its inode (`ctime`) is none that a program may set.
    """
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return "-"
    return (
        f"{found.st_dev}.{found.st_ino}.{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}"
    )


def noted(folder: str, now: str) -> str | None:
    """The address of the daemon, empty for the helper; None when nothing that holds is noted."""
    try:
        require_own(folder)
        number = os.open(f"{folder}/{NOTE}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        known, _, address = os.read(number, 4096).decode().partition("\n")
    finally:
        os.close(number)
    return address.removesuffix("\n") if known == now and address.endswith("\n") else None


def require_own(folder: str) -> None:
    """Checks that only this user can put anything into a folder.

    Raises:
        HookError: others can.
        OSError: it is not there.
    """
    found = os.lstat(folder)
    if found.st_uid != os.geteuid() or found.st_mode & 0o170022 != 0o040000:
        raise HookError(f"{folder} is no folder of yours alone; look at it, then remove it")


def connected(folder: str) -> _socket.socket | None:
    """A connection to the helper; None when none listens.

    Raises:
        HookError: something else is in its place.
    """
    path = f"{folder}/{SOCKET}"
    try:
        require_own(folder)
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    if found.st_mode & 0o170077 != 0o140000 or found.st_uid != os.geteuid():
        raise HookError(f"{path} is no socket of yours alone; look at it, then remove it")
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        link.settimeout(5)
        link.connect(f"/proc/self/fd/{number}/{SOCKET}")  # a name that is short enough
        uid = peer_uid(link)
    except OSError as err:
        link.close()
        if isinstance(err, ConnectionRefusedError | FileNotFoundError):
            return None  # of one that died, or ends
        raise HookError(f"the helper at {path} cannot be reached ({err})") from err
    finally:
        os.close(number)
    if uid != os.geteuid():
        link.close()
        raise HookError(f"who listens on {path} is user {uid}, whose it is not")
    return link


def circumstances() -> str:
    """What a helper has in common with the hooks it answers, beside the files it read."""
    names = ("HOME", "TMPDIR", "TZ")
    known = [
        f"{name}={value}"
        for name, value in sorted(os.environ.items())
        if name.startswith(("WARDLINE_", "XDG_", "PYTHON")) or name in names
    ]
    own = f"{VERSION} {sys.executable} {__file__} {of_file(__file__)}"
    return "\0".join([own, os.getcwd(), *known])  # noqa: PTH109


def peer_uid(link: _socket.socket) -> int:
    """The account of who listens at the other end, as the kernel knows it."""
    raw = link.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    return int.from_bytes(raw[4:8], sys.byteorder)
