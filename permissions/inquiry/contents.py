"""Opens what entries have sealed, and says why where that cannot be."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from permissions.errors import TraceError
from permissions.trace.patch import patched

if TYPE_CHECKING:
    from permissions.model import JsonObject
    from permissions.trace.reader import RecordedEntry
    from permissions.trace.vault import VaultReader

_NO_KEY = "the vault's key is not here"


@dataclass(frozen=True, slots=True)
class Closed:
    """A content that cannot be read, and why."""

    reason: str

    def document(self) -> JsonObject:
        """As JSON, in the place of the content."""
        return {"closed": self.reason}


class Contents:
    """The contents of a log's entries, as far as a vault opens them."""

    def __init__(self, vault: VaultReader | None) -> None:
        self._vault = vault

    def data(self, entry: RecordedEntry, name: str) -> bytes | Closed:
        """The bytes of one."""
        if name not in entry.digests:
            return Closed(f"the entry has no {name}")
        if self._vault is None:
            return Closed(_NO_KEY)
        try:
            return entry.open(name, self._vault)
        except TraceError as err:
            return Closed(str(err))

    def json(self, entry: RecordedEntry, name: str) -> Any:
        """The value of one, or `Closed`."""
        data = self.data(entry, name)
        if isinstance(data, Closed):
            return data
        try:
            return orjson.loads(data)
        except ValueError:
            return Closed(f"the content {name!r} of entry {entry.index} is not JSON")

    def text(self, entry: RecordedEntry, name: str) -> str | Closed:
        """One as text; bytes that are none become escapes."""
        data = self.data(entry, name)
        return data if isinstance(data, Closed) else data.decode(errors="backslashreplace")

    def asked(self, entry: RecordedEntry, first: JsonObject | Closed) -> JsonObject | Closed:
        """What a decision was asked with; `first` is the first input of its call."""
        if "input_patch" not in entry.digests:
            found: JsonObject | Closed = self.json(entry, "input")
            return found
        operations = self.json(entry, "input_patch")
        if isinstance(first, Closed) or isinstance(operations, Closed):
            return first if isinstance(first, Closed) else operations
        try:
            return patched(first, operations)
        except TraceError as err:
            return Closed(str(err))

    def votes(self, entry: RecordedEntry) -> list[JsonObject]:
        """What the people said whose envelopes an entry holds, in order; some may be closed."""
        names = [name for name in entry.digests if name.startswith("envelope_")]
        return [self._vote(entry, name) for name in sorted(names, key=_number)]

    def _vote(self, entry: RecordedEntry, name: str) -> JsonObject:
        envelope = self.json(entry, name)
        if isinstance(envelope, Closed):
            return envelope.document()
        try:
            said: JsonObject = orjson.loads(base64.b64decode(envelope["payload"]))
        except (KeyError, TypeError, ValueError, binascii.Error):
            return Closed(
                f"the content {name!r} of entry {entry.index} is no envelope"
            ).document()
        return said


def _number(name: str) -> int:
    digits = name.partition("_")[2]
    return int(digits) if digits.isdecimal() else 0


def shown(value: Any) -> Any:
    """A content as JSON, also when it is closed."""
    return value.document() if isinstance(value, Closed) else value
