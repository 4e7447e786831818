"""The committing thread: one sync and one signature for all who wait at the same time.

While one batch is being synced the next one gathers. A batch is written as: entries with
their sealed contents, then the checkpoint over them, then one `fdatasync`; only then does
`durable` grow. What the kernel has by then is `written`: it survives the death of this process,
though not of the machine. At most one batch is in that state. After any failure nothing more is admitted; when the disk is full, the reserve
takes a last `log.close` that says so.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from permissions.errors import SigningError, TraceError, TraceWriteError
from permissions.logs import get_logger
from permissions.trace.encoder import checkpoint_line
from permissions.trace.entry import Receipt, TraceEntry
from permissions.trace.snapshot import ENTRIES_BETWEEN
from permissions.trace.store import StoreFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from permissions.trace.checkpoint_signer import CheckpointSigner, KeyChange
    from permissions.trace.encoder import EntryEncoder
    from permissions.trace.key_chain import KeyChain
    from permissions.trace.merkle import Frontier
    from permissions.trace.snapshot import OpenCalls
    from permissions.trace.store import Store
    from permissions.trace.vault import Vault
    from permissions.vocabulary import Barrier

LINGER_SECONDS = 0.05
GATHER_SECONDS = 0.001
"""How long a batch waits for as many callers as the last one had, who tend to come together.

A lone caller never waits for company."""
MAX_PENDING_BYTES = 64 * 1024 * 1024
MAX_PENDING_ENTRIES = 16_384
MAX_APPEND = 4096
"""With what may be pending, still far below `verify.MAX_BATCH`."""
_HURRY_BYTES = 1024 * 1024

log = get_logger("committer")


@dataclass(slots=True)
class _Batch:
    lines: list[bytes] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    entries: list[TraceEntry] = field(default_factory=list)
    changes: list[KeyChange] = field(default_factory=list)
    """Keys that come into force, or go, with this batch."""
    size: int = 0
    waiting: int = 0
    """Callers who wait for this batch."""
    early: bool = False
    """Whether one of them goes on as soon as it is written."""
    deadline: float = 0.0


class Durable(NamedTuple):
    """A group that is on disk: its leaves and checkpoint, and its bytes and where they end."""

    leaves: list[bytes]
    note: str
    segment: str
    end: int
    data: bytes
    keys: bytes
    size: int


class Committer:
    """Takes entries from any thread and makes them durable on its own."""

    def __init__(
        self,
        *,
        store: Store,
        frontier: Frontier,
        kept: int,
        encoder: EntryEncoder,
        vault: Vault,
        signer: CheckpointSigner,
        chain: KeyChain,
        keep: Callable[[str, Frontier, OpenCalls], None],
        open_calls: OpenCalls,
        on_progress: Callable[[], None],
        on_durable: Callable[[Durable], None] = lambda _: None,
    ) -> None:
        """`on_durable` is told of each group; `keep` is given the last durable checkpoint, now and then and at the end."""
        self._store = store
        self._frontier = frontier
        self._encoder = encoder
        self._vault = vault
        self.signer = signer
        self.chain = chain
        """The keys in force, over what is durable."""
        self._keep = keep
        self._open_calls = open_calls
        self._kept = kept
        self._on_progress = on_progress
        self._on_durable = on_durable
        self._work = threading.Condition(threading.Lock())
        self._pending = _Batch()
        self._next = self._start = frontier.size
        self._gather = 1
        self._closing = False
        self._owner = os.getpid()
        self.durable = self.written = frontier.size
        self.checkpoint: str | None = None
        """The last signed checkpoint that is durable, of those this writer made."""
        self.failure: str | None = None
        self._thread = threading.Thread(target=self._run, name="trace-committer", daemon=True)
        self._thread.start()

    @property
    def next_index(self) -> int:
        """The index the next entry will get."""
        return self._next

    @property
    def is_full(self) -> bool:
        """Whether callers should wait until a batch is done."""
        pending = self._pending
        return pending.size >= MAX_PENDING_BYTES or len(pending.leaves) >= MAX_PENDING_ENTRIES

    def position(self) -> float:
        """How many entries are settled: durable, or all once nothing more will become so."""
        return float("inf") if self.failure is not None else self.durable

    def position_written(self) -> float:
        """How many entries the kernel has, or all once it will get no more."""
        return float("inf") if self.failure is not None else self.written

    def seal_ahead(self, entries: Sequence[TraceEntry]) -> None:
        """See `entry.TraceLog`."""
        with self._work, suppress(TraceError):
            self._refuse_if_ended()
            for entry in entries:
                self._encoder.seal_ahead(entry)

    def submit(
        self,
        entries: Sequence[TraceEntry],
        *,
        barrier: Barrier,
        change: KeyChange | None = None,
    ) -> Receipt:
        """Queues entries to be committed together: within `LINGER_SECONDS`, or at once.

        At once where the caller waits for them; it does so itself, for `durable` or `written`.
        `change` is what a `key` entry among them says.

        Raises:
            TraceWriteError: an entry lies outside the format, or the log is closed or failed.
        """
        if len(entries) > MAX_APPEND:
            raise TraceWriteError(
                f"{len(entries)} entries at once; at most {MAX_APPEND} go together"
            )
        with self._work:
            self._refuse_if_ended()
            self._require_followable(entries, change)
            first = self._next
            try:
                encoded = [
                    self._encoder.encode(entry, first + offset)
                    for offset, entry in enumerate(entries)
                ]
            except TraceError as err:
                raise TraceWriteError(f"an entry cannot be recorded: {err}") from err
            pending = self._pending
            if not pending.leaves:
                pending.deadline = time.monotonic() + LINGER_SECONDS
                self._work.notify()
            for one in encoded:
                pending.leaves.append(one.leaf)
                pending.lines.append(one.lines)
                pending.size += len(one.lines)
            pending.entries += entries
            if change is not None:
                pending.changes.append(change)
            self._next += len(encoded)
            if barrier != "buffered":
                pending.early |= barrier == "written"
                pending.waiting += 1
                if pending.waiting == 1:
                    pending.deadline = time.monotonic() + GATHER_SECONDS
                if pending.waiting in (1, self._gather):
                    self._work.notify()
        return Receipt(first, len(encoded))

    def close(self, reason: str, *, patience: float) -> None:
        """Commits what is queued and a `log.close`, then ends the thread.

        Blocks, but never longer than `patience` seconds: a thread that hangs on a dead disk is
        left behind, and dies with the process.
        """
        with self._work:
            if self.failure is None and not self._closing:
                encoded = self._encoder.encode(_last_entry(reason), self._next)
                self._pending.leaves.append(encoded.leaf)
                self._pending.entries.append(_last_entry(reason))
                self._pending.lines.append(encoded.lines)
                self._next += 1
            self._closing = True
            self._work.notify()
        self._thread.join(patience)
        if self._thread.is_alive():
            self._fail("the disk did not answer while closing")
        elif self.failure is None:
            self.failure = "the log is closed"
        self._on_progress()

    def _require_followable(
        self, entries: Sequence[TraceEntry], change: KeyChange | None
    ) -> None:
        """What the entries say of keys has to be what will sign, or no verifier gets past it."""
        said = [entry.body for entry in entries if entry.type == "key"]
        try:
            for body in said:
                self.chain.copy().take(body)
        except TraceError as err:
            raise TraceWriteError(f"an entry cannot be recorded: {err}") from err
        acts = [body["act"] for body in said if body["act"] != "revoke"]
        coming = [each.act for each in self._pending.changes]
        if acts != ([] if change is None else [change.act]) or set(acts) & set(coming):
            raise TraceWriteError("a key entry of a key that does not come into force with it")

    def _refuse_if_ended(self) -> None:
        if self.failure is not None:
            raise TraceWriteError(self.failure)
        if self._closing:
            raise TraceWriteError("the log is closed")
        if os.getpid() != self._owner:
            raise TraceWriteError("the log belongs to the process this one was forked from")

    def _run(self) -> None:
        while (taken := self._take()) is not None and self.failure is None:
            self._commit(*taken)
        if self.failure is None:
            self._keep_snapshot()

    def _take(self) -> tuple[_Batch, bytes] | None:
        with self._work:
            while not self._pending.leaves:
                if self._closing:
                    return None
                self._work.wait()
            while not self._is_due():
                if not self._work.wait(max(self._pending.deadline - time.monotonic(), 0)):
                    break
            batch, self._pending = self._pending, _Batch()
            self._gather = batch.waiting
            return batch, self._vault.take_fresh_keys()

    def _is_due(self) -> bool:
        pending = self._pending
        return (
            self._closing
            or pending.size > _HURRY_BYTES
            or pending.waiting >= max(self._gather, 1)
        )

    def _commit(self, batch: _Batch, keys: bytes) -> None:
        try:
            tree = self._extended(batch.leaves)
            note = self.signer.sign(tree.size, tree.root(), joining=batch.changes)
            if keys:
                self._store.write_keys(keys)
            batch.lines.append(checkpoint_line(note))
            data = b"".join(batch.lines)
            self._store.put(data, first=self._frontier.size)
            if batch.early:
                self.written = tree.size
                self._on_progress()
            self._store.sync()
        except StoreFullError as err:
            self._fail(str(err))
            self._write_last_words(str(err))
        except (TraceError, SigningError) as err:
            self._fail(str(err))
        except Exception as err:  # noqa: BLE001 - a silent thread would leave callers waiting
            self._fail(f"{type(err).__name__} while committing")
        else:
            self._settle(batch, tree, note)
            segment, end = self._store.position
            self._on_durable(
                Durable(batch.leaves, note, segment.name, end, data, keys, tree.size)
            )
        self._on_progress()
        if self.failure is None and self.durable - self._kept >= ENTRIES_BETWEEN:
            self._keep_snapshot()

    def _settle(self, batch: _Batch, tree: Frontier, note: str) -> None:
        first = self._frontier.size
        for offset, entry in enumerate(batch.entries):
            self._open_calls.take(entry, first + offset)
            if entry.type == "key":
                self.chain.take(entry.body)
        self.chain.settle(tree.size)
        for change in batch.changes:
            self.signer.change(change)
        self._frontier = tree
        self.checkpoint = note
        self.durable = self.written = tree.size

    def _keep_snapshot(self) -> None:
        if self.checkpoint is not None and self._kept != self.durable:
            self._kept = self.durable
            self._keep(self.checkpoint, self._frontier, self._open_calls)

    def _extended(self, leaves: list[bytes]) -> Frontier:
        tree = self._frontier.copy()
        for leaf in leaves:
            tree.append(leaf)
        return tree

    def _fail(self, reason: str) -> None:
        self.failure = f"the trace admits nothing more: {reason}"
        log.error("trace_log_failed", reason=reason, durable=self.durable)

    def _write_last_words(self, reason: str) -> None:
        if self._frontier.size == self._start:
            return  # the record does not say that this writer opened the log
        # Not counted as durable: that index was promised to an entry that failed.
        try:
            encoded = self._encoder.encode(_last_entry(reason[:200]), self._frontier.size)
            tree = self._extended([encoded.leaf])
            note = self.signer.sign(tree.size, tree.root())
            self._store.write_from_reserve(encoded.lines + checkpoint_line(note))
            self.checkpoint = note
        except (TraceError, SigningError) as err:
            log.exception("trace_close_not_recorded", reason=str(err))


def _last_entry(reason: str) -> TraceEntry:
    return TraceEntry("log.close", run="", body={"reason": reason})
