"""The signing keys in a state folder, and how one takes the other's stead without a gap.

A new key is written beside the old one (`log.pem.next`), then recorded under a checkpoint that both
sign, then put in the old one's stead. A machine that dies in between has both, and the log says
which of them it goes on under.

What is replaced is overwritten where it lies before its name goes. Not protected from: copies, and
disks and file systems that keep what was overwritten (flash, snapshots); put `keys/` where that
does not happen if you rely on it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from permissions import files
from permissions.errors import SigningError
from permissions.signing.keys import (
    memory_signer,
    public_half,
    read_secret,
    signer_from_pem,
    write_secret,
)
from permissions.signing.post_quantum import post_quantum_signer
from permissions.trace.checkpoint_signer import Beside

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.setup.layout import StateLayout
    from permissions.signing.keys import MemorySigner, PublicKey
    from permissions.trace.key_chain import KeyChain


class OwnKeys:
    """The keys that sign the log of one state folder, as far as they are files in it."""

    def __init__(self, layout: StateLayout) -> None:
        self._log = KeyFile(layout.log_key)
        self._epoch = KeyFile(layout.keys / "epoch.pem")
        self._post_quantum = layout.keys / "post_quantum.pem"

    def beside(self, *, post_quantum: bool) -> Beside:
        """What the log may go on under beside the log's key, as it is named in the settings.

        Args:
            post_quantum: whether an ML-DSA-44 key is wanted; it is made when there is none.

        Raises:
            SigningError: a key cannot be read.
        """
        known = post_quantum or self._post_quantum.exists()
        return Beside(
            log=tuple(self._log.pending()),
            epoch=(*self._epoch.current(), *self._epoch.pending()),
            post_quantum=post_quantum_signer(self._post_quantum) if known else None,
        )

    def settle(self, keys: KeyChain) -> None:
        """Ends what a machine that died left half done, by what the log says.

        Raises:
            SigningError: a file cannot be replaced or removed.
        """
        self._log.settle(keys.log)
        self._epoch.settle(keys.epoch)

    def next_log_key(self) -> MemorySigner:
        """A new key, in a file beside the log's; `settle` puts it in its stead.

        Raises:
            SigningError: it cannot be written.
        """
        return self._log.prepare()

    def next_epoch_key(self) -> MemorySigner:
        """The same for the key of the epoch."""
        return self._epoch.prepare()


class KeyFile:
    """A PEM file, and the one that takes its stead."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = path.with_name(path.name + ".next")

    def current(self) -> list[MemorySigner]:
        """The key in the file, if there is one."""
        return _read(self._path)

    def pending(self) -> list[MemorySigner]:
        """The key that is to take its stead, if there is one."""
        return _read(self._next)

    def prepare(self) -> MemorySigner:
        """Writes a new key beside the file.

        Raises:
            SigningError: it cannot be written.
        """
        signer = memory_signer()
        try:
            _destroy(self._next)
            files.make_folder(self._path.parent)
            write_secret(self._next, signer.pem())
        except OSError as err:
            raise SigningError(f"the key {self._next} cannot be written: {err}") from err
        return signer

    def settle(self, in_force: PublicKey | None) -> None:
        """Puts the new key in the old one's stead when it is in force; destroys it when not.

        Raises:
            SigningError: a file cannot be replaced or removed.
        """
        try:
            for signer in self.pending():
                if signer.public != in_force:
                    _destroy(self._next)
                    continue
                _overwrite(self._path)
                self._next.replace(self._path)
                files.sync_folder(self._path.parent)
                if public_half(self._path).exists():
                    said = f"{signer.public}\n".encode()
                    files.replace(public_half(self._path), said, mode=0o644)
        except OSError as err:
            raise SigningError(f"the key {self._path} cannot be replaced: {err}") from err


def _read(path: Path) -> list[MemorySigner]:
    if not path.exists():
        return []
    return [signer_from_pem(read_secret(path), named=f"file:{path}")]


def _destroy(path: Path) -> None:
    if path.exists():
        _overwrite(path)
        path.unlink()
        files.sync_folder(path.parent)


def _overwrite(path: Path) -> None:
    """Zeros where the key was."""
    if path.exists():
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
