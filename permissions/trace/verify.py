"""Re-derives everything a log claims from the bytes as they lie.

In one pass and in constant memory per open run (RFC 6962 roots need one hash per level):

1. each line is parsed strictly and must be in canonical form, each entry must have the next
   index and the log's origin;
2. each sealed content must be one its entry names by digest, and, with the vault's key, must
   open, and say what the body of its entry says of it (`restated`);
3. at each checkpoint the root over the line bytes must be the signed one;
4. checkpoints kept outside must be of this very log: that finds a cut tail, a rewritten or
   restored log, and a fork;
5. the entries under a checkpoint must tell a story that may happen (`rules.Story`).

One class and one file, since each step needs what the ones before it found; what can be judged
of an entry or a run alone is in `restated` and `rules`.

The tree is computed by merging equal subtrees on a stack, not by the writer's frontier.

Broken bytes are a torn tail when no signed checkpoint follows them, or when they are what a
power cut leaves of the one group that was being written: the disk may have taken any of its
512-byte sectors, the one with the checkpoint too, and the others are still zeros. So the group
is torn, and not altered, when its checkpoint is the last thing in the log, no known checkpoint
covers it, and a whole sector of it is zeros. Who zeroes a sector of the last group can as well
cut the group off; either way only a checkpoint kept outside tells.
"""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import fields
from hashlib import sha256 as _sha256
from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING, Literal

from permissions.errors import SigningError, TraceError, TraceIntegrityError
from permissions.signing.keys import PublicKey
from permissions.trace import codec
from permissions.trace.archived import load_archived
from permissions.trace.checkpoint import (
    Checkpoint,
    is_note_of,
    parse_checkpoint,
    signature_of,
    signed_by,
)
from permissions.trace.doubt import doubts
from permissions.trace.encoder import (
    CHECKPOINT_PREFIX,
    CONTENT_PREFIX,
    ENTRY_PREFIX,
    content_path,
    decode_entry,
)
from permissions.trace.entry import TERMINAL
from permissions.trace.erasures import Erasures
from permissions.trace.key_chain import KeyChain, Reign
from permissions.trace.report import (
    Anchor,
    Completeness,
    Contents,
    End,
    Finding,
    Integrity,
    OpenCall,
    Report,
)
from permissions.trace.restated import RESTATED_SEALED, CallFacts, Opened
from permissions.trace.rules import CALL_TYPES, Story
from permissions.trace.store import (
    Line,
    read_blocks,
    segment_path,
    segments,
)
from permissions.trace.vault import SealedToRespondersError, VaultKeyError, line_digest
from permissions.trace.witnessed import cosigned_beside, witnessed_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from permissions.model import JsonObject
    from permissions.trace.archived import Archived
    from permissions.trace.note_keys import NoteKey
    from permissions.trace.rules import CallState
    from permissions.trace.snapshot import Snapshot
    from permissions.trace.store import Block
    from permissions.trace.vault import VaultReader

MAX_BATCH = 65_536
"""Most entries under one checkpoint; more is refused, so that memory stays bounded."""
SECTOR_BYTES = 512
"""What a disk writes whole or not at all; a larger sector is several of these."""
_LISTED_FINDINGS = 100


def verify_trace(
    directory: Path,
    *,
    key: PublicKey | None = None,
    is_pinned: bool = True,
    origin: str | None = None,
    known: Mapping[str, str] | None = None,
    vault: VaultReader | None = None,
    signatures: Literal["all", "last"] = "all",
    after: Snapshot | None = None,
    witnesses: Sequence[NoteKey] = (),
    alone: bool = False,
    upto: Path | None = None,
) -> Report:
    """Verifies a log.

    Args:
        directory: where the log lies.
        key: the key that must have signed it, now or before it was rotated. Without one, the key
            the log names is used and the verdict is never better than `consistent`.
        is_pinned: whether the key comes from outside of what is verified; one that lies beside
            the log must fit, and proves as little as one the log names.
        origin: name the log must have, when the pin says that, too; another log of the same key
            is another log.
        known: signed checkpoints kept outside the log, by where they came from.
        vault: opens the sealed contents.
        signatures: `last` checks the signature of the last checkpoint only, whose root covers
            every entry; the roots of all others are checked all the same.
        witnesses: keys from outside of who may have cosigned; what lies beside the log with such a
            cosignature is a known checkpoint, too.
        after: a writer's own snapshot: only what comes after it is read, and the report is about
            the end of the log alone.
        alone: leaves the archive out, as a verifier does who has none: what was moved there
            counts as not read.
        upto: the last segment to read; the report is about the log up to there.

    Raises:
        TraceError: there is no log, or a file of it cannot be read.
    """
    if not segments(directory):
        raise TraceError(f"there is no trace in {directory}")
    auditor = _Auditor(
        directory,
        key=key,
        is_pinned=is_pinned and key is not None,
        origin=origin,
        known={**(known or {}), **cosigned_beside(directory, witnesses)},
        vault=vault,
        signatures=signatures,
        witnesses=witnesses,
    )
    if after is not None:
        auditor.go_on(after)
    elif (archived := load_archived(directory)) is not None and (
        alone or archived.paths() is None
    ):
        auditor.begin_after(archived)
    position = None if after is None else (after.segment, after.end)
    for block in read_blocks(directory, after=position, alone=alone, upto=upto):
        if auditor.failure is not None:
            break
        auditor.feed(block)
    return auditor.finish()


class _Auditor:
    def __init__(
        self,
        directory: Path,
        *,
        key: PublicKey | None,
        is_pinned: bool,
        origin: str | None,
        known: Mapping[str, str],
        vault: VaultReader | None,
        signatures: Literal["all", "last"],
        witnesses: Sequence[NoteKey],
    ) -> None:
        self._witnesses = witnesses
        self._directory = directory
        self._pinned = is_pinned
        self._named = origin
        self._given = key
        self._chain: KeyChain | None = None
        self._notes = known
        self._known: dict[str, Checkpoint] = {}
        self._vault = vault
        self._all_signatures = signatures == "all"
        self._origin: str | None = None
        self._archived: Archived | None = None
        """What was moved away, and is not read."""
        self._count = 0
        self._subtrees: list[tuple[int, bytes]] = []
        self._batch: list[JsonObject] = []
        self._expected: dict[str, str] = {}
        self._entry: JsonObject = {}
        self._opened: dict[str, bytes] = {}
        self._facts: dict[tuple[str | None, str | None], CallFacts] = {}
        """What was opened of each call that has not ended."""
        self._batch_findings: list[tuple[int, str]] = []
        self._contents: Counter[str] = Counter()
        self._batch_contents: Counter[str] = Counter()
        """What became of the contents since the last checkpoint."""
        self._unopened: dict[str, tuple[int, int]] = {}
        """Why contents do not open: the first entry with one, and how many there are."""
        self._batch_unopened: list[tuple[int, str]] = []
        self._erased = Erasures()
        self._batch_erased: list[tuple[int, str]] = []
        self._story = Story()
        self._findings: list[Finding] = []
        self._findings_count = 0
        self._last: str | None = None
        self._last_keys: list[NoteKey] = []
        """Those that have to have signed it."""
        self._verified: Checkpoint | None = None
        self._checkpoints = 0
        self._ended: tuple[Path, int, list[tuple[int, bytes]]] | None = None
        """Where the last verified checkpoint ends, and the subtrees there."""
        self._unsigned = 0
        self._broken: tuple[int, str] | None = None
        self._broken_line: Line | None = None
        self._late: Line | None = None
        """A signed checkpoint after what is broken."""
        self.failure: tuple[int, str] | None = None

    def go_on(self, snapshot: Snapshot) -> None:
        """Takes up where a snapshot was made."""
        checkpoint = snapshot.checkpoint
        self._origin, self._count = checkpoint.origin, checkpoint.size
        self._chain = snapshot.chain.copy()
        widths = [
            1 << bit
            for bit in range(checkpoint.size.bit_length())
            if checkpoint.size >> bit & 1
        ]
        self._subtrees = list(zip(reversed(widths), snapshot.peaks, strict=True))
        self._last, self._verified = snapshot.note, checkpoint
        self._ended = snapshot.segment, snapshot.end, self._subtrees.copy()
        calls = ((c.run, c.call, c.tool, c.since, c.last) for c in snapshot.open_calls)
        self._story.go_on(calls, closed=snapshot.closed)
        self._open_known()
        self._compare_known()

    def begin_after(self, archived: Archived) -> None:
        """Begins where the part that was moved away ends."""
        said = parse_checkpoint(archived.note)
        self._archived = archived
        chain = archived.chain.copy()
        self._learn(said.origin, chain)
        self._last_keys = chain.in_force()
        try:
            signed_by(archived.note, self._last_keys)
        except TraceIntegrityError as err:
            self.failure = 0, f"what was archived does not fit this log: {err}"
            return
        self._count = said.size
        widths = [1 << bit for bit in range(said.size.bit_length()) if said.size >> bit & 1]
        self._subtrees = list(zip(reversed(widths), archived.peaks, strict=True))
        self._last, self._verified = archived.note, said
        self._ended = segment_path(self._directory, said.size), 0, self._subtrees.copy()
        self._story.go_on(archived.open_calls, closed=False, known=False)
        self._compare_known()

    def feed(self, block: Block) -> None:
        """Takes in the next lines, up to one that fails."""
        segment, offset, lines, ended = block
        for data in lines:
            start, offset = offset, offset + len(data) + 1
            self._unsigned += len(data) + ended
            if self._broken is not None:
                self._look_for_checkpoint(Line(segment, start, data, ended))
            else:
                try:
                    if not ended:
                        raise TraceIntegrityError("the line has no end")
                    if start == 0:
                        self._require_own_name(segment)
                    if data.startswith(ENTRY_PREFIX):
                        self._take_entry(data)
                    elif data.startswith(CONTENT_PREFIX):
                        self._take_content(data)
                    elif data.startswith(CHECKPOINT_PREFIX):
                        self._take_checkpoint(Line(segment, start, data, ended))
                    else:
                        raise TraceIntegrityError("this is not a line of a trace")
                except TraceError as err:
                    within = data.startswith(CONTENT_PREFIX)
                    self._broken = max(self._count - within, 0), str(err)
                    self._broken_line = Line(segment, start, data, ended)
            if self.failure is not None:
                return

    def _require_own_name(self, segment: Path) -> None:
        if segment.name != segment_path(self._directory, self._count).name:
            raise TraceIntegrityError(
                f"the segment {segment.name[:40]!r} begins with entry {self._count}"
            )

    def finish(self) -> Report:
        """Both verdicts over everything that was fed."""
        if self._late is not None and not self._is_torn(self._late):
            self.failure = self.failure or self._broken
        self._check_last_signature()
        self._check_given()
        anchor = self._check_known() if self.failure is None else None
        witnessed = () if self.failure else witnessed_by(self._witnesses, self._notes.values())
        verified, failed = self._verified, self.failure
        verdict: Literal["failed", "consistent", "signed"] = (
            "failed"
            if failed
            else "signed"
            if self._is_pinned() and self._checkpoints  # a log of nothing has no signature
            else "consistent"
        )
        of_keys = tuple(self._erased.findings(self._vault))[:_LISTED_FINDINGS]
        incomparable = tuple(self._incomparable())
        return Report(
            integrity=Integrity(
                verdict=verdict,
                origin=self._origin,
                size=verified.size if verified else 0,
                root=base64.b64encode(verified.root).decode() if verified else None,
                checkpoints=self._checkpoints,
                keyid=self._chain.log.keyid if self._chain else None,
                failed_at=failed[0] if failed else None,
                reason=failed[1] if failed else None,
                pin_revoked=self._pinned and not self._is_pinned(),
                doubtful=doubts(
                    self._directory,
                    None if failed else self._chain,
                    verified.size if verified else 0,
                ),
            ),
            completeness=Completeness(
                closed=self._story.closed and self._unsigned == 0,
                close_reason=self._story.reason,
                anchor=anchor,
                unsigned_bytes=self._unsigned,
                open_runs=self._story.open_runs,
                open_calls=tuple(map(_listed, self._story.open_calls)),
                gaps=self._story.gaps,
                gap_calls=tuple(map(_listed, self._story.gap_calls)),
                unknown_types=self._story.unknown,
                findings=(*self._findings, *self._unopened_findings(), *of_keys, *incomparable),
                findings_count=self._findings_count
                + len(self._unopened)
                + len(of_keys)
                + len(incomparable),
                contents=Contents(
                    **{each.name: self._contents[each.name] for each in fields(Contents)}
                ),
                archived=0 if self._archived is None else self._archived.size,
            ),
            checkpoint=self._last,
            end=self._end(),
            chain=self._chain,
            witnessed=witnessed,
            unwitnessed=tuple(
                each.name
                for each in self._witnesses
                if each.name not in {found.witness for found in witnessed}
            ),
            unopened=next(chain(self._unopened_findings(), self._erased.lost()), None),
        )

    def _end(self) -> End | None:
        if self._ended is None:
            return None
        segment, offset, subtrees = self._ended
        return End(segment, offset, tuple(subtree for _, subtree in subtrees))

    def _take_entry(self, data: bytes) -> None:
        if self._entry:
            self._close_entry()
        document = decode_entry(data)
        if self._origin is None:
            self._begin(document["type"], document["body"])
        count, batch = self._count, self._batch
        if document["index"] != count:
            raise TraceIntegrityError(f"entry {document['index']} stands at {count}")
        if len(batch) >= MAX_BATCH:
            raise TraceIntegrityError(f"no checkpoint over {MAX_BATCH} entries")
        batch.append(document)
        self._entry = document
        if document["type"] == "key" and self._chain is not None:
            self._chain.take(document["body"])
        for name, named in document["contents"].items():
            self._expected[named] = name
        self._count = count + 1
        width, subtrees, subtree = 1, self._subtrees, _sha256(b"\x00" + data).digest()
        while subtrees and subtrees[-1][0] == width:
            subtree = _sha256(b"\x01" + subtrees.pop()[1] + subtree).digest()
            width *= 2
        subtrees.append((width, subtree))
        if self._known:
            self._compare_known()

    def _begin(self, kind: str, body: JsonObject) -> None:
        origin = body.get("origin")
        if kind != "log.open" or type(origin) is not str:
            raise TraceIntegrityError("the log does not begin with log.open and its origin")
        try:
            first = PublicKey.parse(str(body.get("key")))
        except SigningError as err:
            raise TraceIntegrityError("log.open names no public key") from err
        self._learn(origin, KeyChain(origin, [Reign(first, 0)]))

    def _learn(self, origin: str, chain: KeyChain) -> None:
        self._origin = origin
        if self._named not in (None, origin):
            self.failure = 0, f"this is the log {origin}, and the key given is of {self._named}"
        self._chain = chain
        self._open_known()

    def _open_known(self) -> None:
        for source, note in self._notes.items():
            try:
                checkpoint = parse_checkpoint(note)
            except TraceIntegrityError as err:
                self.failure = (
                    0,
                    f"the checkpoint kept in {source} does not fit this log: {err}",
                )
                return
            if checkpoint.origin != self._origin:
                self.failure = (
                    0,
                    f"the checkpoint kept in {source} is of another log: {checkpoint.origin}",
                )
                return
            self._known[source] = checkpoint

    def _root(self) -> bytes:
        folded = b""
        for _, subtree in reversed(self._subtrees):
            folded = _sha256(b"\x01" + subtree + folded).digest() if folded else subtree
        return folded

    def _take_content(self, data: bytes) -> None:
        name = self._expected.pop(line_digest(data), None)
        if name is None:
            raise TraceIntegrityError("a sealed content is not one its entry names")
        if self._vault is None:
            self._batch_contents["sealed"] += 1
            return
        try:
            self._opened[name] = self._vault.open(
                data,
                origin=self._origin or "",
                run=self._entry["run"] or "",
                path=content_path(self._entry["type"], name),
            )
        except SealedToRespondersError:
            self._batch_contents["sealed"] += 1
        except VaultKeyError as err:
            self._batch_contents["locked"] += 1
            self._batch_unopened.append((self._count - 1, str(err)))
        except TraceIntegrityError as err:
            # The entry vouches for these very bytes, so the writer or its vault is at fault.
            self.failure = self._count - 1, str(err)
        except TraceError:
            self._batch_contents["erased"] += 1
            self._batch_erased.append((self._count - 1, self._entry["run"] or ""))
        else:
            self._batch_contents["checked"] += 1

    def _close_entry(self) -> None:
        if self._expected:
            self._batch_contents["absent"] += len(self._expected)
            self._expected.clear()
        entry, self._entry = self._entry, {}
        kind = entry.get("type")
        if self._opened:
            opened, self._opened = self._opened, {}
            self._compare(entry, opened)
        elif kind in RESTATED_SEALED:
            self._compare_sealed(entry)
        elif kind == "plan" or kind in CALL_TYPES:
            self._compare(entry, {})

    def _compare(self, entry: JsonObject, opened: dict[str, bytes]) -> None:
        called = entry["run"], entry["call"]
        if self._is_unseen(called, entry["type"]):
            return
        facts = self._facts.setdefault(called, CallFacts())
        said = Opened(
            entry["type"],
            entry["body"],
            frozenset(entry["contents"]),
            opened,
            lambda name, data: self._tags(entry["run"] or "", name, data),
        )
        self._batch_findings += ((entry["index"], text) for text in facts.contradictions(said))
        if entry["type"] in TERMINAL or entry["type"] == "plan":
            del self._facts[called]

    def _is_unseen(self, called: tuple[str | None, str | None], kind: str) -> bool:
        """Whether a call began in the archived part, and what it has to agree with lies there."""
        begins = kind in ("intent", "plan")
        return self._archived is not None and not begins and called not in self._facts

    def _compare_sealed(self, entry: JsonObject) -> None:
        """The same for an entry of which nothing was opened, as most are without a key."""
        called = entry["run"], entry["call"]
        if entry["type"] in TERMINAL:
            self._facts.pop(called, None)
            return
        if self._is_unseen(called, entry["type"]):
            return
        if (facts := self._facts.get(called)) is None:
            facts = self._facts[called] = CallFacts()
        for text in facts.sealed(entry["type"], entry["body"], entry["contents"]):
            self._batch_findings.append((entry["index"], text))

    def _tags(self, run: str, name: str, data: bytes) -> list[str]:
        return [] if self._vault is None else self._vault.tags(run, name, data)

    def _take_checkpoint(self, line: Line) -> None:
        self._close_entry()
        note, root = _note(line.data), self._root()
        start = self._verified.size if self._verified else 0
        checkpoint = Checkpoint(self._origin or "", self._count, root)
        said = checkpoint if is_note_of(note, checkpoint) else parse_checkpoint(note)
        chain = self._chain
        if chain is None:
            raise TraceIntegrityError("a checkpoint stands before any entry")
        try:
            self._last_keys = chain.in_force()
            if self._all_signatures or chain.is_changing:
                signed_by(note, self._last_keys)
            _check(said, checkpoint)
        except TraceIntegrityError as err:
            self.failure = start, str(err)
            return
        chain.settle(self._count)
        self._last, self._verified = note, checkpoint
        self._checkpoints += 1
        self._ended = line.segment, line.offset + len(line.data) + 1, self._subtrees.copy()
        self._unsigned = 0
        observe, findings = self._story.observe, self._batch_findings
        for each in self._batch:
            for text in observe(each):
                findings.append((each["index"], text))
        if findings:
            self._list_findings()
        self._erased.take(self._batch, self._batch_erased)
        self._batch_erased.clear()
        self._batch.clear()
        for state, count in self._batch_contents.items():
            self._contents[state] += count
        self._batch_contents.clear()
        for index, reason in self._batch_unopened:
            first, count = self._unopened.get(reason, (index, 0))
            self._unopened[reason] = first, count + 1
        self._batch_unopened.clear()

    def _list_findings(self) -> None:
        for index, text in sorted(self._batch_findings):
            self._findings_count += 1
            if len(self._findings) < _LISTED_FINDINGS:
                self._findings.append(Finding(index, text))
        self._batch_findings.clear()

    def _unopened_findings(self) -> Iterator[Finding]:
        room = max(_LISTED_FINDINGS - len(self._findings), 0)
        for reason, (index, count) in islice(self._unopened.items(), room):
            yield Finding(index, f"contents that cannot be opened: {count}; {reason}")

    def _look_for_checkpoint(self, line: Line) -> None:
        """A signed checkpoint after broken bytes means they were whole once, or in flight."""
        if self._late is not None:
            self.failure = (
                self._broken
            )  # what was written after it was written onto whole bytes
        if not line.data.startswith(CHECKPOINT_PREFIX) or not line.ended:
            return
        try:
            note = _note(line.data)
            if self._chain is None:
                parse_checkpoint(note)
            else:
                signed_by(note, self._chain.in_force()[:1])
        except TraceError:
            return
        self._late = line

    def _is_torn(self, checkpoint: Line) -> bool:
        """Whether the group before this checkpoint may be what a power cut left of it.

        A group lies in one segment, and no line has zeros in it.
        """
        broken, end = self._broken_line, self._end()
        if broken is None or broken.segment != checkpoint.segment:
            return False
        same = end is not None and end.segment == checkpoint.segment
        start = end.offset if same and end is not None else 0
        try:
            with checkpoint.segment.open("rb") as file:
                file.seek(start)
                group = file.read(checkpoint.offset - start)
        except OSError:
            return False
        # The first sector is shared with what was acknowledged before; the last one with the
        # checkpoint, which is there, so that one is whole.
        first = SECTOR_BYTES - start % SECTOR_BYTES
        bounds = [0, *range(first, len(group) + 1, SECTOR_BYTES)]
        return any(low < high and not any(group[low:high]) for low, high in pairwise(bounds))

    def _check_last_signature(self) -> None:
        if self._all_signatures or self._last is None:
            return
        try:
            signed_by(self._last, self._last_keys)
        except TraceIntegrityError as err:
            self.failure = self.failure or (0, str(err))

    def _check_given(self) -> None:
        """The key given has to be one of the log's: what it signed vouches for all before it."""
        given, chain = self._given, self._chain
        if given is not None and chain is not None and not chain.holds(given):
            self.failure = 0, f"the log is not signed by key {given.keyid[:16]}"

    def _is_pinned(self) -> bool:
        """A key that was stolen, by the log's own word, vouches for nothing any more."""
        given, chain = self._given, self._chain
        if not self._pinned or given is None:
            return False
        if self._archived is not None and given != self._archived.chain.log:
            return False  # what brought in the key at the cut lies in the part that is not read
        return not (chain is not None and chain.is_revoked(given))

    def _compare_known(self) -> None:
        for source, checkpoint in self._known.items():
            if checkpoint.size == self._count and checkpoint.root != self._root():
                own = self._is_own(self._notes[source])
                other = (
                    "is signed over other entries: one of two histories was rewritten"
                    if own
                    else "does not fit this log: it is not signed by a key of it"
                )
                self.failure = 0, f"the checkpoint kept in {source} {other}"

    def _is_own(self, note: str) -> bool:
        """Whether a key that is or was the log's signed a note."""
        chain = self._chain
        for reign in () if chain is None else chain.reigns:
            try:
                signature_of(note, reign.key)
            except TraceIntegrityError:
                continue
            return True
        return False

    def _incomparable(self) -> Iterator[Finding]:
        """Known checkpoints that lie in the part that is not read."""
        archived = self._archived
        for source, known in self._known.items() if archived is not None else ():
            if archived is not None and known.size < archived.size:
                yield Finding(
                    known.size,
                    f"the checkpoint kept in {source} counts {known.size} entries, which lie in"
                    f" the archive {archived.folders()}: it was not compared",
                )

    def _check_known(self) -> Anchor | None:
        size = self._verified.size if self._verified else 0
        if self._origin is None and self._notes:
            self.failure = (
                0,
                "a checkpoint of this log was kept, and nothing of the log is here",
            )
            return None
        anchor: Anchor | None = None
        begun = 0 if self._archived is None else self._archived.size
        for source, checkpoint in self._known.items():
            if self.failure is None and not self._is_own(self._notes[source]):
                unknown = "does not fit this log: it is not signed by a key of it"
                self.failure = 0, f"the checkpoint kept in {source} {unknown}"
                return None
            if checkpoint.size < begun:
                continue  # told by `_incomparable`
            if checkpoint.size > size:
                counts = f"the checkpoint kept in {source} counts {checkpoint.size} entries, {size} are here"
                self.failure = size, f"the tail was cut: {counts}"
                return None
            if anchor is None or checkpoint.size > anchor.size:
                anchor = Anchor(source, checkpoint.size)
        return anchor


def _listed(call: CallState) -> OpenCall:
    return OpenCall(call.run, call.call, call.tool, call.since, call.last)


def _note(data: bytes) -> str:
    document = codec.decode(data)
    note = document.get("checkpoint")
    if len(document) != 1 or not isinstance(note, str):
        raise TraceIntegrityError("a checkpoint line is malformed")
    return note


def _check(said: Checkpoint, derived: Checkpoint) -> None:
    if said.origin != derived.origin:
        raise TraceIntegrityError("a checkpoint belongs to another log")
    if said.size != derived.size:
        raise TraceIntegrityError(f"a checkpoint over {said.size} stands after {derived.size}")
    if said.root != derived.root:
        raise TraceIntegrityError("the entries are not those the checkpoint was signed over")
