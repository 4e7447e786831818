"""What signs the checkpoints of a log that is being written: every key that is in force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

from permissions.errors import TraceIntegrityError
from permissions.signing.post_quantum import PostQuantumSigner
from permissions.trace.note_keys import ED25519, ML_DSA_44, NoteSigner, note_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.signing.keys import PublicKey, Signer
    from permissions.trace.key_chain import Changed, KeyChain


class CheckpointSigner:
    """Signs the checkpoints of one log with every key that is in force."""

    def __init__(
        self,
        origin: str,
        signer: Signer,
        *,
        epoch: Signer | None = None,
        post_quantum: PostQuantumSigner | None = None,
    ) -> None:
        self.origin = origin
        self.log = signer
        """The log's own key."""
        self._signers: dict[Changed, NoteSigner] = {"rotate": self._note_signer(signer)}
        if epoch is not None:
            self._signers["epoch"] = self._note_signer(epoch)
        if post_quantum is not None:
            self._signers["post_quantum"] = self._note_signer(post_quantum)

    def sign(self, size: int, root: bytes, *, joining: Sequence[KeyChange] = ()) -> str:
        """The signed note over this state, by the keys in force and those that come in with it."""
        text = note_text(self.origin, size, root)
        new = [self._note_signer(each.signer) for each in joining if each.signer is not None]
        signers = [*self._signers.values(), *new]
        lines = "".join(each.line(self.origin, size, root) for each in signers)
        return f"{text}\n{lines}"

    def change(self, change: KeyChange) -> None:
        """Puts a key in force, or takes it out, once what says so is recorded."""
        if change.signer is None:
            self._signers.pop(change.act, None)
            return
        self._signers[change.act] = self._note_signer(change.signer)
        if change.act == "rotate":
            self.log = cast("Signer", change.signer)

    def _note_signer(self, signer: Signer | PostQuantumSigner) -> NoteSigner:
        kind = ML_DSA_44 if isinstance(signer, PostQuantumSigner) else ED25519
        return NoteSigner(self.origin, kind, signer)


class KeyChange(NamedTuple):
    """A key that comes into force, or, without a signer, that is no longer asked for."""

    act: Changed
    signer: Signer | PostQuantumSigner | None


@dataclass(frozen=True, slots=True)
class Beside:
    """Private keys that a log may be found to go on under, beside the one it is opened with."""

    log: tuple[Signer, ...] = ()
    epoch: tuple[Signer, ...] = ()
    post_quantum: PostQuantumSigner | None = None

    def signer(self, origin: str, signer: Signer, keys: KeyChain | None) -> CheckpointSigner:
        """What signs the next checkpoint of a log: every key that it has in force.

        Raises:
            TraceIntegrityError: one of them is not there.
        """
        if keys is None:
            return CheckpointSigner(origin, signer)
        quantum = self.post_quantum
        if keys.post_quantum is None:
            quantum = None
        elif quantum is None or quantum.public != keys.post_quantum:
            raise TraceIntegrityError("the ML-DSA-44 key of the log is not there")
        epoch = None if keys.epoch is None else _one_of(self.epoch, keys.epoch, "epoch")
        log = _one_of((signer, *self.log), keys.log, "log")
        return CheckpointSigner(origin, log, epoch=epoch, post_quantum=quantum)


def _one_of(signers: Sequence[Signer], key: PublicKey, of: str) -> Signer:
    for each in signers:
        if each.public == key:
            return each
    raise TraceIntegrityError(
        f"the log goes on under another key of its {of} ({key.keyid[:16]}) than there is: put"
        " it back from a copy, or name it in trace.key"
    )
