"""What detectors found in a run: where each value was first read, and its marker in the record.

A value that was found anywhere is known wherever it comes again in that run, also where its form
alone would say nothing. In the record it is replaced by a marker that says what it was, which of
the run's values, and about how long: `[redacted:github_token#2:32-63]`. Equal markers of one run
are equal values; a marker says no more, also to who holds every key.

Not protected from: a value that no detector found, and parts of one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from permissions.detection.finding import Finding
from permissions.detection.views import views

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from permissions.detection.document import Text
    from permissions.run.origins import Output
    from permissions.vocabulary import JsonObject, JsonValue

MAX_VALUES: Final = 2000
"""Values of one run that are told apart; beyond, contents that hold any are not kept at all."""
SHORTEST: Final = 6
_MARKER: Final = re.compile(rb"\[redacted:[a-z0-9_]+#([0-9]{1,9}):")


class Markers(NamedTuple):
    """What is replaced by what, as it stood at one moment; the longest first."""

    pairs: tuple[tuple[str, str], ...] = ()

    def in_text(self, text: str) -> str:
        """The text with each known value replaced."""
        for value, marker in self.pairs:
            if value in text:
                text = text.replace(value, marker)
        return text

    def in_document(self, value: JsonValue) -> JsonValue:
        """A copy of a JSON value with each known value replaced, in keys and nested JSON too."""
        if not self.pairs:
            return value
        if isinstance(value, str):
            return self._nested(value) if value[:1] in ("{", "[") else self.in_text(value)
        if isinstance(value, dict):
            return {self.in_text(key): self.in_document(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.in_document(item) for item in value]
        if isinstance(value, int) and not isinstance(value, bool):
            return next((marker for said, marker in self.pairs if said == str(value)), value)
        return value

    def in_bytes(self, data: bytes) -> bytes:
        """A content with each known value replaced: as JSON where it is that, else as text."""
        if not self.pairs or not self._may_hold(data):
            return data
        try:
            document = orjson.loads(data)
        except ValueError:
            return self.in_text(data.decode(errors="surrogateescape")).encode(
                errors="surrogateescape"
            )
        redacted = self.in_document(document)
        return data if redacted == document else _sorted_bytes(redacted)

    def _may_hold(self, data: bytes) -> bool:
        """Whether a value may be in there; JSON may escape its signs, its plain parts it does not."""
        return any(_plain_part(value) in data for value, _ in self.pairs)

    def _nested(self, text: str) -> str:
        try:
            document: Any = orjson.loads(text)
        except ValueError:
            return self.in_text(text)
        redacted = self.in_document(document)
        return text if redacted == document else _sorted_bytes(redacted).decode()


def _sorted_bytes(document: JsonValue) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def _plain_part(value: str) -> bytes:
    """The longest stretch of a value that every JSON writer leaves as it is."""
    parts = "".join(c if c.isascii() and c.isalnum() else " " for c in value).split()
    return max(parts, key=len, default="").encode()


class _Known(NamedTuple):
    detector: str
    kind: str
    site: JsonObject | None


class FoundValues:
    """The values that were found in one run. Not for use from several threads at once."""

    def __init__(self, recorded: Collection[str] = ()) -> None:
        """`recorded` names the detectors whose findings are replaced in the record."""
        self._recorded = frozenset(recorded)
        self._known: dict[str, _Known] = {}
        self._markers: dict[str, str] = {}
        self._snapshot: Markers | None = Markers()
        self._last = 0
        self.is_full = False
        """Whether more was found than can be told apart."""

    def learn(self, findings: Iterable[Finding], output: Output | None = None) -> None:
        """Remembers what was found; in which output, when it was read there."""
        for found in findings:
            site = None
            if output is not None:
                site = {"call": output.call, "entry": output.entry, "pointer": found.pointer}
            for value in {found.value, found.raw}:
                self._add(value, found, site)

    def _add(self, value: str, found: Finding, site: JsonObject | None) -> None:
        if len(value) < SHORTEST:
            return
        if value not in self._known:
            if len(self._known) >= MAX_VALUES:
                self.is_full = True
                return
            self._known[value] = _Known(found.detector, found.kind, site)
        if found.detector in self._recorded and value not in self._markers:
            marker = self._markers.get(found.value) or self._markers.get(found.raw)
            if marker is None:
                self._last += 1
                marker = f"[redacted:{found.kind}#{self._last}:{length_class(found.value)}]"
            self._markers[value] = marker
            self._snapshot = None

    def located(self, call: str, entry: int) -> None:
        """Says at which entry of the trace the output of a call stands."""
        for value, known in self._known.items():
            if known.site is not None and known.site["call"] == call:
                self._known[value] = known._replace(site={**known.site, "entry": entry})

    def resume(self, contents: Iterable[bytes]) -> None:
        """Goes on numbering after the markers of an earlier session of the run."""
        for data in contents:
            for number in _MARKER.findall(data):
                self._last = max(self._last, int(number))

    def are_replaced(self, findings: Iterable[Finding]) -> bool:
        """Whether all of these are replaced in the record."""
        return all(
            found.raw in self._markers or len(found.raw) < SHORTEST for found in findings
        )

    def markers(self) -> Markers:
        """What is replaced by now."""
        if self._snapshot is None:
            pairs = sorted(self._markers.items(), key=lambda pair: (-len(pair[0]), pair[0]))
            self._snapshot = Markers(tuple(pairs))
        return self._snapshot

    def come_again(self, given: Iterable[Text]) -> Iterator[Finding]:
        """Known values in texts, as findings of the detector that first found them."""
        if not self._known:
            return
        for pointer, text, _ in given:
            for view in views(text):
                for value, known in self._known.items():
                    at = view.text.find(value)
                    if at >= 0:
                        start, end = view.span(at, at + len(value))
                        raw = text[start:end]
                        yield Finding(
                            known.detector, known.kind, pointer, start, end, value, raw
                        )

    def site(self, found: Finding) -> JsonObject | None:
        """The output of an earlier call in which a value was found; None when in none."""
        for value in (found.value, found.raw):
            if (known := self._known.get(value)) is not None and known.site is not None:
                return known.site
        return None


def length_class(value: str) -> str:
    """About how long a value is: a power of two, so that nothing finer is told."""
    length, least = max(len(value), 1), 1
    while least * 2 <= length:
        least *= 2
    return f"{least}-{least * 2 - 1}"


def told(
    findings: Mapping[str, Iterable[Finding]], values: FoundValues
) -> dict[str, list[JsonObject]]:
    """`context.detected` of the policy's input: no value, and at most `MAX_TOLD` of each."""
    return {
        name: [
            {**found.document(), "from": values.site(found)}
            for found in list(found_by)[:MAX_TOLD]
        ]
        for name, found_by in findings.items()
    }


MAX_TOLD: Final = 100
"""Findings of one detector that policies see, and the record keeps."""


def labels_of(found: Iterable[str]) -> frozenset[str]:
    """The labels a session gets when these detectors found something in a result."""
    return frozenset(f"{name}_read" for name in found)
