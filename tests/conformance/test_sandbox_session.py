"""Both sandbox backends keep the contract of sessions, and leave nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from backends import leftovers

from sandbox.conformance.sessions import SESSION_CHECKS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sandbox import Sandbox


@pytest.mark.parametrize("check", SESSION_CHECKS.values(), ids=SESSION_CHECKS.keys())
async def test_conforms(sandbox: Sandbox, check: Callable[[Sandbox], Awaitable[None]]) -> None:
    """Each check of the contract; what its sessions were is gone with them."""
    await check(sandbox)

    assert leftovers() == []
