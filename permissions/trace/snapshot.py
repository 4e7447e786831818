"""How far a log had got, signed, so that its next writer reads only what came after.

Beside the segments lies the tree's frontier at some checkpoint, where that checkpoint ends, how
long the earlier segments are, and which calls were open, under the log's own key. It saves work
and proves nothing: a verifier never looks at it, and a writer that finds anything odd about it
reads the whole log. It holds for `vault.keys` as it was, too: keys that were destroyed since have
to be those that an entry names. An old byte that rotted no longer stops a start; `verify` finds
it, and what is written next is signed over the entries as they were.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from permissions import files
from permissions.errors import SigningError, TraceError
from permissions.logs import get_logger
from permissions.trace import codec
from permissions.trace.checkpoint import signed_by
from permissions.trace.encoder import checkpoint_line
from permissions.trace.entry import TERMINAL
from permissions.trace.key_chain import KeyChain
from permissions.trace.merkle import Frontier
from permissions.trace.report import OpenCall
from permissions.trace.store import segments
from permissions.trace.vault import KeysState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from permissions.model import JsonObject
    from permissions.signing.keys import PublicKey, Signer
    from permissions.trace.checkpoint import Checkpoint
    from permissions.trace.entry import TraceEntry

SNAPSHOT_FILE = "snapshot.json"
ENTRIES_BETWEEN = 4096
"""After how many entries another one is made; so many are read at most, with a group, at an
opening after a crash."""
_MAX_BYTES = 4 * 1024 * 1024
_SIGNED_AS = b"wardline/v2 snapshot\x00"

_log = get_logger("trace.snapshot")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state of the log: what is behind its checkpoint need not be read again."""

    checkpoint: Checkpoint
    note: str
    segment: Path
    end: int
    """Where the checkpoint's line ends in that segment."""
    peaks: tuple[bytes, ...]
    """Roots of the whole subtrees, from left to right."""
    closed: bool
    open_calls: tuple[OpenCall, ...]
    chain: KeyChain


class OpenCalls:
    """The calls of the log that have no end yet, as its writer sees them."""

    def __init__(self, known: tuple[OpenCall, ...] = ()) -> None:
        self._calls = {(each.run, each.call): each for each in known}
        self.closed = False

    def take(self, entry: TraceEntry, index: int) -> None:
        """Takes in the next durable entry."""
        self.closed = entry.type == "log.close"
        if entry.call is None:
            return
        name = entry.run, entry.call
        if entry.type in TERMINAL:
            self._calls.pop(name, None)
        elif entry.type == "intent":
            tool = entry.body.get("tool")
            self._calls[name] = OpenCall(entry.run, entry.call, tool, index, entry.type)
        elif (call := self._calls.get(name)) is not None:
            self._calls[name] = OpenCall(call.run, call.call, call.tool, call.since, entry.type)

    def listed(self) -> tuple[OpenCall, ...]:
        """All of them, oldest first."""
        return tuple(self._calls.values())


def save_snapshot(
    directory: Path,
    signer: Signer,
    *,
    note: str,
    frontier: Frontier,
    segment: Path,
    end: int,
    calls: OpenCalls,
    chain: KeyChain,
    kek_id: str,
) -> None:
    """Keeps a snapshot in the place of the last one; a disk that refuses it loses nothing.

    Args:
        directory: of the log.
        signer: the log's.
        note: the last durable checkpoint.
        frontier: over the entries under it.
        segment: where its line lies.
        end: where that line ends.
        calls: that have no end.
        chain: the keys in force.
        kek_id: of the key the keys in `vault.keys` are wrapped by.
    """
    try:
        keys = KeysState.of(directory)
    except OSError as err:
        _log.warning("snapshot_not_kept", reason=str(err))
        return
    document: JsonObject = {
        "calls": [asdict(each) for each in calls.listed()],
        "checkpoint": note,
        "closed": calls.closed,
        "end": end,
        "keys": chain.document(),
        "vault": {"kek": kek_id, **keys._asdict()},
        "peaks": [base64.b64encode(each).decode() for each in frontier.peaks],
        "segments": {
            path.name: path.stat().st_size
            for path in segments(directory)
            if path.name < segment.name
        },
        "segment": segment.name,
    }
    _keep(directory, signer, document)


def restate_keys(directory: Path, signer: Signer) -> None:
    """Has the last snapshot hold for the keys file as it is now, after keys were destroyed.

    The next opening reads the whole log when this is not reached.
    """
    try:
        document = _document(directory, [signer.public])
        document["vault"] |= KeysState.of(directory)._asdict()
    except (OSError, TraceError, SigningError, KeyError, TypeError, ValueError) as err:
        _log.warning("snapshot_not_kept", reason=str(err)[:200])
        return
    _keep(directory, signer, document)


def _keep(directory: Path, signer: Signer, document: JsonObject) -> None:
    try:
        said = codec.encode(document, limit=_MAX_BYTES)
        signature = base64.b64encode(signer.sign(_SIGNED_AS + said)).decode()
        whole = codec.encode(
            {"signature": signature, "snapshot": said.decode()}, limit=2 * _MAX_BYTES
        )
        files.replace(directory / SNAPSHOT_FILE, whole + b"\n")
    except (OSError, SigningError, TraceError) as err:
        _log.warning("snapshot_not_kept", reason=str(err))


def load_snapshot(
    directory: Path, keys: Sequence[PublicKey], *, kek_id: str
) -> Snapshot | None:
    """The snapshot of the log as it lies there, or None when there is none to rely on.

    One of `keys` has to have signed it, and to be the log's in it; `vault.keys` has to begin as
    it was then, under the same key.
    """
    try:
        return _load(directory, keys, kek_id)
    except FileNotFoundError:
        return None
    except (
        OSError,
        TraceError,
        SigningError,
        KeyError,
        TypeError,
        ValueError,
        binascii.Error,
    ) as err:
        _log.warning("snapshot_not_used", reason=str(err)[:200])
        return None


def _document(directory: Path, keys: Sequence[PublicKey]) -> JsonObject:
    whole = codec.decode((directory / SNAPSHOT_FILE).read_bytes()[:-1], limit=2 * _MAX_BYTES)
    said = whole["snapshot"].encode()
    document = codec.decode(said, limit=_MAX_BYTES)
    chain = KeyChain.of(document["keys"])
    if chain.log not in keys:
        raise TraceError("another key signed it")
    chain.log.verify(base64.b64decode(whole["signature"]), _SIGNED_AS + said)
    return document


def _load(directory: Path, keys: Sequence[PublicKey], kek_id: str) -> Snapshot:
    document = _document(directory, keys)
    chain, vault = KeyChain.of(document["keys"]), document["vault"]
    if vault["kek"] != kek_id:
        raise TraceError("the vault's key is another")
    if not KeysState(vault["size"], vault["digest"]).still_holds(directory):
        raise TraceError("the keys of contents are not what they were")
    note, segment, end = (
        document["checkpoint"],
        directory / document["segment"],
        document["end"],
    )
    checkpoint = signed_by(note, chain.in_force())
    peaks = tuple(base64.b64decode(each) for each in document["peaks"])
    if Frontier.of(checkpoint.size, peaks).root() != checkpoint.root:
        raise TraceError("its frontier is not that of its checkpoint")
    for path in segments(directory):
        length = document["segments"].get(path.name)
        if path.name < segment.name and path.stat().st_size != length:
            raise TraceError(f"{path.name} has another length than it had")
    line = checkpoint_line(note)
    with segment.open("rb") as file:
        file.seek(end - len(line))
        if file.read(len(line)) != line:
            raise TraceError("its checkpoint is not where it was")
    return Snapshot(
        checkpoint=checkpoint,
        note=note,
        segment=segment,
        end=end,
        peaks=peaks,
        closed=document["closed"],
        open_calls=tuple(OpenCall(**each) for each in document["calls"]),
        chain=chain,
    )
