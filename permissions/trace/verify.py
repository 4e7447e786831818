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

What becomes of sealed contents is in `sealed_contents`, of checkpoints kept outside in
`anchoring`; what can be judged of an entry or a run alone in `restated` and `rules`.

The tree is `subtrees`, not the writer's frontier.

Broken bytes are a torn tail when no signed checkpoint follows them, or when they are what a
power cut leaves of the group that was being written (`torn_tail`), and no known checkpoint covers
them.
"""

from __future__ import annotations

import base64
from hashlib import sha256 as _sha256
from itertools import chain, islice
from typing import TYPE_CHECKING, Literal

from permissions.errors import SigningError, TraceError, TraceIntegrityError
from permissions.signing.keys import PublicKey
from permissions.trace.anchoring import Anchoring
from permissions.trace.archived import load_archived
from permissions.trace.checkpoint import (
    Checkpoint,
    is_line_of,
    note_of,
    parse_checkpoint,
    signed_by,
)
from permissions.trace.decoded import decode_entry
from permissions.trace.doubt import doubts
from permissions.trace.encoder import (
    CHECKPOINT_PREFIX,
    CONTENT_PREFIX,
    ENTRY_PREFIX,
)
from permissions.trace.key_chain import KeyChain, Reign
from permissions.trace.report import (
    Anchor,
    Completeness,
    End,
    Finding,
    Integrity,
    OpenCall,
    Report,
)
from permissions.trace.rules import Story
from permissions.trace.sealed_contents import SealedContents
from permissions.trace.store import (
    Line,
    all_segments,
    read_blocks,
    segment_path,
    segments,
)
from permissions.trace.subtrees import Subtrees
from permissions.trace.torn_tail import is_signed_checkpoint, is_torn
from permissions.trace.witnessed import cosigned_beside, witnessed_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from permissions.model import JsonObject
    from permissions.trace.archived import Archived
    from permissions.trace.decoded import DecodedEntry
    from permissions.trace.note_keys import NoteKey
    from permissions.trace.rules import CallState
    from permissions.trace.snapshot import Snapshot
    from permissions.trace.store import Block
    from permissions.trace.vault import VaultReader

MAX_BATCH = 65_536
"""Most entries under one checkpoint; more is refused, so that memory stays bounded."""
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
    auditor.listed = [  # before they are read: a writer at work adds more
        path.name
        for path in all_segments(directory, alone=alone)
        if (after is None or path.name > after.segment.name)
        and (upto is None or path.name <= upto.name)
    ]
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
        self._anchoring = Anchoring(known)
        self._known_sizes: frozenset[int] = frozenset()
        self._all_signatures = signatures == "all"
        self._origin: str | None = None
        self._archived: Archived | None = None
        """What was moved away, and is not read."""
        self._count = 0
        self._tree = Subtrees()
        self._leaves: list[bytes] = []
        """Hashes of entries that the tree has not taken in yet."""
        self._batch: list[DecodedEntry] = []
        self._entry: DecodedEntry | None = None
        """The last one, while its contents may follow."""
        self._contents = SealedContents(vault)
        self._story = Story()
        self._findings: list[Finding] = []
        self._findings_count = 0
        self._last: str | bytes | None = None
        """The last checkpoint that fits: its note, or its line."""
        self._last_keys: list[NoteKey] = []
        """Those that have to have signed it."""
        self._has_changed = True
        """Whether the keys may be others than `_last_keys` by now."""
        self._size = 0
        """Entries under it."""
        self._signed_root: bytes | None = None
        self._checkpoints = 0
        self._ended: tuple[Path, int, Subtrees] | None = None
        """Where the last verified checkpoint ends, and the subtrees there."""
        self._unsigned = 0
        self._broken: tuple[int, str] | None = None
        self._broken_line: Line | None = None
        self._late: Line | None = None
        """A signed checkpoint after what is broken."""
        self.failure: tuple[int, str] | None = None
        self.listed: list[str] = []
        """The segments there are."""
        self._read: set[str] = set()
        """Those with a line."""

    def go_on(self, snapshot: Snapshot) -> None:
        """Takes up where a snapshot was made."""
        checkpoint = snapshot.checkpoint
        self._origin, self._count = checkpoint.origin, checkpoint.size
        self._chain = snapshot.chain.copy()
        self._tree = Subtrees.of(checkpoint.size, snapshot.peaks)
        self._last = snapshot.note
        self._size, self._signed_root = checkpoint.size, checkpoint.root
        self._ended = snapshot.segment, snapshot.end, self._tree.copy()
        calls = ((c.run, c.call, c.tool, c.since, c.last) for c in snapshot.open_calls)
        self._story.go_on(calls, closed=snapshot.closed)
        self._open_known()
        self._compare_known()

    def begin_after(self, archived: Archived) -> None:
        """Begins where the part that was moved away ends."""
        said = parse_checkpoint(archived.note)
        self._archived = self._contents.archived = archived
        chain = archived.chain.copy()
        self._learn(said.origin, chain)
        self._last_keys = chain.in_force()
        try:
            signed_by(archived.note, self._last_keys)
        except TraceIntegrityError as err:
            self.failure = 0, f"what was archived does not fit this log: {err}"
            return
        self._count = said.size
        self._tree = Subtrees.of(said.size, archived.peaks)
        self._last, self._size, self._signed_root = archived.note, said.size, said.root
        self._ended = segment_path(self._directory, said.size), 0, self._tree.copy()
        self._story.go_on(archived.open_calls, closed=False, known=False)
        self._compare_known()

    def feed(self, block: Block) -> None:
        """Takes in the next lines, up to one that fails."""
        segment, offset, lines, ended = block
        self._read.add(segment.name)
        since = offset
        for data in lines:
            start, offset = offset, offset + len(data) + ended
            if self._broken is not None:
                self._look_for_checkpoint(Line(segment, start, data, ended))
            else:
                try:
                    if start == 0 or not ended:
                        self._require_whole(segment, start, ended=ended)
                    if self._take(segment, start, data):
                        self._unsigned, since = 0, offset
                except TraceError as err:
                    within = data.startswith(CONTENT_PREFIX)
                    self._broken = max(self._count - within, 0), str(err)
                    self._broken_line = Line(segment, start, data, ended)
            if self.failure is not None:
                break
        self._unsigned += offset - since

    def _take(self, segment: Path, start: int, data: bytes) -> bool:
        """Takes in one line; says whether all so far is signed with it."""
        if data.startswith(ENTRY_PREFIX):
            self._take_entry(data)
        elif data.startswith(CONTENT_PREFIX):
            self._take_content(data)
        elif data.startswith(CHECKPOINT_PREFIX):
            return self._take_checkpoint(segment, start, data)
        else:
            raise TraceIntegrityError("this is not a line of a trace")
        return False

    def _require_whole(self, segment: Path, start: int, *, ended: bool) -> None:
        if not ended:
            raise TraceIntegrityError("the line has no end")
        if start == 0 and segment.name != segment_path(self._directory, self._count).name:
            raise TraceIntegrityError(
                f"the segment {segment.name[:40]!r} begins with entry {self._count}"
            )

    def finish(self) -> Report:
        """Both verdicts over everything that was fed."""
        if self._late and not is_torn(self._broken_line, self._late, self._end()):
            self.failure = self.failure or self._broken
        self._check_last_signature()
        self._check_given()
        anchor = self._anchor() if self.failure is None else None
        witnessed = () if self.failure else witnessed_by(self._witnesses, self._notes.values())
        root, failed = self._signed_root, self.failure
        verdict: Literal["failed", "consistent", "signed"] = (
            "failed"
            if failed
            else "signed"
            if self._is_pinned() and self._checkpoints  # a log of nothing has no signature
            else "consistent"
        )
        contents = self._contents
        of_keys = tuple(islice(contents.of_keys(), _LISTED_FINDINGS))
        unopened = tuple(contents.unopened(max(_LISTED_FINDINGS - len(self._findings), 0)))
        incomparable = tuple(self._anchoring.incomparable(self._archived))
        stray = tuple(self._stray())
        return Report(
            integrity=Integrity(
                verdict=verdict,
                origin=self._origin,
                size=self._size,
                root=None if root is None else base64.b64encode(root).decode(),
                checkpoints=self._checkpoints,
                keyid=self._chain.log.keyid if self._chain else None,
                failed_at=failed[0] if failed else None,
                reason=failed[1] if failed else None,
                pin_revoked=self._pinned and not self._is_pinned(),
                doubtful=doubts(
                    self._directory,
                    None if failed else self._chain,
                    self._size,
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
                findings=(*self._findings, *unopened, *of_keys, *incomparable, *stray),
                findings_count=self._findings_count
                + contents.reasons
                + len(of_keys)
                + len(incomparable)
                + len(stray),
                contents=contents.counted(),
                archived=0 if self._archived is None else self._archived.size,
            ),
            checkpoint=self._last_note(),
            end=self._end(),
            chain=self._chain,
            witnessed=witnessed,
            unwitnessed=tuple(
                each.name
                for each in self._witnesses
                if each.name not in {found.witness for found in witnessed}
            ),
            unopened=next(chain(unopened, contents.erased.lost()), None),
        )

    def _stray(self) -> Iterator[Finding]:
        """Segments that hold nothing, and are not the one that a writer has just begun."""
        if self.failure is not None or self._broken is not None:
            return
        begun = segment_path(self._directory, self._count).name
        for name in self.listed:
            if name not in self._read and name != begun:
                yield Finding(
                    self._count,
                    f"the segment {name[:40]!r} holds nothing, and no entry can begin it",
                )

    def _end(self) -> End | None:
        if self._ended is None:
            return None
        segment, offset, tree = self._ended
        return End(segment, offset, tree.peaks)

    def _take_entry(self, data: bytes) -> None:
        if self._entry is not None:
            self._contents.close(self._entry)
        document = decode_entry(data)
        if self._origin is None:
            self._begin(document.type, document.body)
        count, batch = self._count, self._batch
        if document.index != count:
            raise TraceIntegrityError(f"entry {document.index} stands at {count}")
        if len(batch) >= MAX_BATCH:
            raise TraceIntegrityError(f"no checkpoint over {MAX_BATCH} entries")
        batch.append(document)
        self._entry = document
        if document.type == "key" and self._chain is not None:
            self._chain.take(document.body)
        if contents := document.contents:
            self._contents.expect(contents)
        self._count = count = count + 1
        self._leaves.append(_sha256(b"\x00" + data).digest())
        if count in self._known_sizes:
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
        if (wrong := self._anchoring.open(self._origin)) is not None:
            self.failure = 0, wrong
        self._known_sizes = frozenset(each.size for each in self._anchoring.known.values())

    def _compare_known(self) -> None:
        wrong = self._anchoring.compare(self._count, self._root, self._chain)
        if wrong is not None:
            self.failure = 0, wrong

    def _root(self) -> bytes:
        self._tree.add(self._leaves)
        self._leaves = []
        return self._tree.root()

    def _take_content(self, data: bytes) -> None:
        if self._entry is None:
            raise TraceIntegrityError("a sealed content stands after no entry")
        origin, index = self._origin or "", self._count - 1
        wrong = self._contents.take(data, self._entry, origin=origin, index=index)
        if wrong is not None:
            self.failure = index, wrong

    def _take_checkpoint(self, segment: Path, start: int, data: bytes) -> bool:
        """Whether this is one over the entries before it; what they say counts from then on."""
        if self._entry is not None:
            self._contents.close(self._entry)
            self._entry = None
        origin, count, root, chain = self._origin or "", self._count, self._root(), self._chain
        said = (
            None if is_line_of(data, origin, count, root) else parse_checkpoint(note_of(data))
        )
        if chain is None:
            raise TraceIntegrityError("a checkpoint stands before any entry")
        changing = chain.is_changing
        if changing or self._has_changed:
            self._last_keys, self._has_changed = chain.in_force(), changing
        try:
            if self._all_signatures or changing:
                signed_by(note_of(data), self._last_keys)
            if said is not None:
                _check(said, Checkpoint(origin, count, root))
        except TraceIntegrityError as err:
            self.failure = self._size, str(err)
            return False
        chain.settle(count)
        self._last, self._size, self._signed_root = data, count, root
        self._checkpoints += 1
        self._ended = segment, start + len(data) + 1, self._tree.copy()
        observe, findings = self._story.observe, self._contents.found
        for each in self._batch:
            if sentences := observe(each):
                findings += ((each.index, text) for text in sentences)
        if findings:
            self._list_findings()
        self._contents.settle(self._batch)
        self._batch.clear()
        return True

    def _list_findings(self) -> None:
        for index, text in sorted(self._contents.found):
            self._findings_count += 1
            if len(self._findings) < _LISTED_FINDINGS:
                self._findings.append(Finding(index, text))
        self._contents.found.clear()

    def _look_for_checkpoint(self, line: Line) -> None:
        if self._late is not None:
            self.failure = self._broken  # what came after it was written onto whole bytes
        if is_signed_checkpoint(line, self._chain):
            self._late = line

    def _check_last_signature(self) -> None:
        note = None if self._all_signatures else self._last_note()
        if note is None:
            return
        try:
            signed_by(note, self._last_keys)
        except TraceIntegrityError as err:
            self.failure = self.failure or (0, str(err))

    def _last_note(self) -> str | None:
        return note_of(self._last) if isinstance(self._last, bytes) else self._last

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

    def _anchor(self) -> Anchor | None:
        found = self._anchoring.farthest(
            self._size, self._chain, self._archived, empty=self._origin is None
        )
        if isinstance(found, tuple):
            self.failure = found
            return None
        return found


def _listed(call: CallState) -> OpenCall:
    return OpenCall(call.run, call.call, call.tool, call.since, call.last)


def _check(said: Checkpoint, derived: Checkpoint) -> None:
    if said.origin != derived.origin:
        raise TraceIntegrityError("a checkpoint belongs to another log")
    if said.size != derived.size:
        raise TraceIntegrityError(f"a checkpoint over {said.size} stands after {derived.size}")
    if said.root != derived.root:
        raise TraceIntegrityError("the entries are not those the checkpoint was signed over")
