"""A whole broker in memory, for tests of tools, policies and denials. It protects nothing."""

from __future__ import annotations

from permissions.testing import (
    FixedClock,
    MemoryBroker,
    NumberedIds,
    Person,
    asking,
    denied,
    memory_broker,
    permitted,
)

__all__ = [
    "FixedClock",
    "MemoryBroker",
    "NumberedIds",
    "Person",
    "asking",
    "denied",
    "memory_broker",
    "permitted",
]
