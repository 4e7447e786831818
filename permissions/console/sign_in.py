"""The pages on which somebody signs in and out.

A link is used by pressing a button and not by opening it: programs that look into messages open
what they find there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.console.visit import cookie_name
from permissions.errors import SignInError
from permissions.logs import get_logger

if TYPE_CHECKING:
    from starlette.responses import Response

    from permissions.console.visit import Visit

_log = get_logger("console.sign_in")
_LINK = 100


async def ask(visit: Visit) -> Response:
    """The page that asks for a link or a passkey."""
    if visit.session is not None:
        return visit.to("/")
    return visit.page("sign_in.html", secret=visit.asked("link")[:_LINK], problem="")


async def enter(visit: Visit) -> Response:
    """Uses a link."""
    fields = await visit.form()
    try:
        secret, session = await visit.parts.sign_ins.enter(
            fields.get("link", "")[:_LINK], visit.browser
        )
    except SignInError as err:
        _log.warning("sign_in_refused", by="link")
        return visit.page("sign_in.html", status=403, secret="", problem=str(err))
    _log.info("signed_in", name=session.name, role=session.role, by="link")
    return visit.sign_in(visit.to("/me" if session.enrols else "/"), secret)


async def leave(visit: Visit) -> Response:
    """Signs out, in this browser."""
    await visit.form()
    await visit.parts.sign_ins.end(visit.who)
    _log.info("signed_out", name=visit.who.name)
    response = visit.to("/sign-in")
    response.delete_cookie(cookie_name(visit.parts), path=visit.parts.prefix or "/")
    return response
