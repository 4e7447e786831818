"""Which sandboxes a broker opens, and what it leaves of those it cannot use."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from engines import engine_out_of_order

from permissions.setup.config import BrokerConfig
from permissions.setup.sandboxes import available

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_an_engine_that_cannot_be_used_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While the broker goes on without it, not when the broker ends."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    config = BrokerConfig.load(state=tmp_path, sandbox={"backends": ("docker",)})

    with engine_out_of_order(tmp_path / "engine.sock", fails="/images/") as engine:
        async with AsyncExitStack() as stack:
            assert await available(config, stack) == {}

            assert engine.begun > 0
            assert engine.has_been_left()
