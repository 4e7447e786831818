"""Which sandboxes a broker opens, and what it leaves of those it cannot use."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from engines import engine_out_of_order

from permissions.setup import sandboxes
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.setup.sandboxes import available, need_isolation
from wardline import tool

if TYPE_CHECKING:
    from pathlib import Path


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


@tool(effect="read", impact="low")
def here(text: str) -> str:
    """In this process."""
    return text


@tool(effect="read", impact="low", sandbox="process")
def there(text: str) -> str:
    """Behind a boundary."""
    return text


TABLES: dict[str, Any] = {
    "isolation": {"minimum": {"read": {"low": "none"}}},
    "shell": {"isolation": "process"},
}


@pytest.mark.parametrize(
    ("tools", "tables", "needed"),
    [
        ([here], TABLES, False),
        ([], {}, False),
        ([here, there], TABLES, True),
        ([here], {"isolation": {"minimum": {"read": {"low": "container"}}}}, True),
        ([here], {"isolation": {"minimum": {"send": {"low": "none"}}}}, True),
        ([here], {}, True),
    ],
    ids=["in process", "no tools", "declared", "by its tier", "no tier", "no table"],
)
def test_isolation_is_needed_by_a_tool_or_by_its_tier(
    tools: list[Any], tables: dict[str, Any], *, needed: bool
) -> None:
    """A tier the table does not name asks for the strongest, as the policy has it."""
    definitions = [each.guard.definition for each in tools]

    assert need_isolation(definitions, {"wardline": {"tables": tables}}) is needed


async def test_a_broker_of_tools_in_this_process_asks_no_engine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nobody takes a connection, and an engine that is silent is not waited for."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{tmp_path}/engine.sock")
        silent.listen()
        silent.settimeout(0.0)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
        config = BrokerConfig.load(state=tmp_path / "state", workspace=tmp_path)

        async with open_broker(config, [here]) as broker:
            assert broker.isolation == ("none",)
        with pytest.raises(BlockingIOError):
            silent.accept()


async def test_a_silent_engine_keeps_nobody_from_another_backend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One deadline for all of them."""
    # Ten in the product: the test would wait for all of them.
    monkeypatch.setattr(sandboxes, "DETECT_SECONDS", 3.0)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{tmp_path}/engine.sock")
        silent.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
        config = BrokerConfig.load(state=tmp_path, sandbox={"backends": ("docker",)})
        with anyio.fail_after(30):
            async with AsyncExitStack() as stack:
                assert await available(config, stack) == {}
