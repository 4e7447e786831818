"""A console over a broker in memory, its record in the test's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from console_desk import console_desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from console_desk import Desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with console_desk(tmp_path) as opened:
        yield opened
