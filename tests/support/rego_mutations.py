"""Questions with a fault: a member gone, replaced, of another kind, or of another spelling."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from permissions.model import JsonObject

TEXTS = [
    *(
        "",
        "x",
        "read",
        "write",
        "send",
        "low",
        "high",
        "critical",
        "none",
        "tool",
        "EUR",
        "eur",
    ),
    *(
        "untrusted",
        "é",
        "İ",
        "日本",
        "🎉",
        "e\u0301",
        "\u200b",
        "\u0000",
        ".",
        "..",
        "/",
        "a/b",
    ),
    *("/srv/desk", "/srv/desk/a", "AGENTS.md", "agents.md", ".GIT", "A.PEM", "a.pem ", "x.key"),
    *("user:alice", "alice", "clerk", "operators", "security", "sha256:a", "10.0.0.5"),
    *("localhost", "LOCALHOST", "metadata.google.internal", "a.internal.", "api.example.com"),
    *("global", "unknown", "plan", "process", "kernel", "GET", "get", "sudo", "SUDO", "ls"),
    *("calls", "amount_eur", "amount_EUR", "amount_", "<undefined>", "a" * 2000),
]
NUMBERS = [
    *(0, 1, -1, 2, 0.5, 1.0, -0.0, 1e3, 1e308, -1e308, 5e-324, 2**53 - 1, 2**53, 2**53 + 1),
    *(2**63 - 1, -(2**63), 98000, 10**6, 10**6 + 1, 1795500000000, 1e15, 0.1),
]


def mutated(rng: random.Random, document: JsonObject, faults: int) -> JsonObject:
    """A copy with so many faults."""
    found = copy.deepcopy(document)
    for _ in range(faults):
        slots = list(_slots(found))
        if slots:
            _spoil(rng, slots)
    return found


def _slots(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else ()
    pairs = enumerate(value) if isinstance(value, list) else pairs
    for key, member in pairs:
        yield value, key
        yield from _slots(member)


def _spoil(rng: random.Random, slots: list[tuple[Any, Any]]) -> None:
    holder, key = rng.choice(slots)
    chance = rng.random()
    value = holder[key]
    if chance < 0.2:
        del holder[key]
    elif chance < 0.5:
        holder[key] = _junk(rng)
    elif chance < 0.6:
        other, its = rng.choice(slots)
        holder[key] = copy.deepcopy(other[its])
    elif chance < 0.7 and isinstance(holder, dict):
        holder[rng.choice(TEXTS)] = _junk(rng)
    elif chance < 0.8 and isinstance(value, str):
        spellings = (
            value.upper(),
            f"{value} ",
            f"{value}/",
            value.swapcase(),
            f"\u200b{value}",
        )
        holder[key] = rng.choice(spellings)
    elif chance < 0.9 and isinstance(holder, list):
        holder.append(copy.deepcopy(value))
    else:
        holder[key] = rng.choice(TEXTS)


def _junk(rng: random.Random, depth: int = 0) -> Any:
    chance = rng.random()
    if chance < 0.35:
        return rng.choice(TEXTS)
    if chance < 0.6:
        return rng.choice(NUMBERS)
    if chance < 0.75 or depth > 2:
        return rng.choice([None, True, False])
    if chance < 0.88:
        return [_junk(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(TEXTS): _junk(rng, depth + 1) for _ in range(rng.randrange(4))}
