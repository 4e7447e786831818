"""The keys of what the state file holds of a run: one for each, wrapped, in the file itself.

What people are shown, their answers and calls' results are sealed under the run's key, and
what has to be found again stands there as a keyed digest. Erasing a run destroys its key: then
its contents are noise, and its digests mean nothing. The key is made in the transaction of the
first content it seals, so no crash parts them.

Whoever holds the vault's key and the file can read everything. Run ids, tools' digests,
approvers' names, times and states stay readable.
"""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)

from permissions.errors import StateError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from permissions.database import StateDatabase

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_STEP: Final = 256
"""Contents are padded to a multiple of so many bytes: their lengths tell of them, too."""


class RunKey:
    """Seals, opens and tags what is kept of one run."""

    __slots__ = ("_cipher", "_random", "_raw", "_run")

    def __init__(self, run: str, raw: bytes, random: Callable[[int], bytes]) -> None:
        self._run = run
        self._raw = raw
        self._cipher = AESGCM(raw)
        self._random = random

    def seal(self, data: bytes, *, name: str) -> bytes:
        """Sealed, for this run and under this name only."""
        nonce = self._random(_NONCE_BYTES)
        padded = data + b"\x80" + bytes(-(len(data) + 1) % _STEP)
        return nonce + self._cipher.encrypt(nonce, padded, self._bound(name))

    def open(self, box: bytes, *, name: str) -> bytes:
        """What was sealed.

        Raises:
            StateError: it was altered, or sealed for another run or under another name.
        """
        try:
            nonce, sealed = box[:_NONCE_BYTES], box[_NONCE_BYTES:]
            padded = self._cipher.decrypt(nonce, sealed, self._bound(name))
        except (InvalidTag, ValueError) as err:
            raise StateError(
                f"a sealed content of run {self._run[:80]!r} does not open: the state was altered"
            ) from err
        return padded.rstrip(b"\x00")[:-1]

    def tag(self, name: str, text: str) -> str:
        """A digest that nobody without the key can make: equal for equal texts of one run."""
        data = name.encode() + b"\x00" + text.encode(errors="surrogatepass")
        return hmac.digest(self._raw, b"wardline state tag\x00" + data, "sha256").hex()

    def _bound(self, name: str) -> bytes:
        return f"wardline state\n{self._run}\n{name}".encode(errors="surrogatepass")


class RunKeys:
    """Finds, makes and destroys them. Its methods run within a transaction of `StateDatabase`.

    Args:
        kek: the vault's key, which wraps them: 32 bytes.
        random: gives unguessable bytes.
    """

    def __init__(self, kek: bytes, *, random: Callable[[int], bytes] = os.urandom) -> None:
        self._kek = kek
        self._random = random

    def of(self, connection: sqlite3.Connection, run: str) -> RunKey | None:
        """A run's key; None while nothing was sealed for it.

        Raises:
            StateError: the run was erased, or its key is wrapped by another key.
        """
        row = connection.execute("SELECT wrapped FROM run_key WHERE run = ?", (run,)).fetchone()
        if row is None:
            return None
        if row[0] is None:
            raise StateError(
                f"the contents of run {run[:80]!r} were erased; go on in a new run"
            )
        try:
            raw = aes_key_unwrap(self._kek, row[0])
        except (InvalidUnwrap, ValueError) as err:
            raise StateError(
                f"the state of run {run[:80]!r} is sealed under another vault key, or was"
                " altered; put the vault's key back"
            ) from err
        return RunKey(run, raw, self._random)

    def made(self, connection: sqlite3.Connection, run: str) -> RunKey:
        """A run's key, made now if there was none; durable with what it seals.

        Raises:
            StateError: as `of`.
        """
        if (found := self.of(connection, run)) is not None:
            return found
        raw = self._random(_KEY_BYTES)
        connection.execute(
            "INSERT INTO run_key (run, wrapped) VALUES (?, ?)",
            (run, aes_key_wrap(self._kek, raw)),
        )
        return RunKey(run, raw, self._random)


async def erase(database: StateDatabase, run: str) -> None:
    """Destroys a run's key in the file and in its write-ahead log; durable on return.

    A copy of the file made before keeps its wrapped key: keep the vault's key away from copies.
    No call with a key may begin in the run any more: what ran in it is not known.

    Raises:
        StateError: it could not be made durable, or other processes keep the log from ending.
    """

    def work(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO run_key (run, wrapped) VALUES (?, NULL)"
            " ON CONFLICT (run) DO UPDATE SET wrapped = NULL",
            (run,),
        )

    await database.write(work)
    await database.end_log()
