"""Every sandbox backend keeps the contract of conversations, and leaves nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from backends import REPEATED, leftovers

from sandbox.conformance.conversations import CONVERSATION_CHECKS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sandbox import Sandbox


@pytest.mark.slow
@pytest.mark.parametrize("sandbox", REPEATED, indirect=True)
@pytest.mark.parametrize("check", CONVERSATION_CHECKS.values(), ids=CONVERSATION_CHECKS.keys())
async def test_conforms(sandbox: Sandbox, check: Callable[[Sandbox], Awaitable[None]]) -> None:
    await check(sandbox)

    assert leftovers() == []
