"""Whose calls a stop bars."""

from __future__ import annotations

from typing import Any

import pytest

from permissions.errors import StateError
from permissions.stops.scope import Scope

CALL: dict[str, Any] = {"runs": ["child", "root"], "agents": ["helper", "bot"], "tool": "mail"}


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        (Scope("run", "child"), True),
        (Scope("run", "root"), True),
        (Scope("run", "bot"), False),
        (Scope("agent", "helper"), True),
        (Scope("agent", "bot"), True),
        (Scope("agent", "Bot"), False),
        (Scope("tool", "mail"), True),
        (Scope("tool", "mai"), False),
        (Scope("all"), True),
    ],
    ids=str,
)
def test_a_scope_covers_its_own(scope: Scope, covered: bool) -> None:  # noqa: FBT001
    assert scope.covers(**CALL) is covered


@pytest.mark.parametrize(
    ("kind", "name"),
    [("run", ""), ("tool", "a\nb"), ("agent", "x" * 513), ("all", "everything")],
)
def test_a_name_says_something(kind: Any, name: str) -> None:
    with pytest.raises(StateError, match=r"needs its name|has no name"):
        Scope(kind, name)
