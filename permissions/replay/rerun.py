"""What a recorded call did and what it does when it is run again, held side by side. Pure.

A program seldom does the same twice to the letter: times, ids and the order of sets differ. So
the call is run several times, and what differs between those runs says nothing about the record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.model import JsonObject, JsonValue

Verdict = Literal["identical", "equal", "diverged"]
"""`identical` to the letter; `equal` but for what differs between the runs themselves;
`diverged` it did something else then."""

_GONE = "(nothing)"
LONG = 400
"""Characters of a value that a difference shows."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What one run of a call came to.

    Attributes:
        status: as its executor saw it (`ok`, `error`, `stopped`, ...).
        verdict: the supervisor's word.
        value: what it returned, as JSON; None without.
        error: what it raised, in words; "" without.
        streams: what it wrote, by name.
        files: what it made of its files: by path, a digest, or `deleted`.
    """

    status: str
    verdict: str
    value: JsonValue = None
    error: str = ""
    streams: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def parts(self) -> dict[str, str]:
        """All of it by where it is: `value/total`, `stdout:3`, `files/report.txt`."""
        found = {"status": self.status, "verdict": self.verdict}
        if self.error:
            found["error"] = self.error
        if self.value is not None:
            found |= _leaves("value", self.value)
        for name, text in self.streams.items():
            lines = text.splitlines()
            found |= {f"{name}:{number}": line for number, line in enumerate(lines, 1)}
        return found | {f"files/{path}": said for path, said in self.files.items()}


def _leaves(at: str, value: JsonValue) -> dict[str, str]:
    """The values in a document by their pointers; an empty list or object is one."""
    if isinstance(value, Mapping) and value:
        inner: list[tuple[str, JsonValue]] = [(str(name), each) for name, each in value.items()]
    elif isinstance(value, list) and value:
        inner = [(str(number), each) for number, each in enumerate(value)]
    else:
        return {at: json.dumps(value, ensure_ascii=False, sort_keys=True)}
    found: dict[str, str] = {}
    for name, each in inner:
        found |= _leaves(f"{at}/{name.replace('~', '~0').replace('/', '~1')}", each)
    return found


@dataclass(frozen=True, slots=True)
class Difference:
    """One path at which the record says something else than every run."""

    where: str
    recorded: str
    again: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A record beside the runs of today.

    Attributes:
        verdict: what it comes to.
        differences: where the record says something else than all runs, which agree.
        noise: where the runs do not agree among themselves.
        left_out: parts of the record that cannot be compared, and why.
    """

    verdict: Verdict
    differences: tuple[Difference, ...]
    noise: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def document(self) -> JsonObject:
        """As JSON."""
        return {
            "verdict": self.verdict,
            "differences": [
                {"where": each.where, "recorded": each.recorded, "again": each.again}
                for each in self.differences
            ],
            "noise": list(self.noise),
            "left_out": list(self.left_out),
        }


def compared(
    recorded: Observed, again: Sequence[Observed], *, closed: Mapping[str, str] | None = None
) -> Comparison:
    """Holds a recorded run beside runs of the same call.

    Args:
        recorded: as the log has it.
        again: at least one; with one alone, every difference counts.
        closed: parts of the record (`value`, `stdout`, `files`, ...) that cannot be compared, and
            why: they were erased, too large, or had secrets replaced.
    """
    closed = closed or {}
    was = _open(recorded.parts(), closed)
    runs = [_open(each.parts(), closed) for each in again]
    differences, noise = [], []
    is_identical = True
    for where in dict.fromkeys(name for each in (was, *runs) for name in each):
        said = [each.get(where, _GONE) for each in runs]
        before = was.get(where, _GONE)
        is_identical = is_identical and set(said) == {before}
        if len(set(said)) > 1:
            noise.append(where)
        elif said[0] != before:
            differences.append(Difference(where, before[:LONG], said[0][:LONG]))
    verdict: Verdict = "diverged" if differences else "identical" if is_identical else "equal"
    left_out = tuple(f"{name}: {why}" for name, why in closed.items())
    return Comparison(verdict, tuple(differences), tuple(noise), left_out)


def _open(parts: Mapping[str, str], closed: Mapping[str, str]) -> dict[str, str]:
    return {
        where: said
        for where, said in parts.items()
        if where.split("/")[0].split(":")[0] not in closed
    }
