"""What packages in the shadow would have done, on the Policies page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from permissions.console import record
from permissions.model import Decision, ShadowAnswer
from permissions.sessions.open import open_session
from permissions.tools.call import ToolCall
from wardline.testing import denied

if TYPE_CHECKING:
    import pytest
    from console_desk import Desk

    from permissions.model import JsonObject


@dataclass
class Beside:
    """The decision point of the desk, and one in the shadow that denies all."""

    inner: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def evaluate(self, question: JsonObject, **more: Any) -> Decision:
        found = await self.inner.evaluate(question, **more)
        would = Decision.from_response(
            denied("mail.strict", operator="<b>mail</b> of nobody known")
        )
        return replace(found, shadow=ShadowAnswer.beside(found, would))


async def read(desk: Desk, times: int) -> None:
    async with open_session(desk.broker, user="alice", agent="clerk") as session:
        for number in range(times):
            await desk.broker.call(session, ToolCall("read_mail", {"number": str(number)}))


async def test_the_page_says_what_would_change_in_the_newest_calls(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = desk.broker.parts
    async with desk.browser("operator", "omar") as browser:
        await read(desk, 1)
        before = (await browser.get("/policies")).text
        desk.broker.parts = replace(parts, pdp=Beside(parts.pdp))
        await read(desk, 4)
        all_of_them = (await browser.get("/policies")).text
        # The product's bound would need hundreds of calls; what is tried is what lies beyond it.
        monkeypatch.setattr(record, "SHADOW_CALLS", 2)
        newest = (await browser.get("/policies")).text

    assert "No rule in the shadow spoke" in before
    assert "4 allowed → denied" in all_of_them
    assert "mail.strict" in all_of_them
    assert "&lt;b&gt;mail" in all_of_them
    assert "<b>mail" not in all_of_them
    assert "2 allowed → denied" in newest
