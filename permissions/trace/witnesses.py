"""The witnesses of a log that is being written: each cosigns how far it goes.

A thread for each asks with the newest checkpoint, and with what proves that it extends the one the
witness cosigned last. How far at least `quorum` of them went is what the evidence level
`witnessed` waits for. The newest cosigned checkpoint lies beside the log (`cosigned.<name>`), for
verifiers that know the witnesses' keys.

A witness that does not answer, or refuses, is told about once and asked again; who needs it is
denied meanwhile. One that says the log is another than it knew is told as an error.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from permissions import files
from permissions.errors import ConfigError, SigningError, TraceError, TraceIntegrityError
from permissions.logs import get_logger
from permissions.trace.checkpoint import cosigned_at, parse_checkpoint, with_lines
from permissions.trace.consistency import GrowingTree
from permissions.trace.merkle import Frontier, leaf_hash
from permissions.trace.note_keys import COSIGNATURE, ML_DSA_44, NoteKey
from permissions.trace.reader import read_groups
from permissions.trace.witnessed import cosigned_path
from permissions.trace.witnessing import MAX_REQUEST, AddCheckpoint, signature_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ANSWER_SECONDS = 5.0
RETRY_SECONDS = 1.0
KEEP_SECONDS = 1.0
"""How often the newest cosigned checkpoint is written beside the log, while it grows."""
MAX_LEAVES = 65_536
"""Remembered of what a witness has not cosigned; of more, the log is read again."""
_log = get_logger("trace.witnesses")


class Witness(NamedTuple):
    """Where a witness takes checkpoints, and the key it cosigns with."""

    url: str
    key: NoteKey

    @classmethod
    def parse(cls, url: str, vkey: str) -> Witness:
        """From settings.

        Raises:
            ConfigError: the address or the key cannot be used.
        """
        try:
            key = NoteKey.parse(vkey)
        except SigningError as err:
            raise ConfigError(f"the key of the witness {url}: {err}") from err
        if key is None or key.kind not in (COSIGNATURE, ML_DSA_44):
            raise ConfigError(f"the key of the witness {url} is no C2SP key of a cosigner")
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ConfigError(
                f"a witness is reached by an http:// or https:// URL, not {url!r}"
            )
        return cls(url.rstrip("/"), key)


class Witnesses:
    """Asks every witness of one log. The committing thread feeds it."""

    def __init__(
        self,
        directory: Path,
        witnesses: Sequence[Witness],
        *,
        quorum: int,
        frontier: Frontier,
        on_progress: Callable[[], None],
    ) -> None:
        """`frontier` is the log's as it is opened; `quorum` is how many have to cosign."""
        self._directory = directory.absolute()
        self._quorum = quorum
        self._on_progress = on_progress
        self._changed = threading.Condition()
        self._tree = GrowingTree(frontier)
        self._note: str | None = None
        self._closing = False
        self.cosigned = [0] * len(witnesses)
        """How far each went."""
        self.failures: dict[str, str] = {}
        """Why the last question to a witness failed, by its name."""
        self._threads = [
            threading.Thread(
                target=self._run, args=(number, each), name="trace-witness", daemon=True
            )
            for number, each in enumerate(witnesses)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def witnessed(self) -> int:
        """How many entries at least `quorum` witnesses have cosigned."""
        return sorted(self.cosigned, reverse=True)[self._quorum - 1]

    def position(self) -> float:
        """The same, for who waits for it."""
        return self.witnessed

    def grown(self, leaves: Sequence[bytes], note: str) -> None:
        """Takes in entries that are durable, and the checkpoint over them."""
        with self._changed:
            self._tree.extend(leaves)
            self._tree.forget_before(max(min(self.cosigned), self._tree.size - MAX_LEAVES))
            self._note = note
            self._changed.notify_all()

    def close(self) -> None:
        """Lets each witness see the last checkpoint, for a moment at most."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        deadline = time.monotonic() + ANSWER_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self, number: int, witness: Witness) -> None:
        connection = _connection(witness.url)
        try:
            self._ask_as_it_grows(number, witness, connection)
        finally:
            connection.close()

    def _ask_as_it_grows(
        self, number: int, witness: Witness, connection: http.client.HTTPConnection
    ) -> None:
        old, tries_left, kept_at = 0, 1, float("-inf")
        cosigned: str | None = None
        while (note := self._next_note(number)) is not None:
            if self._closing:
                tries_left -= 1
                if tries_left < 0:
                    break
            try:
                old, cosigned = self._ask(witness, connection, note, old)
            except (OSError, http.client.HTTPException, TraceError, SigningError) as err:
                connection.close()  # the next question opens it again
                self._failed(witness, err)
                with self._changed:
                    if not self._closing:
                        self._changed.wait(RETRY_SECONDS)
                continue
            self.failures.pop(witness.key.name, None)
            self.cosigned[number] = max(self.cosigned[number], old)
            self._on_progress()
            if time.monotonic() - kept_at > KEEP_SECONDS:
                self._keep(witness, cosigned)
                kept_at, cosigned = time.monotonic(), None
        self._keep(witness, cosigned)

    def _next_note(self, number: int) -> str | None:
        """The newest checkpoint, once this witness has not cosigned it; None at the end."""
        with self._changed:
            while not self._is_due(number):
                if self._closing:
                    return None
                self._changed.wait()
            return self._note

    def _is_due(self, number: int) -> bool:
        note = self._note
        return note is not None and parse_checkpoint(note).size > self.cosigned[number]

    def _ask(
        self, witness: Witness, connection: http.client.HTTPConnection, note: str, old: int
    ) -> tuple[int, str]:
        """Has a checkpoint cosigned, of whatever size the witness begins at.

        Returns:
            Its size, and the checkpoint with the cosignature.
        """
        status, answer = 0, ""
        for _ in range(2):
            new = parse_checkpoint(note).size
            asked = AddCheckpoint(old, self._proof(old, new), note)
            status, answer = _post(witness.url, connection, asked)
            if status == http.HTTPStatus.OK:
                return self._checked(witness, note, answer)
            if status != http.HTTPStatus.CONFLICT or not answer.strip().isdigit():
                break
            old = int(answer)
            if old > new:
                raise TraceIntegrityError(
                    f"it has cosigned {old} entries of this log, of which {new} are here"
                )
        if status == http.HTTPStatus.UNPROCESSABLE_ENTITY:
            raise TraceIntegrityError("it knew another history of this log")
        raise TraceError(f"it answered {status}: {answer[:200]!r}")

    def _proof(self, old: int, new: int) -> tuple[bytes, ...]:
        with self._changed:
            if old == 0 or self._tree.start <= old:
                return tuple(self._tree.proof(old, new)) if old else ()
        return tuple(tree_from(self._directory, old, new).proof(old, new))

    def _checked(self, witness: Witness, note: str, answer: str) -> tuple[int, str]:
        cosigned = with_lines(note, signature_lines(answer))
        if not cosigned_at(cosigned, witness.key):
            raise TraceIntegrityError("its answer is not signed by its key, or says no time")
        return parse_checkpoint(note).size, cosigned

    def _keep(self, witness: Witness, cosigned: str | None) -> None:
        """Beside the log; the witness has it, so a disk that refuses it loses nothing."""
        if cosigned is None:
            return
        try:
            files.replace(cosigned_path(self._directory, witness.key), cosigned.encode())
        except OSError as err:
            _log.warning("cosignature_not_kept", reason=str(err))

    def _failed(self, witness: Witness, err: Exception) -> None:
        said = str(err)[:300] or type(err).__name__
        if self.failures.get(witness.key.name) == said:
            return
        self.failures[witness.key.name] = said
        tell = _log.error if isinstance(err, TraceIntegrityError) else _log.warning
        tell("witness_did_not_cosign", witness=witness.key.name, reason=said)


def tree_from(directory: Path, old: int, new: int) -> GrowingTree:
    """The tree of a log on disk from `old` to `new` entries; reads it up to there.

    Raises:
        TraceError: it cannot be read, or does not go that far.
    """
    frontier = Frontier()
    later: list[bytes] = []
    for group in read_groups(directory):
        for entry, *_ in group.entries:
            leaf = leaf_hash(entry.data)
            if frontier.size < old:
                frontier.append(leaf)
            else:
                later.append(leaf)
        if frontier.size + len(later) >= new:
            break
    tree = GrowingTree(frontier)
    tree.extend(later)
    return tree


def _connection(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(
            str(parts.hostname), parts.port, timeout=ANSWER_SECONDS, context=context
        )
    return http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=ANSWER_SECONDS)


def _post(
    url: str, connection: http.client.HTTPConnection, asked: AddCheckpoint
) -> tuple[int, str]:
    path = f"{urlsplit(url).path}/add-checkpoint"
    connection.request("POST", path, asked.text().encode(), {"Content-Type": "text/plain"})
    answer = connection.getresponse()
    return answer.status, answer.read(MAX_REQUEST).decode(errors="replace")
