"""Which access tokens count: signed by the issuer, for this gateway, of today, for somebody."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from permissions.gateway.tokens import AGAIN_SECONDS, Introspected, Signed, Tokens

if TYPE_CHECKING:
    from mcp.server.auth.provider import AccessToken

ISSUER, RESOURCE = "https://login.example", "https://mcp.example/mcp"
NOW = 1_800_000_000
KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
GOOD: dict[str, Any] = {
    "iss": ISSUER,
    "aud": RESOURCE,
    "sub": "alice",
    "client_id": "desk",
    "scope": "tools read",
    "exp": NOW + 300,
    "nbf": NOW - 5,
}


def public(key: Ed25519PrivateKey, name: str = "k1") -> dict[str, Any]:
    document: dict[str, Any] = jwt.algorithms.OKPAlgorithm.to_jwk(
        key.public_key(), as_dict=True
    )
    return {**document, "kid": name, "alg": "EdDSA"}


def signed(claims: dict[str, Any], *, key: Ed25519PrivateKey = KEY, kid: str = "k1") -> str:
    return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": kid, "typ": "at+jwt"})


class Issuer:
    """Answers as an authorization server, over HTTP without a network."""

    def __init__(self, answer: Any, status: int = 200) -> None:
        self.answer, self.status = answer, status
        self.requests: list[httpx2.Request] = []
        self.client = httpx2.AsyncClient(transport=httpx2.MockTransport(self.respond))

    def respond(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return httpx2.Response(self.status, json=self.answer)


def tokens(issuer: Issuer) -> Tokens:
    claims = Signed("https://login.example/jwks", issuer.client, clock=lambda: 1000.0)
    return Tokens(claims, issuer=ISSUER, resource=RESOURCE, clock=lambda: NOW)


async def verified(token: str, answer: Any = None, status: int = 200) -> AccessToken | None:
    keys = {"keys": [public(KEY)]} if answer is None else answer
    return await tokens(Issuer(keys, status)).verify_token(token)


async def test_a_good_token_says_whose_it_is_and_is_not_passed_on() -> None:
    found = await verified(signed(GOOD))

    assert found is not None
    assert (found.subject, found.client_id, found.resource) == ("alice", "desk", RESOURCE)
    assert found.scopes == ["tools", "read"]
    assert found.token == ""


async def test_one_of_several_audiences_is_enough() -> None:
    assert await verified(signed({**GOOD, "aud": ["https://other.example", RESOURCE]}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"aud": "https://other.example/mcp"},
        {"aud": RESOURCE + "/deeper"},
        {"aud": []},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": ISSUER + "/"},
        {"exp": NOW - 1},
        {"exp": str(NOW + 300)},
        {"exp": True},
        {"exp": None},
        {"nbf": NOW + 3600},
        {"sub": ""},
        {"sub": 7},
        {"sub": "ali\u202ece"},
        {"sub": "a" * 300},
        {"client_id": "de\nsk"},
        {"scope": ["tools"]},
    ],
    ids=lambda wrong: (
        "-".join(f"{k}={v!s:.24}" for k, v in wrong.items()).encode("ascii", "replace").decode()
    ),
)
async def test_a_token_with_a_claim_that_does_not_count_is_refused(
    wrong: dict[str, Any],
) -> None:
    claims = {key: value for key, value in {**GOOD, **wrong}.items() if value is not None}

    assert await verified(signed(claims)) is None


def unsigned() -> str:
    return jwt.encode(GOOD, None, algorithm="none")


def with_public_key_as_secret() -> str:
    """The old confusion: the public key, which all have, as the key of an HMAC."""

    def part(value: dict[str, Any]) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    said = part({"alg": "HS256", "kid": "k1"}) + b"." + part(GOOD)
    key = base64.urlsafe_b64decode(public(KEY)["x"] + "==")
    mark = base64.urlsafe_b64encode(hmac.new(key, said, hashlib.sha256).digest()).rstrip(b"=")
    return (said + b"." + mark).decode()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "no token",
        "a.b.c",
        unsigned(),
        with_public_key_as_secret(),
        signed(GOOD, key=OTHER),
        signed(GOOD, kid="k2"),
        signed(GOOD)[:-4] + "AAAA",
        "x" * 100_000,
    ],
    ids=["empty", "text", "parts", "none", "hmac", "forged", "unknown-key", "flipped", "huge"],
)
async def test_what_the_issuer_did_not_sign_is_refused(token: str) -> None:
    assert await verified(token) is None


@pytest.mark.parametrize(
    ("answer", "status"),
    [({}, 200), ([], 200), ({"keys": "x"}, 200), ({"keys": []}, 200), ({"keys": []}, 500)],
    ids=["empty", "list", "text", "none", "error"],
)
async def test_without_keys_nothing_counts(answer: Any, status: int) -> None:
    assert await verified(signed(GOOD), answer, status) is None


async def test_unknown_keys_are_asked_for_again_and_not_at_each_token() -> None:
    issuer, now = Issuer({"keys": [public(KEY)]}), [1000.0]
    claims = Signed("https://login.example/jwks", issuer.client, clock=lambda: now[0])
    verifier = Tokens(claims, issuer=ISSUER, resource=RESOURCE, clock=lambda: NOW)

    for _ in range(5):
        assert await verifier.verify_token(signed(GOOD, key=OTHER, kid="k2")) is None
    assert len(issuer.requests) == 1
    issuer.answer = {"keys": [public(KEY), public(OTHER, "k2")]}
    now[0] += AGAIN_SECONDS + 1

    assert await verifier.verify_token(signed(GOOD, key=OTHER, kid="k2")) is not None
    assert len(issuer.requests) == 2


@pytest.mark.parametrize(
    ("answer", "status", "counts"),
    [
        ({**GOOD, "active": True}, 200, True),
        ({**GOOD, "active": False}, 200, False),
        (GOOD, 200, False),
        ({**GOOD, "active": "true"}, 200, False),
        ({**GOOD, "active": True, "aud": "https://other.example"}, 200, False),
        ({**GOOD, "active": True}, 500, False),
        ([], 200, False),
    ],
    ids=["active", "inactive", "unsaid", "text", "audience", "error", "list"],
)
async def test_an_opaque_token_counts_when_its_issuer_says_so(
    answer: Any, status: int, *, counts: bool
) -> None:
    issuer = Issuer(answer, status)
    claims = Introspected("https://login.example/introspect", issuer.client)
    verifier = Tokens(claims, issuer=ISSUER, resource=RESOURCE, clock=lambda: NOW)

    found = await verifier.verify_token("opaque")

    assert (found is not None) is counts
    assert issuer.requests[0].read() == b"token=opaque&token_type_hint=access_token"
