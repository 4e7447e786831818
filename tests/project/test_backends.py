"""Async tests run on asyncio, and on trio too where they ask for it."""

from __future__ import annotations

import pytest
import sniffio


async def test_async_tests_run_on_asyncio_by_default() -> None:
    """An async test without a mark runs once, on asyncio."""
    assert sniffio.current_async_library() == "asyncio"


@pytest.mark.both_backends
async def test_both_backends_run_a_test_on_each(anyio_backend: str) -> None:
    """A test marked `both_backends` runs on asyncio and on trio."""
    assert sniffio.current_async_library() == anyio_backend
