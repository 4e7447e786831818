"""Who a client of the gateway acts for: OAuth access tokens for this resource, and no others.

A token counts when the named authorization server issued it for this very gateway (`aud`, the
resource of RFC 8707), it is of today, and it says for whom (`sub`) it is. Signed ones (RFC 9068)
are checked by the server's public keys, others by asking it (RFC 7662). No token, nor any part
of one, is ever given to an upstream.

Not protected from: a token that was stolen, until it expires.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import httpx2
import jwt
from mcp.server.auth.provider import AccessToken

from permissions.errors import ConfigError
from permissions.logs import get_logger
from permissions.run.state import require_shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from permissions.vocabulary import JsonObject

_log = get_logger("gateway.tokens")

ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA")
"""Of signatures that only the issuer makes; nothing with a shared secret."""
MAX_TOKEN = 16 * 1024
MAX_ANSWER = 1024 * 1024
ASK_SECONDS = 10.0
KEYS_FOR_SECONDS = 600.0
"""Keys are asked for again after that, and when one is unknown, but not more often than"""
AGAIN_SECONDS = 15.0
LEEWAY_SECONDS = 30


class Claims(Protocol):
    """Reads what a token says, once it is known who said it."""

    async def of(self, token: str) -> Mapping[str, Any] | None:
        """Its claims; None for a token that does not count."""
        ...


class Signed:
    """`Claims` of JWTs, by the public keys of the server that signs them.

    Args:
        url: of its keys (JWKS).
        client: asks for them.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        url: str,
        client: httpx2.AsyncClient,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._client = client
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._asked_at = float("-inf")
        self._asking = anyio.Lock()

    async def of(self, token: str) -> Mapping[str, Any] | None:
        """See `Claims`. What it claims is checked by `Tokens`."""
        try:
            header = jwt.get_unverified_header(token)
            algorithm, name = header.get("alg"), str(header.get("kid", ""))
            if algorithm not in ALGORITHMS:
                return None
            key = await self._key(name)
            if key is None or key.algorithm_name != algorithm:
                return None
            # Times and names are checked by `Tokens`, for both kinds.
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                options={
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_aud": False,
                    "verify_iss": False,
                    "verify_sub": False,
                    "verify_jti": False,
                },
            )
        except jwt.PyJWTError:
            return None
        return claims

    async def _key(self, name: str) -> jwt.PyJWK | None:
        async with self._asking:
            age = self._clock() - self._asked_at
            if age > KEYS_FOR_SECONDS or (name not in self._keys and age > AGAIN_SECONDS):
                self._asked_at = self._clock()
                self._keys = await self._asked()
        return self._keys.get(name)

    async def _asked(self) -> dict[str, jwt.PyJWK]:
        try:
            document = await _json(self._client, "GET", self._url)
            keys = jwt.PyJWKSet.from_dict(document).keys
        except (httpx2.HTTPError, ValueError, jwt.PyJWTError) as err:
            _log.warning("token_keys_missing", fault=type(err).__name__)
            return {}
        found: dict[str, jwt.PyJWK] = {}
        for key in keys:
            if key.key_id is not None and key.key_type != "oct":
                found[key.key_id] = key
        return found


class Introspected:
    """`Claims` of any token, by asking the server that issued it.

    Args:
        url: where it answers (RFC 7662).
        client: asks it, with the gateway's own credentials.
    """

    def __init__(self, url: str, client: httpx2.AsyncClient) -> None:
        self._url = url
        self._client = client

    async def of(self, token: str) -> Mapping[str, Any] | None:
        """See `Claims`."""
        asked = {"token": token, "token_type_hint": "access_token"}
        try:
            claims = await _json(self._client, "POST", self._url, data=asked)
        except (httpx2.HTTPError, ValueError) as err:
            _log.warning("token_not_introspected", fault=type(err).__name__)
            return None
        return claims if claims.get("active") is True else None


async def _json(
    client: httpx2.AsyncClient, method: str, url: str, **options: Any
) -> JsonObject:
    async with client.stream(method, url, timeout=ASK_SECONDS, **options) as answer:
        answer.raise_for_status()
        body = b""
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > MAX_ANSWER:
                raise ValueError("an answer of that length is none")
    found = httpx2.Response(200, content=body).json()
    if not isinstance(found, dict):
        raise ValueError("the answer is no object")  # noqa: TRY004 - as of any other bad answer
    return found


class Tokens:
    """The protocol library's `TokenVerifier`.

    Args:
        claims: reads tokens.
        issuer: the authorization server, exactly as tokens name it.
        resource: what they have to be for: the gateway's own URL.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        claims: Claims,
        *,
        issuer: str,
        resource: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._claims = claims
        self._issuer = issuer
        self._resource = resource
        self._clock = clock

    async def verify_token(self, token: str) -> AccessToken | None:
        """Whose it is; None for a token that does not count, whatever is wrong with it."""
        if len(token) > MAX_TOKEN:
            return None
        claims = await self._claims.of(token)
        if claims is None or not self._counts(claims):
            return None
        scope = claims.get("scope", "")
        client = claims.get("client_id") or claims.get("azp") or ""
        if not isinstance(scope, str) or not isinstance(client, str):
            return None
        return AccessToken(
            token="",  # nobody behind this point needs it
            client_id=client,
            scopes=scope.split(),
            expires_at=int(claims["exp"]),
            resource=self._resource,
            subject=claims["sub"],
            claims={"iss": self._issuer},
        )

    def _counts(self, claims: Mapping[str, Any]) -> bool:
        now = self._clock()
        expires, begins = claims.get("exp"), claims.get("nbf", 0)
        for each in (expires, begins):
            if isinstance(each, bool) or not isinstance(each, int | float):
                return False
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else audience
        subject = claims.get("sub")
        return (
            claims.get("iss") == self._issuer
            and isinstance(audiences, list)
            and self._resource in audiences
            and expires is not None
            and expires > now
            and begins <= now + LEEWAY_SECONDS
            and isinstance(subject, str)
            and _is_name(subject)
            and _is_name(str(claims.get("client_id") or claims.get("azp") or "client"))
        )


def _is_name(text: str) -> bool:
    """Whether a person who reads it sees whose name it is."""
    try:
        require_shown("user", text)
    except ConfigError:
        return False
    return bool(text) and len(text) <= 256
