"""Which keys sign a log, from its first entry on, as its `key` entries change them.

One rule: a checkpoint carries a signature line by every key that is in force before its group
of entries, and by every key that a `key` entry of that group brings in. After it the key that was
replaced is no longer in force. So who takes today's keys, and not those they replaced, cannot
sign anything that comes before the last change: those private halves are gone.

| act | changes |
|---|---|
| `rotate` | the log's key, the one that verifiers pin |
| `epoch` | a second Ed25519 key that is replaced every few hours; without `key` it ends |
| `post_quantum` | an ML-DSA-44 key beside it; without `key` it ends |
| `revoke` | nothing: from `since` on, what the named key signed proves nothing |
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, cast, get_args

from permissions.errors import SigningError, TraceIntegrityError
from permissions.signing.keys import PublicKey
from permissions.signing.post_quantum import PostQuantumKey
from permissions.trace.note_keys import ED25519, ML_DSA_44, NoteKey

if TYPE_CHECKING:
    from permissions.model import JsonObject

KeyAct = Literal["rotate", "epoch", "post_quantum", "revoke"]
Changed = Literal["rotate", "epoch", "post_quantum"]


class Reign(NamedTuple):
    """A log key, and the number of the first entry it alone vouches for."""

    key: PublicKey
    start: int


class Revoked(NamedTuple):
    """A log key that is taken for stolen from a time on (microseconds since 1970 UTC)."""

    keyid: str
    since: int


@dataclass(slots=True)
class KeyChain:
    """The keys of one log, so far."""

    origin: str
    reigns: list[Reign]
    epoch: PublicKey | None = None
    epochs: int = 0
    """How many keys of epochs there were."""
    post_quantum: PostQuantumKey | None = None
    revoked: list[Revoked] = field(default_factory=list)
    _staged: dict[Changed, PublicKey | PostQuantumKey | None] = field(default_factory=dict)
    _staged_revoked: list[Revoked] = field(default_factory=list)

    @property
    def log(self) -> PublicKey:
        """The log's key in force."""
        return self.reigns[-1].key

    @property
    def is_changing(self) -> bool:
        """Whether the group of entries at hand changes a key."""
        return bool(self._staged)

    def holds(self, key: PublicKey) -> bool:
        """Whether this key is, or once was, the log's."""
        return any(reign.key == key for reign in self.reigns)

    def is_revoked(self, key: PublicKey) -> bool:
        """Whether the log says that this key was stolen."""
        return any(each.keyid == key.keyid for each in self.revoked)

    def in_force(self) -> list[NoteKey]:
        """Every key that has to sign the next checkpoint, the log's first."""
        found = [NoteKey(self.origin, ED25519, self.log)]
        if self.epoch is not None:
            found.append(NoteKey(self.origin, ED25519, self.epoch))
        if self.post_quantum is not None:
            found.append(NoteKey(self.origin, ML_DSA_44, self.post_quantum))
        for key in self._staged.values():
            if key is not None:
                kind = ED25519 if isinstance(key, PublicKey) else ML_DSA_44
                found.append(NoteKey(self.origin, kind, key))
        return found

    def take(self, body: JsonObject) -> None:
        """Takes in a `key` entry; it counts from the checkpoint over it on.

        Raises:
            TraceIntegrityError: it says nothing that can be followed.
        """
        act = body.get("act")
        if act == "revoke":
            keyid, since = body.get("keyid"), body.get("since")
            if not isinstance(keyid, str) or type(since) is not int:
                raise TraceIntegrityError("a key entry revokes no key, or from no time on")
            self._staged_revoked.append(Revoked(keyid, since))
            return
        if act not in get_args(Changed):
            raise TraceIntegrityError("a key entry of an unknown act")
        if act in self._staged:
            raise TraceIntegrityError(
                f"two key entries of act {act} stand under one checkpoint"
            )
        self._staged[cast("Changed", act)] = _key(str(act), body.get("key"))

    def settle(self, size: int) -> None:
        """Puts in force what was taken in, after a checkpoint over `size` entries."""
        if not self._staged and not self._staged_revoked:
            return
        for act, key in self._staged.items():
            if act == "post_quantum":
                self.post_quantum = cast("PostQuantumKey | None", key)
            elif act == "epoch":
                self.epoch = cast("PublicKey | None", key)
                self.epochs += key is not None
            else:
                self.reigns.append(Reign(cast("PublicKey", key), size))
        self._staged.clear()
        self.revoked += self._staged_revoked
        self._staged_revoked.clear()

    def drop(self) -> None:
        """Forgets what was taken in and never settled."""
        self._staged.clear()
        self._staged_revoked.clear()

    def copy(self) -> KeyChain:
        """An independent chain of the same keys."""
        return KeyChain.of(self.document())

    def document(self) -> JsonObject:
        """What is in force, as JSON."""
        return {
            "origin": self.origin,
            "reigns": [[str(each.key), each.start] for each in self.reigns],
            "epoch": None if self.epoch is None else str(self.epoch),
            "epochs": self.epochs,
            "post_quantum": None if self.post_quantum is None else str(self.post_quantum),
            "revoked": [list(each) for each in self.revoked],
        }

    @classmethod
    def of(cls, document: JsonObject) -> KeyChain:
        """The chain that a document says.

        Raises:
            SigningError: a key is malformed.
            KeyError, TypeError, ValueError: so is the document.
        """
        epoch, quantum = document["epoch"], document["post_quantum"]
        return cls(
            document["origin"],
            [Reign(PublicKey.parse(key), start) for key, start in document["reigns"]],
            epoch=None if epoch is None else PublicKey.parse(epoch),
            epochs=document["epochs"],
            post_quantum=None if quantum is None else PostQuantumKey(base64.b64decode(quantum)),
            revoked=[Revoked(keyid, since) for keyid, since in document["revoked"]],
        )


def _key(act: str, text: object) -> PublicKey | PostQuantumKey | None:
    if text is None and act != "rotate":
        return None
    try:
        raw = base64.b64decode(str(text), validate=True)
        return PostQuantumKey(raw) if act == "post_quantum" else PublicKey(raw)
    except (SigningError, binascii.Error, ValueError) as err:
        raise TraceIntegrityError(f"a key entry of act {act} names no public key") from err
