"""Who asks over HTTP: the client that a bearer token is good for (RFC 6750)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.errors import ServiceError
from permissions.service.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from permissions.service.clients import Client, Clients


class BearerTokens:
    """Tells clients by their tokens.

    Args:
        clients: those of the settings, by now.
        client_of: the name of the client that a token is good for now; None for none.
    """

    def __init__(
        self,
        clients: Callable[[], Clients],
        client_of: Callable[[str], Awaitable[str | None]],
    ) -> None:
        self._clients = clients
        self._client_of = client_of

    async def client(self, request: Request) -> Client:
        """Who sent a request.

        Raises:
            Problem: 401, nobody known did.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            said = "send the header `Authorization: Bearer TOKEN`; see wardline service token"
            raise Problem(401, said, headers={"WWW-Authenticate": "Bearer"})
        try:
            return self._clients().of_token(await self._client_of(token.strip()))
        except ServiceError as err:
            invalid = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise Problem(401, str(err), headers=invalid) from err
