"""What people signed, checked from "Who answered what" of docs/reference/trace-format.md alone.

It belongs to `second_verifier`, and like that shares no code with the broker.
"""

from __future__ import annotations

import base64
import hashlib
import json
import unicodedata
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key


class DoesNotFitError(Exception):
    """The log is not what was signed, or not in the form of the page."""


def fits(condition: object, said: str) -> None:
    if not condition:
        raise DoesNotFitError(said)


def b64(text: object) -> bytes:
    fits(isinstance(text, str), "base64 is no text")
    try:
        raw = base64.b64decode(str(text), validate=True)
    except ValueError as err:
        raise DoesNotFitError("not base64") from err
    fits(base64.b64encode(raw).decode() == text, "base64 is not canonical")
    return raw


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def unproven(
    voters: list[dict[str, Any]],
    envelopes: list[dict[str, Any]],
    said: list[dict[str, Any]],
    asked: dict[str, Any] | None,
) -> list[str]:
    found = []
    if [each["approver"] for each in voters] != [each["approver"] for each in said]:
        found.append("approval names other voters")
    staged = [] if asked is None else asked["terms"].get("stages", [])
    turns = [number for number, each in enumerate(staged) for _ in range(each["quorum"])]
    for vote, (voter, envelope) in enumerate(zip(voters, envelopes, strict=False)):
        if not signed_by(voter["key"], envelope):
            found.append("approval rests on an answer its voter did not sign")
        if asked is None:
            continue
        names = [asked["subject"], asked["on_behalf_of"] or ""]
        plain = [unicodedata.normalize("NFKC", each).casefold() for each in names]
        barred = voter["approver"] in [each.removeprefix("user:").strip() for each in plain]
        terms = asked["terms"]
        turn = turns[min(vote, len(turns) - 1)] if turns else None
        groups = terms["approvers"] if turn is None else staged[turn]["approvers"]
        if not set(voter["groups"]) & set(groups) or (barred and terms["separation_of_duties"]):
            found.append("approval rests on somebody who may not answer")
    if asked is not None:
        people = min(len({each[member] for each in voters}) for member in ("approver", "key"))
        if people < asked["terms"]["quorum"]:
            found.append("approval rests on too few")
    return found


def out_of_order(
    raws: list[bytes], said: list[dict[str, Any]], terms: dict[str, Any]
) -> list[str]:
    stages = terms.get("stages")
    for number, each in enumerate(said):
        wanted: tuple[Any, Any] = (None, None)
        if stages:
            first = 0
            for stage, group in enumerate(stages):
                if number < first + group["quorum"] or stage == len(stages) - 1:
                    break
                first += group["quorum"]
            earlier = ["sha256:" + sha256(raw).hex() for raw in raws[:first]]
            wanted = stage, "sha256:" + sha256(rfc8785.dumps(earlier)).hex()
        if (each.get("stage"), each.get("after")) != wanted:
            return ["approval rests on an answer out of its order"]
    return []


def signed_by(key: str, envelope: dict[str, Any]) -> bool:
    kind, payload = envelope["payloadType"].encode(), b64(envelope["payload"])
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    for each in envelope["signatures"]:
        sig = b64(each["sig"])
        try:
            if not key.startswith("passkey:"):
                Ed25519PublicKey.from_public_bytes(b64(key)).verify(sig, signed)
                return True
            public = json.loads(b64(key.removeprefix("passkey:")))
            data, client = (
                b64(each["webauthn"][m]) for m in ("authenticator_data", "client_data")
            )
            told = json.loads(client)
            over = sha256(signed)
            if "together" in each["webauthn"]:
                together = each["webauthn"]["together"]
                if f"sha256:{over.hex()}" not in together or not 0 < len(together) <= 100:
                    continue
                listed = {"type": "wardline.together/v1", "of": together}
                over = sha256(rfc8785.dumps(listed))
            challenge = base64.urlsafe_b64encode(over).decode().rstrip("=")
            wanted = ("webauthn.get", challenge, public["origin"])
            if (told["type"], told["challenge"], told["origin"]) != wanted:
                continue
            if told.get("crossOrigin") or data[:32] != sha256(public["rp_id"].encode()):
                continue
            if data[32] & 0x05 != 0x05:
                continue
            loaded = load_der_public_key(b64(public["spki"]))
            message = data + sha256(client)
            if isinstance(loaded, ec.EllipticCurvePublicKey):
                loaded.verify(sig, message, ec.ECDSA(hashes.SHA256()))
            elif isinstance(loaded, rsa.RSAPublicKey):
                loaded.verify(sig, message, padding.PKCS1v15(), hashes.SHA256())
            else:
                loaded.verify(sig, message)  # type: ignore[union-attr, call-arg]
        except (InvalidSignature, KeyError, ValueError, IndexError):
            continue
        return True
    return False
