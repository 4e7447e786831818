"""The closed vocabularies of the contract, and the names of plain JSON shapes.

Apart from `model` so that decorating a function loads no model library.
"""

from __future__ import annotations

import unicodedata
from typing import Any, Literal, NewType, TypeAlias

JsonValue: TypeAlias = Any
"""Any value of RFC 8259 JSON as Python objects; `Any` because mypy has no recursive JSON."""
JsonObject: TypeAlias = dict[str, Any]

Digest = NewType("Digest", str)
"""`sha256:` and 64 lowercase hex digits, over canonical bytes (RFC 8785)."""

Effect = Literal["read", "write", "send", "execute", "irreversible"]
Impact = Literal["low", "medium", "high", "critical"]
Isolation = Literal["none", "process", "container", "kernel"]
"""Boundaries in rising order; see `stronger_isolation`."""
Evidence = Literal["buffered", "written", "start-durable", "durable", "replicated", "witnessed"]
"""What has to be on record, and where, before a tool runs and before its result is given away:
`buffered` nothing (all of it follows within 50 ms), `written` both in the kernel, `start-durable`
the start on disk, `durable` both on disk, `replicated` both on a second disk as well, `witnessed`
that and cosigned by as many witnesses as the settings ask for."""
Barrier = Literal["buffered", "written", "durable", "replicated", "witnessed"]
"""What one append to the record waits for: nothing, the kernel, the disk, the second disk (where
there is one), the witnesses."""
Trust = Literal["trusted", "untrusted"]
WorkspaceUse = Literal["copy", "overlay"]
"""How a sandboxed tool meets its workspace: by copies of the files its arguments name, or by a
layer over the whole of it."""

ISOLATION_ORDER: tuple[Isolation, ...] = ("none", "process", "container", "kernel")


def stronger_isolation(one: Isolation, other: Isolation) -> Isolation:
    """The stronger of two boundaries, so that two demands can only add up."""
    return max(one, other, key=ISOLATION_ORDER.index)


_BARRIERS: dict[Evidence, tuple[Barrier, Barrier]] = {
    "buffered": ("buffered", "buffered"),
    "written": ("written", "written"),
    "start-durable": ("durable", "buffered"),
    "durable": ("durable", "durable"),
    "replicated": ("replicated", "replicated"),
    "witnessed": ("witnessed", "witnessed"),
}
_BARRIER_ORDER: tuple[Barrier, ...] = (
    "buffered",
    "written",
    "durable",
    "replicated",
    "witnessed",
)


def barrier_before(level: Evidence) -> Barrier:
    """What the record waits for before something with an effect is done."""
    return _BARRIERS[level][0]


def barrier_after(level: Evidence) -> Barrier:
    """What the record waits for before it is told what came of it."""
    return _BARRIERS[level][1]


def stronger_evidence(one: Evidence, other: Evidence) -> Evidence:
    """The weakest level that gives what both give: of `written` and `start-durable`, `durable`."""
    rank = _BARRIER_ORDER.index
    asked = [_BARRIERS[one], _BARRIERS[other]]
    wanted = tuple(max(barriers, key=rank) for barriers in zip(*asked, strict=True))
    return next(
        level
        for level, given in _BARRIERS.items()
        if all(rank(g) >= rank(w) for g, w in zip(given, wanted, strict=True))
    )


def is_same_person(principal: str, approver: str) -> bool:
    """Whether a principal, as `user:Alice`, may be the approver of that id.

    Ids of approvers are lower-case ASCII; a principal may be written in other letters that only
    look different.
    """
    name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", principal).casefold())
    while name.strip().startswith("user:"):
        name = name.strip().removeprefix("user:")
    return name.strip() == approver
