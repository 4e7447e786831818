"""What the full run leaves out or puts first, so that it takes no longer than it has to."""

from __future__ import annotations

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("case", ["first", "second", "third"])
def test_one_case_of_a_slow_test_counts_for_coverage(
    case: str, request: pytest.FixtureRequest
) -> None:
    alike = [
        item
        for item in request.session.items
        if item.path == request.path and item.name.startswith(request.node.originalname)
    ]
    counted = [item for item in alike if item.get_closest_marker("unmeasured") is None]

    assert request.node.name.endswith(f"[{case}]")
    assert len(counted) == 1


def test_a_worker_begins_with_what_is_long(request: pytest.FixtureRequest) -> None:
    """Otherwise the last worker would sit at the end of a run with one."""
    if not hasattr(request.config, "workerinput"):
        return
    long = [
        any(item.get_closest_marker(name) for name in ("slow", "hypothesis"))
        for item in request.session.items
    ]

    assert long == sorted(long, reverse=True)
