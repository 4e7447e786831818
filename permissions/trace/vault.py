"""The keys of a log's contents: one for each run, wrapped, in a file of their own.

Run keys are random and wrapped (RFC 3394) by one key-encryption key. Destroying a run's lines in
that file erases its contents and makes its tags mean nothing; no proof over the log changes. A
run that goes on keeps its key, so that its tags stay comparable.

Who holds the key-encryption key and the files can read everything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)

from permissions.errors import SigningError, TraceError, TraceIntegrityError, TraceWriteError
from permissions.files import make_folder, replace
from permissions.signing.keys import read_secret, write_secret
from permissions.trace import codec
from permissions.trace.sealing import MAX_CONTENT, NONCE_BYTES, Box, RunKey

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from permissions.model import JsonObject
    from permissions.signing.responders import Responder, ResponderKey

KEYS_FILE = "vault.keys"
MAX_SEALED_LINE = MAX_CONTENT * 4 // 3 + 4096 + MAX_CONTENT // 6
_KEY_BYTES = 32
_SEALED = b'{"content":"'


class VaultKeyError(TraceError):
    """The key-encryption key at hand is not the one a content is sealed under."""


class SealedToRespondersError(TraceError):
    """Only a responder's private key opens a content."""


class SealedContent(NamedTuple):
    """What the entry says of a content under its name, and the line that follows it."""

    digest: str
    line: bytes


def make_kek(path: Path, *, random: Callable[[int], bytes] = os.urandom) -> None:
    """Makes the key-encryption key of a new log (32 bytes, file 0600), unless it is there.

    Keep it away from the log and its backups: the log without it discloses nothing.

    Raises:
        SigningError: it cannot be made.
    """
    try:
        make_folder(path.parent)
        write_secret(path, random(_KEY_BYTES))
    except FileExistsError:
        pass  # another process was first
    except OSError as err:
        raise SigningError(f"the vault's key {path} cannot be made: {err}") from err


def load_kek(path: Path) -> bytes:
    """Reads the key-encryption key.

    Raises:
        SigningError: it is not there, cannot be read, is open to others, or is not 32 bytes.
    """
    kek = read_secret(path)
    if len(kek) != _KEY_BYTES:
        raise SigningError(f"the vault's key {path} is not 32 bytes")
    return kek


def line_digest(line: bytes) -> str:
    """What an entry says of a sealed line (without its newline): SHA-256, base64."""
    return binascii.b2a_base64(hashlib.sha256(line).digest(), newline=False).decode()


class Vault:
    """Seals the contents of a log that is being written, and tags what they say."""

    def __init__(
        self,
        kek: bytes,
        *,
        keys: Path | None = None,
        random: Callable[[int], bytes] = os.urandom,
        responders: Sequence[ResponderKey] = (),
    ) -> None:
        """`keys` is the file of run keys, in which a run that goes on finds its own.

        With `responders` run keys are sealed to them and not wrapped by `kek`, so that nobody here
        reads a run again after it ended.
        """
        self._responders = responders
        self._kek = kek
        self._kek_id = kek_id(kek)
        self._keys = keys
        self._random = random
        self._run_keys: dict[str, RunKey] = {}
        self._fresh: list[bytes] = []

    def seal(self, data: bytes, *, origin: str, run: str, path: str) -> SealedContent:
        """Seals one content of an entry of `run`; `path` is its entry's type and its name.

        Raises:
            TraceError: it is larger than 16 MiB.
        """
        key = self._run_keys.get(run) or self._new_key(run)
        box = key.seal(data, nonce=self._random(NONCE_BYTES), bound=bound_to(origin, run, path))
        line = b'{"content":"%b"}' % base64.b64encode(box)
        return SealedContent(line_digest(line), line)

    def tag(self, run: str, name: str, data: bytes) -> str:
        """A keyed commitment that is equal for equal data in the same run, in base64."""
        key = self._run_keys.get(run) or self._new_key(run)
        return base64.b64encode(key.tag(name, data)).decode()

    def take_fresh_keys(self) -> bytes:
        """Lines for the keys file, which must be durable before anything sealed with them."""
        lines = b"".join(self._fresh)
        self._fresh.clear()
        return lines

    def resume(self, run: str) -> None:
        """Takes up the key a run had before, if it is still there."""
        if run not in self._run_keys and (raw := self._earlier(run)) is not None:
            self._run_keys[run] = RunKey(raw)

    def forget(self, run: str) -> None:
        """Drops the run's key from memory."""
        self._run_keys.pop(run, None)

    def _earlier(self, run: str) -> bytes | None:
        for line in reversed(_key_lines(self._keys, run)):
            if line.kek == self._kek_id:
                return line.unwrapped(self._kek)
        return None

    def _new_key(self, run: str) -> RunKey:
        key = self._random(_KEY_BYTES)
        document: JsonObject = {"key": _key_id(run, key), "run": run}
        if self._responders:
            info = sealed_as(run)
            document["sealed"] = {
                each.keyid: base64.b64encode(each.seal(key, info)).decode()
                for each in self._responders
            }
        else:
            document["kek"] = self._kek_id
            document["wrapped"] = base64.b64encode(aes_key_wrap(self._kek, key)).decode()
        self._fresh.append(codec.encode(document) + b"\n")
        self._run_keys[run] = RunKey(key)
        return self._run_keys[run]


class KeysState(NamedTuple):
    """The beginning of a keys file as it was: how long, and its SHA-256."""

    size: int
    digest: str

    @classmethod
    def of(cls, directory: Path) -> KeysState:
        """All that is in the keys file of a folder.

        Raises:
            OSError: it cannot be read.
        """
        data = (directory / KEYS_FILE).read_bytes()
        return cls(len(data), hashlib.sha256(data).hexdigest())

    def still_holds(self, directory: Path) -> bool:
        """Whether the file still begins so, whatever was added.

        Raises:
            OSError: it cannot be read.
        """
        with (directory / KEYS_FILE).open("rb") as file:
            begins = file.read(self.size)
        return hashlib.sha256(begins).hexdigest() == self.digest


def mend_keys(descriptor: int) -> int:
    """Makes an open keys file end with a whole line, and gives its size.

    A line that power or room cut off was never used: what it would have sealed was written
    after it, if at all. Left there, the next line would be joined to it and lost.

    Raises:
        OSError: it cannot be read, or mended.
    """
    size = os.fstat(descriptor).st_size
    start = max(size - codec.MAX_LINE - 1, 0)  # no line is longer
    data = os.pread(descriptor, size - start, start)
    end = start + data.rfind(b"\n") + 1
    if end == size:
        return size
    try:
        codec.decode(data[end - start :])
    except TraceError:
        os.ftruncate(descriptor, end)
        return end
    os.write(descriptor, b"\n")  # whole, but for its newline: an editor left it so
    return size + 1


class VaultReader:
    """Opens sealed contents beside a log; without a key-encryption key, only says which could be."""

    def __init__(
        self,
        directory: Path,
        kek: bytes | None,
        *,
        run: str | None = None,
        responder: Responder | None = None,
    ) -> None:
        """`run` says that only contents of this one will be opened, which saves reading all.

        `responder` opens what is sealed to that key.
        """
        self._responder = responder
        self._kek = kek
        self._kek_id = None if kek is None else kek_id(kek)
        self._path, self._run = directory / KEYS_FILE, run
        self._run_keys: dict[str, list[RunKey]] = {}

    @cached_property
    def _lines(self) -> dict[str, list[_KeyLine]]:
        """By run; read when something is to be opened."""
        found: dict[str, list[_KeyLine]] = {}
        for line in _key_lines(self._path, self._run):
            found.setdefault(line.run, []).append(line)
        return found

    def open(self, line: bytes, *, origin: str, run: str, path: str) -> bytes:
        """The content of a sealed line that its entry names.

        Raises:
            TraceIntegrityError: the line is malformed or altered.
            VaultKeyError: its key is wrapped by a key-encryption key that is not at hand.
            SealedToRespondersError: its key is sealed to responders, and none of them is at hand.
            TraceError: its key is not in the keys file any more.
        """
        box, key = self._box(line, run)
        return box.open(key, bound_to(origin, run, path))

    def content_key(self, line: bytes, *, run: str) -> bytes:
        """The key of this content alone, to disclose it by; raises as `open` does."""
        return self._box(line, run)[1]

    def _box(self, line: bytes, run: str) -> tuple[Box, bytes]:
        # What is base64 and nothing else between these two has one form in JSON.
        if (
            not (line.startswith(_SEALED) and line.endswith(b'"}'))
            or len(line) > MAX_SEALED_LINE
        ):
            raise TraceIntegrityError("a sealed content is malformed")
        try:
            box = Box.parse(binascii.a2b_base64(line[len(_SEALED) : -2], strict_mode=True))
        except (TraceError, binascii.Error) as err:
            raise TraceIntegrityError("a sealed content is malformed") from err
        for key in self._keys_of(run):
            if box.is_of(content_key := key.content_key(box.nonce)):
                return box, content_key
        self._require_own(run)
        raise TraceError(f"the key of a sealed content of run {run[:80]!r} is not there")

    def key_ids(self, run: str) -> frozenset[str]:
        """Ids of the keys of a run that are there."""
        return frozenset(line.key for line in self._lines.get(run, ()))

    def tags(self, run: str, name: str, data: bytes) -> list[str]:
        """The tags this may have: one for each key of the run; none when all are gone."""
        found = self._keys_of(run)
        return [base64.b64encode(key.tag(name, data)).decode() for key in found]

    def _require_own(self, run: str) -> None:
        for line in self._lines.get(run, ()):
            if line.sealed:
                raise SealedToRespondersError(
                    f"sealed to responders ({', '.join(sorted(line.sealed))[:200]})"
                )
            if self._kek is None:
                raise VaultKeyError(f"the vault's key ({line.kek[:16]}) is not there")
            if line.kek != self._kek_id:
                raise VaultKeyError(
                    f"a content is sealed under another vault key ({line.kek[:16]})"
                )

    def _raw_key(self, line: _KeyLine) -> bytes | None:
        if self._kek is not None and not line.sealed and line.kek == self._kek_id:
            return line.unwrapped(self._kek)
        if self._responder is not None and self._responder.public.keyid in line.sealed:
            return line.opened(self._responder)
        return None

    def _keys_of(self, run: str) -> list[RunKey]:
        keys = self._run_keys.get(run)
        if keys is None:
            found = (self._raw_key(line) for line in self._lines.get(run, ()))
            keys = [RunKey(raw) for raw in found if raw is not None]
            self._run_keys[run] = keys
        return keys


def key_ids(directory: Path, runs: Collection[str]) -> dict[str, list[str]]:
    """Ids of the keys of these runs that are in the keys file of a folder.

    Raises:
        TraceError: it cannot be read.
    """
    found: dict[str, list[str]] = {}
    for line in _key_lines(directory / KEYS_FILE, None):
        if line.run in runs:
            found.setdefault(line.run, []).append(line.key)
    return found


def destroy_keys(directory: Path, runs: Collection[str]) -> int:
    """Takes the keys of these runs out of the keys file; says how many there were.

    Their lines are overwritten where they lie, then left out of a new file. Nobody may write the
    log meanwhile. Not protected from: copies, and disks and file systems that keep what was
    overwritten (flash, snapshots); only another key-encryption key helps there.

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
                line = _KeyLine.parse(raw.rstrip(b"\n"))
                if line is None or line.run not in runs:
                    kept.append(raw)
                else:
                    os.pwrite(file.fileno(), b" " * len(raw), at)
                    gone += 1
                at += len(raw)
            os.fsync(file.fileno())
        if gone:
            replace(path, b"".join(kept))
    except FileNotFoundError:
        return 0
    except OSError as err:
        raise TraceWriteError(f"the keys in {path} cannot be destroyed: {err}") from err
    return gone


class _KeyLine(NamedTuple):
    kek: str
    key: str
    run: str
    wrapped: bytes
    sealed: Mapping[str, bytes]
    """By the id of a responder's key: the run key, sealed to it."""

    @classmethod
    def parse(cls, line: bytes) -> _KeyLine | None:
        try:
            found = codec.decode(line)
            return cls(
                "" if "sealed" in found else str(found["kek"]),
                str(found["key"]),
                str(found["run"]),
                b"" if "sealed" in found else base64.b64decode(found["wrapped"]),
                {
                    name: base64.b64decode(sealed)
                    for name, sealed in found.get("sealed", {}).items()
                },
            )
        except (TraceError, KeyError, TypeError, ValueError, AttributeError, binascii.Error):
            return None  # torn or erased; what it sealed is reported where it is read

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
        try:
            key = responder.open(self.sealed[responder.public.keyid], sealed_as(self.run))
        except SigningError as err:
            raise TraceIntegrityError(f"the key {self.key[:16]!r} was altered") from err
        return self._checked(key)

    def _checked(self, key: bytes) -> bytes:
        if _key_id(self.run, key) != self.key:
            raise TraceIntegrityError(
                f"the key {self.key[:16]!r} is another than its line says"
            )
        return key


def _key_lines(path: Path | None, run: str | None) -> list[_KeyLine]:
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
    lines = (_KeyLine.parse(line) for line in data.split(b"\n") if said in line)
    return [line for line in lines if line is not None and run in (None, line.run)]


def bound_to(origin: str, run: str, path: str) -> bytes:
    """What a box is bound to: its log, its run, and its entry's type and its name."""
    return f"{origin}\n{run}\n{path}".encode()


def sealed_as(run: str) -> bytes:
    """What binds a run key that is sealed to responders to its run."""
    return b"wardline/v2 run key\x00" + run.encode()


def _key_id(run: str, key: bytes) -> str:
    said = b"wardline/v2 run key\x00%b\x00%b" % (run.encode(), key)
    return hashlib.sha256(said).hexdigest()[:16]


def kek_id(kek: bytes) -> str:
    """Which key-encryption key this is."""
    return hashlib.sha256(b"wardline vault key\x00" + kek).hexdigest()[:16]
