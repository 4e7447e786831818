"""The signed log: what the broker appends to.

A call to `append` with evidence `durable` returns after its entries and a signed checkpoint
over them were synced; many callers share one sync. With `written` it returns as soon as the
kernel has them, and the sync follows at once: the next record waits for it. With `buffered` it
returns at once, and the sync follows within 50 ms, or at `close`.

Cancelling `append` does not take its entries back: they were handed over, and they are
committed. A full queue makes callers wait; nothing is ever dropped.
"""

from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import anyio
import anyio.to_thread
from anyio.lowlevel import current_token

from permissions.errors import (
    ConfigError,
    StateError,
    TraceError,
    TraceIntegrityError,
    TraceWriteError,
)
from permissions.logs import get_logger
from permissions.signing.keys import PublicKey
from permissions.trace.checkpoint import is_origin
from permissions.trace.checkpoint_signer import Beside
from permissions.trace.committer import Committer
from permissions.trace.encoder import EntryEncoder
from permissions.trace.entry import Receipt, TraceEntry
from permissions.trace.key_chain import KeyChain, Reign
from permissions.trace.key_lines import KEYS_FILE, kek_id
from permissions.trace.recovery import recover
from permissions.trace.replica import Replica, replica_folder
from permissions.trace.snapshot import OpenCalls, save_snapshot
from permissions.trace.store import Store
from permissions.trace.vault import Vault
from permissions.trace.wakeup import Wakeup
from permissions.trace.witnesses import Witnesses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from permissions.model import JsonObject
    from permissions.signing.keys import Signer
    from permissions.signing.responders import ResponderKey
    from permissions.trace.checkpoint_signer import KeyChange
    from permissions.trace.committer import Durable
    from permissions.trace.merkle import Frontier
    from permissions.trace.own_checkpoint import CheckpointMemory
    from permissions.trace.witnesses import Witness
    from permissions.vocabulary import Barrier

DISK_SECONDS = 30.0
"""A disk that takes longer than this hangs. The record may still reach it later on."""
KEEP_SECONDS = 1.0
"""How often it is remembered outside of the log how far it goes, while it grows."""
_FIRST_ENTRIES = 1000
NO_KEYS = Beside()
BEYOND_SECONDS = 6.0
"""How long an append waits for a second copy or for witnesses; the caller's own patience ends soon
after that."""
_ID_BYTES = 8

_log = get_logger("trace.log")


def system_clock() -> int:
    """Microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


class SignedLog:
    """A `TraceLog` on disk. Made by `open_log`; usable from any number of event loops."""

    def __init__(
        self,
        *,
        origin: str,
        disk_seconds: float,
        start: Callable[[Callable[[], None]], Committer],
        memories: Sequence[CheckpointMemory] = (),
    ) -> None:
        self._replica: Replica | None = None
        self._witnesses: Witnesses | None = None
        self.origin = origin
        self._memories = memories
        self._kept: str | None = None
        self._kept_at = float("-inf")
        self._disk_seconds = disk_seconds
        self._wakeup_of_loop: WeakKeyDictionary[object, dict[Barrier, Wakeup]] = (
            WeakKeyDictionary()
        )
        self._wakeups: tuple[Wakeup, ...] = ()
        self._committer = start(self.notify)

    @property
    def durable(self) -> int:
        """How many entries are on stable storage, under a signed checkpoint."""
        return self._committer.durable

    def seal_ahead(self, entries: Sequence[TraceEntry]) -> None:
        """Seals contents before they are appended (see `entry.TraceLog`)."""
        self._committer.seal_ahead(entries)

    async def append(self, entries: Sequence[TraceEntry], *, barrier: Barrier) -> Receipt:
        """Appends entries together, in order (see `entry.TraceLog`).

        Raises:
            TraceWriteError: an entry lies outside the format, and none of them was taken; or
                the log has failed or is closed, and admits nothing more.
        """
        if not entries:
            raise TraceWriteError("an append without entries records nothing")
        if barrier in ("replicated", "witnessed"):
            return await self._append_beyond(entries, barrier)
        return await self._append(entries, barrier)

    async def _append_beyond(self, entries: Sequence[TraceEntry], barrier: Barrier) -> Receipt:
        """A start is recorded when all before it is where it has to be, or it never starts."""
        if barrier == "replicated" and self._replica is None:
            raise TraceWriteError("no second copy of the record is kept: set trace.replica")
        if barrier == "witnessed" and self._witnesses is None:
            raise TraceWriteError("nobody witnesses the record: set trace.witnesses")
        first = next((at for at, each in enumerate(entries) if each.type == "start"), None)
        before, rest = (entries, ()) if first is None else (entries[:first], entries[first:])
        index = self._committer.next_index
        if before:
            index = (await self._append(before, "durable")).first
        await self._gone_beyond(self._committer.durable, barrier)
        if rest:
            start = await self._append(rest, "durable")
            index = index if before else start.first
        return Receipt(index, len(entries))

    async def _gone_beyond(self, size: int, barrier: Barrier) -> None:
        """Waits until the first `size` entries are in the second copy, and cosigned if so."""
        replica, witnesses = self._replica, self._witnesses
        if replica is not None:
            if replica.position() < size:
                with anyio.move_on_after(BEYOND_SECONDS):
                    await self._own_wakeup("replicated", replica.position).wait(size)
            if replica.replicated < size:
                late = f"did not have the record within {BEYOND_SECONDS:g} s"
                raise TraceWriteError(replica.failure or f"the second copy {late}")
        if barrier == "witnessed" and witnesses is not None:
            if witnesses.witnessed < size:
                with anyio.move_on_after(BEYOND_SECONDS):
                    await self._own_wakeup("witnessed", witnesses.position).wait(size)
            if witnesses.witnessed < size:
                said = "; ".join(f"{name}: {why}" for name, why in witnesses.failures.items())
                raise TraceWriteError(
                    f"too few witnesses cosigned the record within {BEYOND_SECONDS:g} s"
                    + (f" ({said})" if said else "")
                )

    async def _append(self, entries: Sequence[TraceEntry], barrier: Barrier) -> Receipt:
        committer = self._committer
        while committer.is_full:
            await self._settled(committer.next_index)
        receipt = committer.submit(entries, barrier=barrier)
        if barrier == "written":
            await self._settled(receipt.first + receipt.count, "written")
        elif barrier == "durable":
            await self._settled(receipt.first + receipt.count)
            if time.monotonic() - self._kept_at > KEEP_SECONDS:
                await self.keep_checkpoint()
        return receipt

    async def change_key(
        self, change: KeyChange, *, reason: str = "", also: Sequence[TraceEntry] = ()
    ) -> None:
        """Puts another key in force, or takes one out; returns when that is durable.

        The entry that says so stands under a checkpoint that the old and the new key sign.

        Args:
            change: which key.
            reason: for people, sealed.
            also: further entries under the same checkpoint.

        Raises:
            TraceWriteError: it cannot be recorded, or is not yet: then the old one may be needed.
        """
        public = None if change.signer is None else change.signer.public
        body: JsonObject = {"act": change.act, "key": None if public is None else str(public)}
        if isinstance(public, PublicKey):
            body["keyid"] = public.keyid
        contents = {"reason": reason.encode()} if reason else {}
        entry = TraceEntry("key", run="", body=body, contents=contents)
        receipt = self._committer.submit([entry, *also], barrier="durable", change=change)
        await self._settled(receipt.first + receipt.count)

    @property
    def keys(self) -> KeyChain:
        """The keys in force."""
        return self._committer.chain

    async def keep_checkpoint(self) -> None:
        """Has the last durable checkpoint remembered outside of the log.

        Raises:
            TraceWriteError: it cannot be kept there.
        """
        last = self._committer.checkpoint
        if last is None or last == self._kept:
            return
        self._kept, self._kept_at = last, time.monotonic()
        try:
            for memory in self._memories:
                await memory.keep(last)
        except (StateError, TraceError) as err:
            self._kept, self._kept_at = None, float("-inf")
            raise TraceWriteError(f"how far the log goes cannot be kept: {err}") from err

    def close(self, reason: str = "closed") -> None:
        """Commits what is queued, then `log.close`. Blocks; safe to call twice."""
        self._committer.close(reason, patience=self._disk_seconds)
        if self._replica is not None:
            self._replica.close(patience=BEYOND_SECONDS)
        if self._witnesses is not None:
            self._witnesses.close()

    def send_to(self, replica: Replica | None, witnesses: Witnesses | None) -> None:
        """Names where else what is durable goes, before the first entry."""
        self._replica, self._witnesses = replica, witnesses

    async def _settled(self, size: int, barrier: Barrier = "durable") -> None:
        committer = self._committer
        is_early = barrier == "written"
        position = committer.position_written if is_early else committer.position
        if position() < size:
            with anyio.move_on_after(self._disk_seconds):
                await self._own_wakeup(barrier, position).wait(size)
        if (committer.written if is_early else committer.durable) < size:
            late = f"the disk did not take the record within {self._disk_seconds} seconds"
            raise TraceWriteError(committer.failure or late)

    def _own_wakeup(self, barrier: Barrier, position: Callable[[], float]) -> Wakeup:
        own = self._wakeup_of_loop.setdefault(current_token().native_token, {})
        wakeup = own.get(barrier)
        if wakeup is None:
            wakeup = own[barrier] = Wakeup(position)
            # Replaced, never changed: the committing thread walks over it.
            self._wakeups = tuple(
                each for found in self._wakeup_of_loop.values() for each in found.values()
            )
        return wakeup

    def take_durable(self, durable: Durable) -> None:
        """Sends on what is on disk; called by the committing thread."""
        if self._replica is not None:
            self._replica.put(durable)
        if self._witnesses is not None:
            self._witnesses.grown(durable.leaves, durable.note)

    def notify(self) -> None:
        """Wakes who waits; called by any thread."""
        for wakeup in self._wakeups:
            wakeup.notify()


@asynccontextmanager
async def open_log(
    directory: Path,
    *,
    name: str,
    signer: Signer,
    kek: bytes,
    config: JsonObject,
    origin: str | None = None,
    memories: Sequence[CheckpointMemory] = (),
    follows: JsonObject | None = None,
    writer: JsonObject | None = None,
    beside: Beside = NO_KEYS,
    replica: Path | None = None,
    witnesses: Sequence[Witness] = (),
    quorum: int = 1,
    responders: Sequence[ResponderKey] = (),
    clock: Callable[[], int] = system_clock,
    random: Callable[[int], bytes] = os.urandom,
    disk_seconds: float = DISK_SECONDS,
) -> AsyncIterator[SignedLog]:
    """Opens a log for writing, recovering it if its last writer died; closes it at the end.

    Opening verifies what came after the last signed snapshot; a log without one, or with one that
    does not fit, is verified whole, which takes time in proportion to it.

    Args:
        directory: of this log alone; made when missing.
        name: who writes, as a schema-less URL (`example.com/payments`). The origin of a new log
            without one is this and a random id, so that no two are taken for one another.
        signer: signs the checkpoints; a log is continued by the key that began it.
        kek: the vault's key-encryption key, 32 bytes (`vault.load_kek`).
        config: body of the `config` entry: broker build, policy revision, tool registry
            digest, engine.
        origin: what a new log is called, and one that is there must be: that, or a log begun in
            its stead (`follows`), whose name is that and a random id.
        memories: what remembers, outside of the log, how far it went; one that does not go so
            far, or is another, is not continued. Entries are then appended on this event loop.
        follows: what a new log says of the one in whose stead it was begun.
        writer: what `log.open` says of who writes, and where the keys are kept.
        beside: further private keys that the log may go on under.
        replica: folder on another disk, in which a second copy of each log is kept.
        witnesses: who is asked to cosign how far the log goes.
        quorum: how many of them have to, for the evidence level `witnessed`.
        responders: to whom run keys are sealed, instead of wrapped by `kek`.
        clock: microseconds since 1970-01-01 UTC.
        random: gives that many unpredictable bytes.
        disk_seconds: how long a durable append waits for the disk, and closing for the thread.

    Raises:
        ConfigError: the name cannot be part of an origin.
        TraceWriteError: the log has another writer, or cannot be written.
        TraceIntegrityError: what is there is not what this key signed, or what was there.
        StateError: a memory cannot be read.
    """
    said = name if origin is None else origin
    if not said or not is_origin(f"{said}/{'0' * 2 * _ID_BYTES}"):
        raise ConfigError(f"{said[:80]!r} cannot name a log; use a URL without its scheme")
    vault = Vault(kek, keys=directory / KEYS_FILE, random=random, responders=responders)
    remembered = {each.source: await each.last() for each in memories}
    known = {source: note for source, note in remembered.items() if note is not None}

    opened: list[Store] = []
    committers: list[Committer] = []

    def begin() -> tuple[SignedLog, Store, list[TraceEntry]]:
        store = Store(directory, holder=f"pid {os.getpid()} boot {_boot_id()}")
        opened.append(store)
        try:
            keys = (signer.public, *(each.public for each in beside.log))
            resumed = recover(directory, keys=keys, kek=kek, known=known)
            if resumed.has_runs:
                _require_known(memories, remembered)
            store.resume(resumed.segment, resumed.offset)
            named = resumed.origin or _new_origin(name, origin, follows, random)
            _require_named(named, origin, directory)
            log = SignedLog(
                origin=named,
                disk_seconds=disk_seconds,
                memories=memories,
                start=lambda notify: Committer(
                    store=store,
                    frontier=resumed.frontier,
                    kept=resumed.kept,
                    encoder=EntryEncoder(origin=named, vault=vault, clock=clock),
                    vault=vault,
                    signer=beside.signer(named, signer, resumed.chain),
                    chain=resumed.chain or KeyChain(named, [Reign(signer.public, 0)]),
                    keep=keep,
                    open_calls=OpenCalls(resumed.open_calls),
                    on_progress=notify,
                    on_durable=beyond,
                ),
            )
            committers.append(log._committer)  # noqa: SLF001 - its maker's
            copy = (
                None
                if replica is None
                else Replica(
                    directory,
                    replica_folder(replica, named),
                    size=resumed.frontier.size,
                    on_progress=log.notify,
                )
            )
            asked = (
                Witnesses(
                    directory,
                    witnesses,
                    quorum=quorum,
                    frontier=resumed.frontier,
                    on_progress=log.notify,
                )
                if witnesses
                else None
            )
            log.send_to(copy, asked)
        except BaseException:
            store.close()
            raise
        return log, store, [_opening(log.keys.log, follows, writer), *resumed.entries]

    def beyond(durable: Durable) -> None:
        log.take_durable(durable)

    def keep(note: str, frontier: Frontier, calls: OpenCalls) -> None:
        segment, end = opened[0].position
        committer = committers[0]
        save_snapshot(
            segment.parent,  # absolute, also when a tool has changed the working directory
            committer.signer.log,
            note=note,
            frontier=frontier,
            segment=segment,
            end=end,
            calls=calls,
            chain=committer.chain,
            kek_id=kek_id(kek),
        )

    log, store, first = await anyio.to_thread.run_sync(begin)
    try:
        first.append(TraceEntry("config", run="", body=config))
        for at in range(0, len(first), _FIRST_ENTRIES):
            await log.append(first[at : at + _FIRST_ENTRIES], barrier="durable")
        yield log
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(log.close)
            try:
                await log.keep_checkpoint()
            except TraceWriteError as err:
                _log.warning("checkpoint_not_kept", reason=str(err))
        store.close()


def _new_origin(
    name: str, origin: str | None, follows: JsonObject | None, random: Callable[[int], bytes]
) -> str:
    """What a new log is called: never as another one of the same key."""
    if origin is None:
        return f"{name}/{random(_ID_BYTES).hex()}"
    return origin if follows is None else f"{origin}/{random(_ID_BYTES // 2).hex()}"


def _require_known(
    memories: Sequence[CheckpointMemory], remembered: Mapping[str, str | None]
) -> None:
    for each in memories:
        if each.is_as_old and remembered[each.source] is None:
            raise TraceIntegrityError(
                f"{each.source} knows nothing of the log beside it: it was deleted, emptied or"
                " replaced, and with it what people answered, budgets and calls in doubt; put it"
                " back, or begin a new log: wardline trace renew"
            )


def _require_named(named: str, origin: str | None, directory: Path) -> None:
    if origin is not None and named != origin and not named.startswith(f"{origin}/"):
        raise ConfigError(
            f"the log in {directory} is {named[:200]}, and trace.origin says {origin[:200]}: put"
            " it back, or begin a new log: wardline trace renew"
        )


def _opening(
    key: PublicKey, follows: JsonObject | None, writer: JsonObject | None
) -> TraceEntry:
    """The entry every writer begins with. The key in it is a claim, to be pinned elsewhere."""
    body: JsonObject = {"boot": _boot_id(), "key": str(key), "keyid": key.keyid}
    body |= writer or {}
    if follows is not None:
        body["follows"] = follows
    return TraceEntry("log.open", run="", body=body)


def _boot_id() -> str:
    """The kernel's id of this boot; empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
