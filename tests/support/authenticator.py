"""A software authenticator: what a browser and a passkey do together, with real signatures.

It makes ES256 keys and signs what WebAuthn Level 3 says (section 6.1 and 6.3). It is no part of the
project's code and shares none with it. Each way in which it can misbehave is an argument.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Authenticator:
    """Holds one passkey."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.credential = secrets.token_bytes(32)

    def create(
        self, options: dict[str, Any], origin: str, *, verified: bool = True
    ) -> dict[str, Any]:
        """What `navigator.credentials.create` gives, as JSON."""
        client = self._client("webauthn.create", options["challenge"], origin)
        numbers = self._key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        data = self._data(options["rp"]["id"], ATTESTED, verified=verified) + (
            bytes(16) + len(self.credential).to_bytes(2) + self.credential + cbor2.dumps(cose)
        )
        attested = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        response = {"clientDataJSON": b64(client), "attestationObject": b64(attested)}
        return self._credential(response)

    def get(
        self,
        options: dict[str, Any],
        origin: str,
        *,
        verified: bool = True,
        kind: str = "webauthn.get",
        rp_id: str | None = None,
        **client: Any,
    ) -> dict[str, Any]:
        """What `navigator.credentials.get` gives, as JSON."""
        said = self._client(kind, options["challenge"], origin, **client)
        data = self._data(rp_id or options["rpId"], 0, verified=verified)
        signature = self._key.sign(data + hashlib.sha256(said).digest(), ec.ECDSA(SHA256()))
        return self._credential(
            {
                "clientDataJSON": b64(said),
                "authenticatorData": b64(data),
                "signature": b64(signature),
            }
        )

    def _client(self, kind: str, challenge: str, origin: str, **more: Any) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": False}
        return json.dumps(said | more).encode()

    def _data(self, rp_id: str, flags: int, *, verified: bool) -> bytes:
        flags |= PRESENT | (VERIFIED if verified else 0)
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + bytes(4)

    def _credential(self, response: dict[str, str]) -> dict[str, Any]:
        name = b64(self.credential)
        return {
            "id": name,
            "rawId": name,
            "type": "public-key",
            "response": response,
            "clientExtensionResults": {},
        }
