"""What the broker looks for in calls, results and records, and what follows from it.

Detectors say what a text holds, here that becomes: findings in the policy's input, labels of the
session, and markers in the place of values in the record. None of it decides; a look that fails
denies the call or withholds the result, and keeps the content out of the record.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import orjson

from permissions.detection.detectors import Detectors
from permissions.detection.document import texts
from permissions.errors import DetectionError
from permissions.run.found_values import MAX_VALUES, told
from permissions.trace.entry import NOT_KEPT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from permissions.detection.finding import Finding
    from permissions.model import JsonObject, JsonValue
    from permissions.run.found_values import FoundValues, Markers
    from permissions.run.origins import Output
    from permissions.trace.entry import TraceEntry


@dataclass(slots=True)
class Seen:
    """What was looked at of one call, or of what a session itself has to say.

    Attributes:
        markers: what is replaced in all that is recorded of a call before it runs.
        contents: names of contents that were looked through already.
    """

    markers: Markers | None = None
    contents: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Inspection:
    """Which detectors look at what.

    Attributes:
        outgoing: at the arguments of calls; policies name them.
        results: at what tools return; policies name them.
        recorded: what they find is replaced in the record; the settings name them.
    """

    outgoing: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()
    detectors: Detectors = field(default_factory=Detectors)

    @classmethod
    def of(cls, data: JsonObject, recorded: Iterable[str]) -> Inspection:
        """What a bundle's table `detection` and the settings name.

        Raises:
            ConfigError: a detector is not there.
        """
        table = data.get("wardline", {}).get("tables", {}).get("detection", {})
        outgoing, results = tuple(table.get("outgoing", ())), tuple(table.get("results", ()))
        named = tuple(recorded)
        detectors = Detectors.named((*outgoing, *results, *named))
        return cls(outgoing, results, named, detectors)

    async def of_call(
        self, arguments: JsonValue, values: FoundValues
    ) -> dict[str, list[JsonObject]]:
        """`context.detected` of the policy's input; what is found is known from now on.

        Raises:
            DetectionError: the arguments could not be looked through.
        """
        names = (*self.outgoing, *self.recorded)
        if not names:
            return {}
        found = await self.detectors.look(arguments, names)
        again = list(values.come_again(texts(arguments)))
        for each in found.values():
            values.learn(each)
        self._require_known(found, values)
        return told({name: _joined(name, found, again) for name in self.outgoing}, values)

    async def of_result(
        self, documents: Iterable[JsonValue], values: FoundValues, output: Output
    ) -> dict[str, tuple[Finding, ...]]:
        """What a result holds, by the detectors that policies name for it.

        Args:
            documents: the result as JSON, then whatever more can be read out of it, in which
                only values are looked for.
            values: of the run.
            output: the call that gave it.

        Raises:
            DetectionError: it could not be looked through.
        """
        names = (*self.results, *self.recorded)
        kept: dict[str, tuple[Finding, ...]] = {}
        for number, document in enumerate(documents if names else ()):
            found = await self.detectors.look(document, names)
            for each in found.values():
                values.learn(each, output)
            self._require_known(found, values)
            if not number or not any(kept.values()):
                kept = found
        return {name: kept.get(name, ()) for name in self.results if kept.get(name)}

    def _require_known(
        self, found: Mapping[str, tuple[Finding, ...]], values: FoundValues
    ) -> None:
        if not all(values.are_replaced(found[name]) for name in self.recorded):
            raise DetectionError(
                f"more than {MAX_VALUES} values were found in this run; begin another"
            )

    async def recordable(
        self, entries: Iterable[TraceEntry], values: FoundValues, seen: Seen
    ) -> list[TraceEntry]:
        """The entries as they may be kept: each found value replaced by its marker."""
        if not self.recorded:
            return list(entries)
        return [await self._recordable(entry, values, seen) for entry in entries]

    async def _recordable(
        self, entry: TraceEntry, values: FoundValues, seen: Seen
    ) -> TraceEntry:
        lost = set()
        for name, data in entry.contents.items():
            if name in _DERIVED or name in seen.contents or _is_left(name):
                continue
            if not await self._is_looked_through(data, values):
                lost.add(name)
        if entry.type in _BEFORE_THE_RUN:
            markers = seen.markers = seen.markers or values.markers()
        else:
            markers = values.markers()
        if not markers.pairs and not lost:
            return entry
        contents = {
            name: NOT_KEPT if name in lost else markers.in_bytes(data)
            for name, data in entry.contents.items()
            if not _is_left(name)
        }
        changed = sorted(name for name in contents if contents[name] != entry.contents[name])
        links = {
            name: NOT_KEPT
            if _SEALED_AS.get(name) in lost
            else data
            if name in _NO_TEXT
            else markers.in_bytes(data)
            for name, data in entry.links.items()
        }
        body = {**entry.body, "redacted": changed} if changed else entry.body
        return replace(entry, body=body, contents={**entry.contents, **contents}, links=links)

    async def _is_looked_through(self, data: bytes, values: FoundValues) -> bool:
        """Looks at a content; says whether all that it holds is known."""
        try:
            document = orjson.loads(data)
        except ValueError:
            document = data.decode(errors="replace")
        try:
            found = await self.detectors.look(document, self.recorded)
        except DetectionError:
            return False
        for each in found.values():
            values.learn(each)
        return all(map(values.are_replaced, found.values()))


_BEFORE_THE_RUN = frozenset(
    {"intent", "resolution", "grant", "decision", "request", "approval", "start", "denied"}
)
"""Entries of a call that say the same things again, and so are marked alike."""
_DERIVED = frozenset({"input", "input_patch", "response", "shown"})
"""Contents made of what was looked at already."""


def _is_left(name: str) -> bool:
    """What stays as it is: what people signed, who they are, and a call's own key."""
    return name.startswith("envelope_") or name in ("key", "voters")


_SEALED_AS = {"args": "arguments", "plan": "plan"}
"""Links of the bytes of a content."""
_NO_TEXT = frozenset({"change_set", "key"})
"""Links of something else: a digest, and what stays as it is."""


def _joined(
    name: str, found: Mapping[str, tuple[Finding, ...]], again: Iterable[Finding]
) -> list[Finding]:
    """What a detector found, and what it had found before, each once."""
    told = {(each.pointer, each.start, each.end): each for each in found.get(name, ())}
    for each in again:
        if each.detector == name:
            told.setdefault((each.pointer, each.start, each.end), each)
    return list(told.values())
