"""What a row of the probe table is, and how rows get into it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sandbox.probes.fixtures import Ground

Status = Literal["blocked", "open", "not_tried", "not_applicable"]
"""`not_tried` when an attempt could not be made or judged here: doubt is not a block.
`not_applicable` when there is nothing that could be attempted."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended.

    Attributes:
        status: see `Status`.
        detail: one sentence: what stopped it, what it reached, or why it does not apply.
    """

    status: Status
    detail: str


def blocked(detail: str) -> Outcome:
    """The attempt was stopped."""
    return Outcome("blocked", detail)


def opened(detail: str) -> Outcome:
    """The attempt was not stopped."""
    return Outcome("open", detail)


def not_tried(reason: str) -> Outcome:
    """Nothing can be said: the attempt itself did not come about."""
    return Outcome("not_tried", reason)


def not_applicable(reason: str) -> Outcome:
    """There is nothing to attempt here."""
    return Outcome("not_applicable", reason)


def blocked_unless(problems: object, detail: str) -> Outcome:
    """Blocked when nothing was found: an empty list or text, None or False."""
    if not problems:
        return blocked(detail)
    return opened(problems[:300] if isinstance(problems, str) else f"{problems!r:.300}")


@dataclass(frozen=True, slots=True)
class Weakness:
    """A row that a backend does not promise.

    Attributes:
        means: what an open row means for who runs jobs there.
        unless: fact of the backend with which it is promised all the same; empty for none.
    """

    means: str
    unless: Literal["", "controllers", "user_namespace"] = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """One abuse case.

    Attributes:
        number: stable, from 1.
        title: what is attempted.
        expected: what has to happen.
        without: what has to be missing for the row to be open; the tests take it away.
        run: attempts it and judges from outside where that can be done.
        absent: backend -> why the case does not apply to it.
        weak: backend -> why it may be open there.
        alone: True for an attempt that measures time and wants the machine for itself.
    """

    number: int
    title: str
    expected: str
    without: str
    run: Callable[[Ground], Awaitable[Outcome]]
    absent: Mapping[str, str] = field(default_factory=dict)
    weak: Mapping[str, Weakness] = field(default_factory=dict)
    alone: bool = False


PROBES: dict[int, Probe] = {}
"""Every case by its number."""


def probe(
    number: int,
    title: str,
    expected: str,
    *,
    without: str,
    absent: Mapping[str, str] | None = None,
    weak: Mapping[str, Weakness] | None = None,
    alone: bool = False,
) -> Callable[[Callable[[Ground], Awaitable[Outcome]]], Callable[[Ground], Awaitable[Outcome]]]:
    """Puts the decorated attempt into the table."""

    def register(
        run: Callable[[Ground], Awaitable[Outcome]],
    ) -> Callable[[Ground], Awaitable[Outcome]]:
        if number in PROBES:
            raise ValueError(f"probe {number} is in the table twice")
        PROBES[number] = Probe(
            number, title, expected, without, run, absent or {}, weak or {}, alone
        )
        return run

    return register
