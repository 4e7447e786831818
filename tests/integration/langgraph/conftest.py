"""One world per form, so that every hazard is met in each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from effort import sampled
from graphs import FORMS, Form, World

from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


QUICK = {"sync-sync-sync", "async-async-async"}


@pytest.fixture(params=sampled(FORMS, QUICK, named="-".join), ids="-".join)
def form(request: pytest.FixtureRequest) -> Form:
    return request.param


@pytest.fixture
def world(form: Form, tmp_path: Path) -> Iterator[World]:
    """Whatever happens in it, its trace has to be whole in the end."""
    world = World(form, tmp_path)
    yield world
    if (trace := tmp_path / "state" / "trace").exists():
        report = verify_trace(trace)
        assert report.is_intact, report.integrity
        assert report.completeness.is_whole, report.completeness
