"""Where `wardline trace` finds a log and its bundles, and the key to hold it to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import typer

from permissions.errors import ConfigError, TraceError, TraceIntegrityError
from permissions.inquiry.contents import Contents
from permissions.inquiry.questions import Inquiry
from permissions.setup.config import BrokerConfig
from permissions.setup.layout import StateLayout
from permissions.signing.key_uris import secret_from_uri
from permissions.signing.keys import MAX_KEY_FILE, PublicKey
from permissions.trace.archived import load_archived
from permissions.trace.checkpoint import parse_checkpoint, parse_vkey
from permissions.trace.index import TraceIndex
from permissions.trace.index_check import check_index
from permissions.trace.known_checkpoints import Known, read_checkpoint
from permissions.trace.store import segments
from permissions.trace.vault import VaultReader, load_kek

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from permissions.trace.index_check import IndexCheck
    from permissions.trace.known_checkpoints import KnownCheckpoints
    from permissions.trace.reader import RecordedEntry
    from permissions.trace.report import Report


class TraceSource:
    """A log and what belongs to it: its folder, keys and bundles."""

    def __init__(
        self, folder: Path | None, config: Path | None, *, may_be_gone: bool = False
    ) -> None:
        alone = folder is not None and folder.is_dir() and bool(segments(folder))
        overrides = {"state": folder} if folder is not None and not alone else {}
        settings = BrokerConfig.load(config, **overrides)
        layout = StateLayout(settings.state)
        self.trace = folder if alone and folder is not None else layout.trace
        self._root = folder if alone and folder is not None else layout.root
        self.bundles = layout.bundles
        self._index = None if alone else layout.index
        self._is_own = folder is None
        self._kek = None if alone else layout.kek
        self._vault_key = "" if alone else settings.trace.vault_key
        self._key = None if alone else layout.log_public_key
        self.is_gone = not self.trace.is_dir() or not segments(self.trace)
        if self.is_gone and not may_be_gone:
            raise ConfigError(f"there is no trace in {self.trace}; give --dir")
        archived = None if self.is_gone else load_archived(self.trace)
        if archived is not None and archived.paths() is None:
            typer.echo(
                f"warning: the first {archived.size} entries were moved to"
                f" {archived.folders()}, which is not there; they are left out",
                err=True,
            )

    def kek(self) -> bytes | None:
        """The vault's key, where this installation has it."""
        if self._vault_key:
            return secret_from_uri(self._vault_key)
        if self._kek is None or not self._kek.exists():
            return None
        return load_kek(self._kek)

    def vault(self) -> VaultReader | None:
        """Opens sealed contents, where this installation has the key."""
        kek = self.kek()
        return None if kek is None else VaultReader(self.trace, kek)

    def index(self) -> TraceIndex:
        """The state folder's, for its owner who named no folder; else one made from the log.

        Who can write a state folder can hide a call in its index. Its owner's broker goes on by
        it anyway; nobody else believes it, or leaves a file of theirs beside it.
        """
        is_owner = self._is_own and self._root.stat().st_uid == os.geteuid()
        return TraceIndex(self.trace, self._index if is_owner else None)

    def checked_index(self, *, alone: bool) -> IndexCheck | None:
        """Whether the state folder's index says what the log says; None where there is none.

        Raises:
            TraceError: the log or the index cannot be read.
            TraceIntegrityError: a line of the log is malformed.
        """
        return (
            None if self._index is None else check_index(self.trace, self._index, alone=alone)
        )

    def inquiry(self) -> Inquiry:
        """Answers questions to the log, with what this installation can open."""
        return Inquiry(self.index(), Contents(self.vault()))

    def checked_vault(self) -> VaultReader | None:
        """The same for a verification: a state folder without its key has lost something."""
        if self._kek is None:
            return None
        return self.vault() or VaultReader(self.trace, None)

    def holds(self, path: Path) -> bool:
        """Whether a file lies in the folder that is verified, so in the same hands."""
        return path.resolve().is_relative_to(self._root.resolve())

    def key_beside(self) -> Path | None:
        """The public key in the state folder."""
        return self._key if self._key is not None and self._key.exists() else None


class Pin(NamedTuple):
    """A key to verify with. It pins when it does not lie with what is verified."""

    key: PublicKey | None
    source: str
    is_outside: bool
    origin: str | None = None
    """The log this folder is known to hold."""
    named: str | None = None
    """The log the key is of, as a verifier key says."""

    @property
    def keyid(self) -> str:
        """The key for people, shortened."""
        return "no key" if self.key is None else f"key {self.key.keyid[:16]}"


def find_pin(source: TraceSource, known: KnownCheckpoints, given: Path | None) -> Pin:
    """The key that was given from outside; else the one remembered; else the one beside the log.

    Raises:
        ConfigError: there is no such key.
        SigningError: a key cannot be read.
        TraceError: what is remembered cannot be read.
    """
    if given is not None and not given.exists():
        raise ConfigError(f"there is no public key {given}")
    if given is not None and not source.holds(given):
        return _given(given)
    if (before := known.log_in(source.trace)) is not None:
        kept = str(known.log_path(source.trace))
        return Pin(before.key, kept, is_outside=True, origin=before.origin)
    beside = given or source.key_beside()
    if beside is None:
        return Pin(None, "named by the log itself", is_outside=False)
    return Pin(PublicKey.read(beside), str(beside), is_outside=False)


def _given(path: Path) -> Pin:
    """A key from outside: a C2SP verifier key, which names its log, or a public key alone."""
    try:
        found = parse_vkey(path.read_bytes()[:MAX_KEY_FILE].decode())
    except (OSError, UnicodeDecodeError):
        found = None  # `PublicKey.read` says what is wrong with it
    if found is None:
        return Pin(PublicKey.read(path), str(path), is_outside=True)
    return Pin(found[1], str(path), is_outside=True, named=found[0])


def require_outside(source: TraceSource, option: str, paths: Iterable[Path]) -> None:
    """What a log is held to must not lie with it, in the same hands.

    Raises:
        ConfigError: it does.
    """
    for path in paths:
        if source.holds(path):
            raise ConfigError(f"{option} {path} lies in what is verified; keep it elsewhere")


def require_not_gone(source: TraceSource, known: KnownCheckpoints, given: list[Path]) -> None:
    """A log that is known to have been there, and is not, was taken away.

    Raises:
        TraceIntegrityError: it was there.
        ConfigError: nobody knows of one.
        TraceError: what is remembered cannot be read.
    """
    if not source.is_gone:
        return
    before = known.log_in(source.trace)
    kept = [parse_checkpoint(read_checkpoint(path)) for path in given]
    if before is not None and (last := known.get(before.origin)) is not None:
        kept.append(parse_checkpoint(last))
    if kept:
        longest = max(kept, key=lambda each: each.size)
        raise TraceIntegrityError(
            f"nothing is left in {source.trace} of the log {longest.origin}, of which"
            f" {longest.size} entries are known"
        )
    raise ConfigError(f"there is no trace in {source.trace}; give --dir")


def followed_by(opening: RecordedEntry | None) -> str | None:
    """The log in whose stead the one that begins so was begun, if it says so."""
    follows = None if opening is None else opening.body.get("follows")
    origin = follows.get("origin") if isinstance(follows, dict) else None
    return origin if isinstance(origin, str) else None


def kept_of(
    known: KnownCheckpoints, pin: Pin, opening: RecordedEntry | None, given: Iterable[Path]
) -> dict[str, str]:
    """The checkpoints the log has to fit, by where they are kept.

    Those of the log this folder held before are among them, unless this one says that it was begun
    in its stead: under the signature that is verified next.

    Raises:
        TraceError: one of them cannot be read.
    """
    found = {str(path): read_checkpoint(path) for path in given}
    origins = set() if opening is None else {opening.origin}
    if pin.origin is not None and pin.origin != followed_by(opening):
        origins.add(pin.origin)
    for origin in origins:
        if (last := known.get(origin)) is not None:
            found[str(known.path(origin))] = last
    return found


def remember(
    known: KnownCheckpoints, source: TraceSource, report: Report, pin: Pin
) -> Iterator[str]:
    """Keeps the checkpoint, and which log this is; yields what somebody has to be told."""
    found = report.integrity
    if report.checkpoint is None or report.key is None or found.origin is None:
        return
    try:
        before = known.log_in(source.trace)
        now = Known(found.origin, report.key)
        if before is not None and _is_rotated(before, report):
            yield (
                f"the key of this log was rotated: {before.key.keyid[:16]} named"
                f" {now.key.keyid[:16]}, which is pinned from now on"
            )
        elif before is not None and before != now:
            yield (
                f"this folder held another log before: {before.origin} signed by"
                f" key {before.key.keyid[:16]}"
            )
        if before is None or (pin.is_outside and not found.pin_revoked):
            known.remember_log(source.trace, now)
        known.remember(report.checkpoint)
    except TraceError as err:
        yield str(err)


def _is_rotated(before: Known, report: Report) -> bool:
    """Whether the key that was pinned handed over to another since, and was not stolen."""
    chain = report.chain
    return (
        chain is not None
        and before.origin == chain.origin
        and before.key != chain.log
        and chain.holds(before.key)
        and not chain.is_revoked(before.key)
    )
