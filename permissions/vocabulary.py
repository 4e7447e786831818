"""The closed vocabularies of the contract, and the names of plain JSON shapes.

Apart from `model` so that decorating a function loads no model library.
"""

from __future__ import annotations

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
Evidence = Literal["buffered", "durable"]
Trust = Literal["trusted", "untrusted"]
WorkspaceUse = Literal["copy", "overlay"]
"""How a sandboxed tool meets its workspace: by copies of the files its arguments name, or by a
layer over the whole of it."""

ISOLATION_ORDER: tuple[Isolation, ...] = ("none", "process", "container", "kernel")


def stronger_isolation(one: Isolation, other: Isolation) -> Isolation:
    """The stronger of two boundaries, so that two demands can only add up."""
    return max(one, other, key=ISOLATION_ORDER.index)
