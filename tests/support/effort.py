"""How much a test tries: all of it in the full run, a share of it in the quick one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

T = TypeVar("T")

SHARE = 5


def tries(full: int) -> int:
    """That many in the full profile, `SHARE` times as many in the deep one.

    In the quick one a `SHARE`-th of them, at least 5.
    """
    match settings.get_current_profile_name():
        case "full":
            return full
        case "deep":
            return SHARE * full
    return min(full, max(full // SHARE, 5))


def sampled(
    cases: Iterable[T], quick: Collection[str], *, named: Callable[[T], str]
) -> list[object]:
    """Every case; those that `quick` does not name are marked slow.

    Raises:
        AssertionError: `quick` names a case there is not.
    """
    cases = list(cases)
    assert set(quick) <= {named(case) for case in cases}
    return [
        pytest.param(case, marks=() if named(case) in quick else pytest.mark.slow)
        for case in cases
    ]
