"""The runner's output: frames to the supervisor, and the out folder's files in them.

Read from inside the sandbox, after every process of the job is dead. Only regular files with
one name leave; whatever else lies there is named and refused. Joined with `runner` into one
source (`sandbox.supervisor.bootstrap`), so only the standard library exists here.
"""

from __future__ import annotations

import _json
import os
import stat

TYPE_CHECKING = False  # the idiom without importing `typing`, which costs milliseconds
if TYPE_CHECKING:
    from typing import Any, NoReturn

OUT, CHUNK, DEPTH, REFUSALS = "/box/out", 65536, 16, 200


def send(channel: int, kind: bytes, payload: bytes = b"") -> None:
    """Sends one frame."""
    data = kind + len(payload).to_bytes(4, "big") + payload
    while data:
        data = data[os.write(channel, data) :]


def written(document: dict[str, Any]) -> str:
    """As `json.dumps(document, allow_nan=False)`, which would first import half of a Python."""
    no = False  # sorted keys, skipped keys, NaN
    write = _json.make_encoder(
        {}, refuse, _json.encode_basestring_ascii, None, ": ", ", ", no, no, no
    )
    return "".join(write(document, 0))


def refuse(value: object) -> NoReturn:
    """Refuses a value that has no JSON form."""
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def say(channel: int, kind: bytes, document: dict[str, Any]) -> None:
    """Sends a frame of JSON."""
    send(channel, kind, written(document).encode("ascii"))


def opened(name: str, folder: int | None = None) -> int:
    """A folder by descriptor. No link is followed: gVisor follows one where `O_DIRECTORY` is asked.

    Raises:
        OSError: it is none, or cannot be opened.
    """
    number = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=folder)
    if not stat.S_ISDIR(os.fstat(number).st_mode):
        os.close(number)
        raise NotADirectoryError(name)
    return number


class Copier:
    """Sends the regular files below the out folder; names and refuses the rest."""

    def __init__(self, channel: int, setup: dict[str, Any]) -> None:
        self.channel = channel
        self.room = setup["files_out_bytes"]
        self.files = setup["files_out"]
        self.refusals = REFUSALS

    def refuse(self, path: str, reason: str) -> None:
        """Reports an entry that does not come out, and why."""
        if self.refusals > 0:
            self.refusals -= 1
            reason = reason if self.refusals else "more entries were refused than are listed"
            path = path.encode("utf-8", "backslashreplace").decode()
            say(self.channel, b"r", {"path": path, "reason": reason})

    def folder(self, number: int, prefix: str, depth: int) -> None:
        """Sends what lies in an open folder."""
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
        """Sends a folder in a folder; no link is followed."""
        if depth == 0:
            self.refuse(path, "it is nested too deeply")
            return
        try:
            inner = opened(name, number)
        except OSError:
            self.refuse(path, "it cannot be opened")
            return
        try:
            self.folder(inner, path + "/", depth - 1)
        finally:
            os.close(inner)

    def file(self, number: int, name: str, path: str) -> None:
        """Sends a regular file, if it is one and fits."""
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


def send_out_folder(channel: int, setup: dict[str, Any]) -> None:
    """Sends what lies in the out folder; a folder that is gone is refused like an entry."""
    copier = Copier(channel, setup)
    try:
        folder = opened(OUT)
    except OSError:
        copier.refuse("out", "the out folder is gone, closed, or no folder any more")
    else:
        copier.folder(folder, "", DEPTH)


def plain(path: str) -> bool:
    """Whether a name can be said as it is."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return False
    return size <= 512 and not any(ord(letter) < 32 or ord(letter) == 127 for letter in path)
