"""One world per form, so that every hazard is met in each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from graphs import FORMS, Form, World

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=FORMS, ids="-".join)
def form(request: pytest.FixtureRequest) -> Form:
    return request.param


@pytest.fixture
def world(form: Form, tmp_path: Path) -> World:
    return World(form, tmp_path)
