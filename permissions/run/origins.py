"""What provenance says of one value: its origin, and where in the record it was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from permissions.run.leaves import token

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from permissions.model import JsonObject
    from permissions.run.leaves import Leaf

MAX_POINTER: Final = 500
"""Characters of a pointer that is kept; of a longer one nothing is."""

APPROVED: Final = 2
VOUCHED: Final = 3
UNTRUSTED: Final = 6
"""Ranks of what is between the person's own words and what nobody knows."""


class Output(NamedTuple):
    """The recorded output that a value was read from: a call, and the entry of its outcome."""

    call: str
    entry: int | None


class Site(NamedTuple):
    """Where in an output a value stands: a pointer, and characters when it was cut out."""

    output: Output
    pointer: str | None
    cut: tuple[int, int] | None

    def document(self) -> JsonObject:
        """As `from` of the policy's input."""
        return {
            "call": self.output.call,
            "entry": self.output.entry,
            "pointer": self.pointer,
            "cut": None if self.cut is None else list(self.cut),
        }


class Found(NamedTuple):
    """A value's best standing so far; a smaller rank wins."""

    rank: int
    origin: str
    source: str | None
    trusted: bool
    site: Site | None = None
    linked: bool = False


class Source(NamedTuple):
    """The tool whose output is read, and where the record holds it."""

    tool: str
    output: Output | None

    def vouched(self, pointer: str, *, linked: bool) -> Found:
        """A value that may be believed."""
        return Found(VOUCHED, "tool", self.tool, True, self._site(pointer, None), linked)  # noqa: FBT003

    def untrusted(self, pointer: str, cut: tuple[int, int] | None = None) -> Found:
        """Any other value."""
        return Found(UNTRUSTED, "tool", self.tool, False, self._site(pointer, cut))  # noqa: FBT003

    def _site(self, pointer: str, cut: tuple[int, int] | None) -> Site | None:
        if self.output is None:
            return None
        return Site(self.output, pointer if len(pointer) <= MAX_POINTER else None, cut)


USER = Found(0, "user", None, trusted=True)
UNKNOWN = Found(9, "unknown", None, trusted=False)
DEFAULT = Found(5, "default", None, trusted=True)


def pinned_by_plan(
    provenance: Mapping[str, JsonObject], plan: str, names: Collection[str]
) -> dict[str, JsonObject]:
    """The same provenance once a call has matched a step that pins some arguments.

    A pinned value (`Match.pinned`) is the plan's by its position, also where it is too short to
    be traced. What the person said stays theirs.
    """
    tops = {token(name) for name in names}
    return {
        pointer: {**entry, **_PINNED, "source": plan}
        if entry["origin"] != "user" and "/" + pointer[1:].partition("/")[0] in tops
        else entry
        for pointer, entry in provenance.items()
    }


_PINNED: JsonObject = {
    "origin": "plan",
    "trusted": True,
    "from": None,
    "linked": False,
    "carries": [],
}


_NOTHING: JsonObject = {}


def looked_up(given: Iterable[Leaf], provenance: Mapping[str, JsonObject]) -> bool:
    """Whether a call looked something up by what the person or the plan said, and by no more."""
    said = False
    for leaf in given:
        if leaf.value in (None, "", [], {}) or type(leaf.value) is bool:
            continue
        entry = provenance.get(leaf.pointer, _NOTHING)
        if not entry.get("trusted"):
            return False
        said = said or entry["origin"] in ("user", "plan") or entry.get("linked") is True
    return said
