"""The keys of a log's contents: one for each kind of each run, wrapped, in a file of their own.

Run keys are random and wrapped (RFC 3394) by one key-encryption key. Destroying lines of that file
(`key_lines`) erases a run's contents, or those of one kind, and makes their tags mean nothing; no
proof over the log changes. A run that goes on keeps its keys, so that its tags stay comparable.

Who holds the key-encryption key and the files can read everything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from permissions.errors import SigningError, TraceError, TraceIntegrityError
from permissions.files import make_folder
from permissions.signing.keys import read_secret, write_secret
from permissions.trace import codec
from permissions.trace.content_kinds import EVERY_CALL, kind_of
from permissions.trace.key_lines import KEYS_FILE, kek_id, key_line, read_key_lines
from permissions.trace.sealing import MAX_CONTENT, NONCE_BYTES, Box, RunKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from permissions.signing.responders import Responder, ResponderKey
    from permissions.trace.key_lines import KeyLine

MAX_SEALED_LINE = MAX_CONTENT * 4 // 3 + 4096 + MAX_CONTENT // 6
_KEY_BYTES = 32
_SEALED = b'{"content":"'


class VaultKeyError(TraceError):
    """The key-encryption key at hand is not the one a content is sealed under."""


class SealedToRespondersError(TraceError):
    """Only a responder's private key opens a content."""


class ErasedError(TraceError):
    """The key of a content is not there: it was destroyed, or lost."""


class SealedContent(NamedTuple):
    """What the entry says of a content under its name, and the line that follows it."""

    digest: str
    line: bytes


class SealedAhead:
    """A content that was sealed before its entry is recorded.

    It counts for what it was made of and for nothing else: these very bytes (the object, so that
    what replaced them since is sealed anew), bound to the same, under the key that is their run's
    by then. Once, so that no nonce stands in a log twice.
    """

    __slots__ = ("_bound", "_data", "_key", "_sealed")

    def __init__(self, sealed: SealedContent, data: bytes, key: RunKey, bound: bytes) -> None:
        self._sealed: SealedContent | None = sealed
        self._data = data
        self._key = key
        self._bound = bound

    def take(self, data: bytes, key: RunKey, bound: bytes) -> SealedContent | None:
        """What was sealed, if this is what was meant; None from then on."""
        if data is not self._data or key is not self._key or bound != self._bound:
            return None
        sealed, self._sealed = self._sealed, None
        return sealed


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
        self._run_keys: dict[str, dict[str, RunKey]] = {}
        """By run and kind of content."""
        self._fresh: list[bytes] = []

    def seal(
        self,
        data: bytes,
        *,
        origin: str,
        run: str,
        path: str,
        ahead: SealedAhead | None = None,
    ) -> SealedContent:
        """Seals one content of an entry of `run`; `path` is its entry's type and its name.

        `ahead` is what was sealed of it before, which counts if it is of just this.

        Raises:
            TraceError: it is larger than 16 MiB.
        """
        key, bound = self._key(run, path.rpartition("/")[2]), bound_to(origin, run, path)
        sealed = None if ahead is None else ahead.take(data, key, bound)
        return self._sealed(data, key, bound) if sealed is None else sealed

    def seal_ahead(
        self, data: bytes, *, origin: str, run: str, path: str
    ) -> SealedAhead | None:
        """Seals what is to be recorded later. None while the run has no key for it.

        A key is made with the first content that is recorded under it, and for no other.

        Raises:
            TraceError: it is larger than 16 MiB.
        """
        key = self._run_keys.get(run, {}).get(kind_of(path.rpartition("/")[2]))
        if key is None:
            return None
        bound = bound_to(origin, run, path)
        return SealedAhead(self._sealed(data, key, bound), data, key, bound)

    def _sealed(self, data: bytes, key: RunKey, bound: bytes) -> SealedContent:
        box = key.seal(data, nonce=self._random(NONCE_BYTES), bound=bound)
        line = b'{"content":"%b"}' % base64.b64encode(box)
        return SealedContent(line_digest(line), line)

    def tag(self, run: str, name: str, data: bytes) -> str:
        """A keyed commitment that is equal for equal data in the same run, in base64."""
        return base64.b64encode(self._key(run, name).tag(name, data)).decode()

    def take_fresh_keys(self) -> bytes:
        """Lines for the keys file, which must be durable before anything sealed with them."""
        lines = b"".join(self._fresh)
        self._fresh.clear()
        return lines

    def resume(self, run: str) -> None:
        """Takes up the keys a run had before, those that are still there."""
        if run in self._run_keys:
            return
        earlier = {
            line.kind: RunKey(line.unwrapped(self._kek))
            for line in read_key_lines(self._keys, run)
            if line.kek == self._kek_id
        }
        if earlier:
            self._run_keys[run] = earlier

    def forget(self, run: str) -> None:
        """Drops the run's keys from memory."""
        self._run_keys.pop(run, None)

    def _key(self, run: str, name: str) -> RunKey:
        """The key for contents and tags of this name."""
        kind = kind_of(name)
        keys = self._run_keys.get(run)
        if keys is None:
            keys = self._run_keys[run] = {}
            if run:  # one sync for all of them, and not one for each
                for each in EVERY_CALL:
                    keys[each] = self._new_key(run, each)
        key = keys.get(kind)
        if key is None:
            key = keys[kind] = self._new_key(run, kind)
        return key

    def _new_key(self, run: str, kind: str) -> RunKey:
        key = self._random(_KEY_BYTES)
        self._fresh.append(
            key_line(key, run=run, kind=kind, kek=self._kek, responders=self._responders)
        )
        return RunKey(key)


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
        self._run_keys: dict[tuple[str, str], list[RunKey]] = {}

    @cached_property
    def _lines(self) -> dict[str, list[KeyLine]]:
        """By run; read when something is to be opened."""
        found: dict[str, list[KeyLine]] = {}
        for line in read_key_lines(self._path, self._run):
            found.setdefault(line.run, []).append(line)
        return found

    def _lines_of(self, run: str, kind: str) -> Iterator[KeyLine]:
        return (line for line in self._lines.get(run, ()) if line.kind == kind)

    def open(self, line: bytes, *, origin: str, run: str, path: str) -> bytes:
        """The content of a sealed line that its entry names.

        Raises:
            TraceIntegrityError: the line is malformed or altered.
            VaultKeyError: its key is wrapped by a key-encryption key that is not at hand.
            SealedToRespondersError: its key is sealed to responders, and none of them is at hand.
            ErasedError: its key is not in the keys file any more.
        """
        box, key = self._box(line, run, path.rpartition("/")[2])
        return box.open(key, bound_to(origin, run, path))

    def content_key(self, line: bytes, *, run: str, name: str) -> bytes:
        """The key of this content alone, to disclose it by; raises as `open` does."""
        return self._box(line, run, name)[1]

    def _box(self, line: bytes, run: str, name: str) -> tuple[Box, bytes]:
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
        kind = kind_of(name)
        for key in self._keys_of(run, kind):
            if box.is_of(content_key := key.content_key(box.nonce)):
                return box, content_key
        self._require_own(run, kind)
        raise ErasedError(f"erased: the key of run {run[:80]!r} for {kind} is not there")

    def key_ids(self, run: str) -> frozenset[str]:
        """Ids of the keys of a run that are there."""
        return frozenset(line.key for line in self._lines.get(run, ()))

    def tags(self, run: str, name: str, data: bytes) -> list[str]:
        """The tags this may have: one for each key of its kind; none when all are gone."""
        found = self._keys_of(run, kind_of(name))
        return [base64.b64encode(key.tag(name, data)).decode() for key in found]

    def _require_own(self, run: str, kind: str) -> None:
        for line in self._lines_of(run, kind):
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

    def _raw_key(self, line: KeyLine) -> bytes | None:
        if self._kek is not None and not line.sealed and line.kek == self._kek_id:
            return line.unwrapped(self._kek)
        if self._responder is not None and self._responder.public.keyid in line.sealed:
            return line.opened(self._responder)
        return None

    def _keys_of(self, run: str, kind: str) -> list[RunKey]:
        keys = self._run_keys.get((run, kind))
        if keys is None:
            found = map(self._raw_key, self._lines_of(run, kind))
            keys = [RunKey(raw) for raw in found if raw is not None]
            self._run_keys[run, kind] = keys
        return keys


def bound_to(origin: str, run: str, path: str) -> bytes:
    """What a box is bound to: its log, its run, and its entry's type and its name."""
    return f"{origin}\n{run}\n{path}".encode()
