"""The lines of `vault.keys`: the keys of contents, each wrapped or sealed, and how they go.

A key is of one run and one kind of its contents. Destroying lines erases what they sealed and makes
its tags mean nothing; every other line, and every proof over the log, stays as it is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)

from permissions.errors import SigningError, TraceError, TraceIntegrityError, TraceWriteError
from permissions.files import replace
from permissions.trace import codec

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from permissions.model import JsonObject
    from permissions.signing.responders import Responder, ResponderKey

KEYS_FILE = "vault.keys"
_BLANKED = b" " * 16


class KeyName(NamedTuple):
    """Whose key a line holds, and its id."""

    run: str
    kind: str
    id: str


class KeyLine(NamedTuple):
    """A line of the keys file."""

    kek: str
    key: str
    kind: str
    run: str
    wrapped: bytes
    sealed: Mapping[str, bytes]
    """By the id of a responder's key: the run key, sealed to it."""

    @classmethod
    def parse(cls, line: bytes) -> KeyLine | None:
        """What a line holds; None for one that is torn or erased."""
        try:
            found = codec.decode(line)
            return cls(
                "" if "sealed" in found else str(found["kek"]),
                str(found["key"]),
                str(found["kind"]),
                str(found["run"]),
                b"" if "sealed" in found else base64.b64decode(found["wrapped"]),
                {
                    name: base64.b64decode(sealed)
                    for name, sealed in found.get("sealed", {}).items()
                },
            )
        except (TraceError, KeyError, TypeError, ValueError, AttributeError, binascii.Error):
            return None  # what it sealed is reported where it is read

    def unwrapped(self, kek: bytes) -> bytes:
        """The run key.

        Raises:
            TraceIntegrityError: the line was altered.
        """
        try:
            key = aes_key_unwrap(kek, self.wrapped)
        except (InvalidUnwrap, ValueError) as err:
            raise TraceIntegrityError(f"the key {self.key[:16]!r} was altered") from err
        return self._checked(key)

    def opened(self, responder: Responder) -> bytes:
        """The run key, by a responder it is sealed to.

        Raises:
            TraceIntegrityError: the line was altered.
        """
        info = sealed_as(self.run, self.kind)
        try:
            key = responder.open(self.sealed[responder.public.keyid], info)
        except SigningError as err:
            raise TraceIntegrityError(f"the key {self.key[:16]!r} was altered") from err
        return self._checked(key)

    def _checked(self, key: bytes) -> bytes:
        if key_id(self.run, self.kind, key) != self.key:
            raise TraceIntegrityError(
                f"the key {self.key[:16]!r} is another than its line says"
            )
        return key


def key_line(
    key: bytes, *, run: str, kind: str, kek: bytes, responders: Sequence[ResponderKey] = ()
) -> bytes:
    """The line that holds a key, with its newline: wrapped by `kek`, or sealed to responders."""
    document: JsonObject = {"key": key_id(run, kind, key), "kind": kind, "run": run}
    if responders:
        info = sealed_as(run, kind)
        document["sealed"] = {
            each.keyid: base64.b64encode(each.seal(key, info)).decode() for each in responders
        }
    else:
        document["kek"] = kek_id(kek)
        document["wrapped"] = base64.b64encode(aes_key_wrap(kek, key)).decode()
    return codec.encode(document) + b"\n"


def read_key_lines(path: Path | None, run: str | None = None) -> list[KeyLine]:
    """The lines of a keys file that can be read; of one run when one is named.

    Raises:
        TraceError: the file cannot be read.
    """
    try:
        data = b"" if path is None else path.read_bytes()
    except FileNotFoundError:
        data = b""
    except OSError as err:
        raise TraceError(f"{path} cannot be read: {err.strerror}") from err
    said = b"" if run is None else b'"run":%b,' % codec.encode({"run": run})[7:-1]
    lines = (KeyLine.parse(line) for line in data.split(b"\n") if said in line)
    return [line for line in lines if line is not None and run in (None, line.run)]


def key_names(directory: Path, runs: Collection[str]) -> list[KeyName]:
    """Which keys of these runs are in the keys file of a folder.

    Raises:
        TraceError: it cannot be read.
    """
    lines = read_key_lines(directory / KEYS_FILE)
    return [KeyName(each.run, each.kind, each.key) for each in lines if each.run in runs]


def destroy_keys(directory: Path, runs: Collection[str], kinds: Collection[str] = ()) -> int:
    """Takes the keys of these runs out of the keys file; says how many there were.

    Their lines are overwritten where they lie, then left out of a new file. Cut off anywhere, no
    other key is harmed, and doing it again finishes it. Nobody may write the log meanwhile. Not
    protected from: copies, and disks and file systems that keep what was overwritten (flash,
    snapshots); only another key-encryption key helps there.

    Args:
        directory: of the log.
        runs: whose keys.
        kinds: of which contents; of all without any.

    Raises:
        TraceWriteError: it cannot be made durable; some may be left, so do it again.
    """
    path = directory / KEYS_FILE
    try:
        data = path.read_bytes()
        kept: list[bytes] = []
        gone = at = 0
        with path.open("r+b") as file:
            for raw in data.splitlines(keepends=True):
                line = KeyLine.parse(raw.rstrip(b"\n"))
                is_meant = (
                    line is not None and line.run in runs and kinds_hold(kinds, line.kind)
                )
                if is_meant or (line is None and _is_left_over(raw.rstrip(b"\n"))):
                    # But for the newline, or the next line would be joined to it and lost.
                    os.pwrite(file.fileno(), b" " * len(raw.rstrip(b"\n")), at)
                    gone += is_meant
                else:
                    kept.append(raw)
                at += len(raw)
            os.fsync(file.fileno())
        if sum(map(len, kept)) != len(data):
            replace(path, b"".join(kept))
    except FileNotFoundError:
        return 0
    except OSError as err:
        raise TraceWriteError(f"the keys in {path} cannot be destroyed: {err}") from err
    return gone


def _is_left_over(raw: bytes) -> bool:
    """Whether a line is what a power cut left of one that was being overwritten."""
    return raw.startswith(b" ") or raw.endswith(b" ") or _BLANKED in raw


def kinds_hold(kinds: Collection[str], kind: str) -> bool:
    """Whether a kind is among those that an erasure names, which are all when it names none."""
    return not kinds or kind in kinds


def sealed_as(run: str, kind: str) -> bytes:
    """What binds a run key that is sealed to responders to its run and kind."""
    return b"wardline/v2 run key\x00%b\x00%b" % (run.encode(), kind.encode())


def key_id(run: str, kind: str, key: bytes) -> str:
    """Which key this is, which says nothing of it."""
    return hashlib.sha256(sealed_as(run, kind) + b"\x00" + key).hexdigest()[:16]


def kek_id(kek: bytes) -> str:
    """Which key-encryption key this is."""
    return hashlib.sha256(b"wardline vault key\x00" + kek).hexdigest()[:16]
