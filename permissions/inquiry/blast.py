"""Everything that values from some calls reached: by provenance, as addresses, through files.

A value that a call took from an earlier result is known by its provenance. An address (a link, a
mail address, an account, a phone number) is also known again in the middle of a text that an
agent wrote. What a call wrote into a file is taken to be in what later calls read there. A call
that ran hands on what it took.

Not seen: what an agent concluded from what it had read, without repeating any of it. For that
the calls of a run after its first source are counted; whether they were moved by it nobody can
tell from values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from permissions.inquiry.contents import Closed
from permissions.run.addresses import addresses_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.inquiry.call_record import CallRecord
    from permissions.model import JsonObject


@dataclass(slots=True)
class Blast:
    """What was found so far, call by call in the order of the record."""

    sources: frozenset[tuple[str, str]] = frozenset()
    """Calls, by run and id, whose results the values come from."""
    file: str | None = None
    """A path: every call that names it is a source."""
    entries: frozenset[int] = frozenset()
    """Outcomes to begin at; with none, every result of a source counts."""
    found_sources: list[JsonObject] = field(default_factory=list)
    reached: list[JsonObject] = field(default_factory=list)
    after: dict[str, int] = field(default_factory=dict)
    """By run: how many calls came after its first source, and took no value of it."""
    closed: int = 0
    """Calls whose inputs cannot be opened: nobody knows what reached them."""
    _tainted: dict[tuple[str, str], int] = field(default_factory=dict)
    _files: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By path: the call that wrote values there, and how far from a source it is."""
    _addresses: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    """By run and address in lower case: the call whose result or arguments had it first."""
    _runs: set[str] = field(default_factory=set)

    @property
    def wrote_files(self) -> bool:
        """Whether values went into files, from where any run may have read them."""
        return bool(self._files)

    def take(self, call: CallRecord, workspace: str | None) -> None:
        """Takes in the next call of the record."""
        name = (call.run, call.call)
        is_source = name in self.sources or self._names_file(call)
        if isinstance(call.question, Closed) and call.start is not None:
            self.closed += 1
        ways = sorted(self._ways(call), key=lambda way: int(way["distance"]))
        if is_source:
            self.found_sources.append(call.summary())
            self._runs.add(call.run)
            self._hand_on(call, workspace, 0)
        elif ways:
            self.reached.append({**call.summary(), "by": ways, "distance": ways[0]["distance"]})
            self._hand_on(call, workspace, ways[0]["distance"])
        elif call.run in self._runs:
            self.after[call.run] = self.after.get(call.run, 0) + 1

    def document(self) -> JsonObject:
        """As JSON."""
        return {
            "sources": self.found_sources,
            "reached": self.reached,
            "after": self.after,
            "closed": self.closed,
        }

    def _names_file(self, call: CallRecord) -> bool:
        return self.file is not None and any(self.file in each for each in _paths(call))

    def _ways(self, call: CallRecord) -> Iterator[JsonObject]:
        yield from self._by_provenance(call)
        yield from self._by_address(call)
        yield from self._by_file(call)

    def _by_provenance(self, call: CallRecord) -> Iterator[JsonObject]:
        for pointer, leaf in call.provenance.items():
            site = leaf.get("from")
            if site is None:
                continue
            distance = self._tainted.get((call.run, site["call"]))
            if distance is not None and self._counts(call.run, site):
                yield {"argument": pointer, "from": site, "distance": distance + 1}

    def _by_address(self, call: CallRecord) -> Iterator[JsonObject]:
        for pointer, text in _texts(call.arguments, ""):
            for address in dict.fromkeys(each for each, _ in addresses_in(text)):
                seen = self._addresses.get((call.run, address.casefold()))
                if seen is not None:
                    told = {"address": address, "seen_in": seen[0]}
                    yield {"argument": pointer, **told, "distance": seen[1] + 1}

    def _by_file(self, call: CallRecord) -> Iterator[JsonObject]:
        for target in call.targets:
            if target["kind"] != "path" or target["access"] != "read":
                continue
            for path, (writer, distance) in self._files.items():
                if writer != call.call and _holds(target["resolved"], path):
                    argument = f"/{target['argument']}"
                    told = {"path": path, "written_by": writer}
                    yield {"argument": argument, "file": told, "distance": distance + 1}

    def _counts(self, run: str, site: JsonObject) -> bool:
        is_first = (run, site["call"]) in self.sources
        return not (is_first and self.entries) or site["entry"] in self.entries

    def _hand_on(self, call: CallRecord, workspace: str | None, distance: int) -> None:
        if call.start is None:
            return  # it did not run: what it was to take went nowhere
        self._tainted.setdefault((call.run, call.call), distance)
        for text in _said(call):
            for address, _ in addresses_in(text):
                name = call.run, address.casefold()
                self._addresses.setdefault(name, (call.call, distance))
        for path in _written(call, workspace):
            self._files.setdefault(path, (call.call, distance))


def _said(call: CallRecord) -> Iterator[str]:
    """What a call was given, and what it gave."""
    for _, text in _texts(call.arguments, ""):
        yield text
    if call.last is None:
        return
    for name in ("readable", "result"):
        given = call.contents.text(call.last, name)
        if not isinstance(given, Closed):
            yield given.replace("\\n", " ")
            return


def _texts(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """Each text in a value, by its JSON pointer."""
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, dict):
        for name, each in value.items():
            token = name.replace("~", "~0").replace("/", "~1")
            yield from _texts(each, f"{pointer}/{token}")
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _texts(each, f"{pointer}/{at}")


def _paths(call: CallRecord) -> Iterator[tuple[Any, ...]]:
    for target in call.targets:
        if target["kind"] == "path":
            yield target["path"], target["resolved"], target["relative"]


def _written(call: CallRecord, workspace: str | None) -> Iterable[str]:
    for target in call.targets:
        if target["kind"] == "path" and target["access"] == "write":
            yield target["resolved"]
    committed = any(each.body.get("fate") == "committed" for each in call.entries)
    for each in call.entries:
        if committed and each.body.get("kind") == "changes":
            changes = call.contents.json(each, "changes")
            if not isinstance(changes, Closed):
                root = (workspace or "").rstrip("/")
                yield from (f"{root}/{entry['path']}" for entry in changes.get("entries", ()))


def _holds(read: str, written: str) -> bool:
    """Whether who reads this path, a file or a folder, gets what was written to that one."""
    return read == written or written.startswith(f"{read.rstrip('/')}/")
