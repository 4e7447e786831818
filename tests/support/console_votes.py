"""Answers in the console as its page's script gives them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from console_desk import ORIGIN, token_in

if TYPE_CHECKING:
    import httpx
    from authenticator import Authenticator

    from permissions.approval.model import AccessRequest


async def form_of(browser: httpx.AsyncClient, request: AccessRequest) -> dict[str, str]:
    """The fields of the page's form."""
    page = (await browser.get(f"/requests/{request.id}")).text
    shown = page.partition('name="shown" value="')[2].partition('"')[0]
    return {"token": token_in(page), "shown": shown, "note": "", "verdict": "approve"}


async def answer(
    browser: httpx.AsyncClient, request: AccessRequest, device: Authenticator, **fields: str
) -> httpx.Response:
    """Answers as the page's script does; gives the answer of whichever step refused, or the last."""
    form = {**await form_of(browser, request), **fields}
    begun = await browser.post(
        f"/requests/{request.id}/vote/begin", data=form, headers={"accept": "application/json"}
    )
    if begun.status_code != 200:
        return begun
    return await finish(browser, request, device, form, begun.json())


async def finish(
    browser: httpx.AsyncClient,
    request: AccessRequest,
    device: Authenticator,
    form: dict[str, str],
    begun: Any,
) -> httpx.Response:
    credential = json.dumps(device.get(begun["options"], ORIGIN))
    return await browser.post(
        f"/requests/{request.id}/vote/finish",
        data={**form, "state": begun["state"], "credential": credential},
        headers={"accept": "application/json"},
    )
