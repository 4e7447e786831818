"""The signature of a bundle archive: `.signatures.json`, as OPA writes and verifies it.

It holds one JWT whose payload lists every other file with its digest, so what is signed is the
whole archive: a file more, less or other is found. Which key may sign is pinned by the reader,
and the algorithm follows from the key's own kind: the token cannot choose (RFC 8725, 3.1).
Shared secrets (HMAC), with which whoever checks could sign, are refused.

Not protected from: an older archive that was signed just as well (`permissions.setup.policies`
remembers how far it was), and whoever has the private key.
"""

from __future__ import annotations

import base64
import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from permissions.errors import PolicyLoadError, SigningError
from permissions.pdp.bundle import bundle_finding, strict_json
from permissions.signing.keys import MAX_KEY_FILE, PublicKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from permissions.model import JsonObject
    from permissions.signing.keys import Signer

SIGNATURES = ".signatures.json"
MANIFEST = ".manifest"
_HASHES = {"SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_PLUGINS = (None, "", "_default")
MIN_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class BundleKey:
    """A public key that may sign bundles, and the algorithms a signature by it can have.

    Attributes:
        name: SHA-256 of its DER form (SubjectPublicKeyInfo), for people and the record.
    """

    key: Any
    algorithms: tuple[str, ...]
    name: str

    @classmethod
    def read(cls, path: Path) -> BundleKey:
        """Reads a public key: PEM (Ed25519, EC or RSA), or base64 of an Ed25519 key.

        Raises:
            SigningError: it is none, or too weak.
        """
        try:
            text = path.read_bytes()[:MAX_KEY_FILE].decode().strip()
        except (OSError, UnicodeDecodeError) as err:
            raise SigningError(f"the bundle key {path} cannot be read: {err}") from err
        try:
            if not text.startswith("-----BEGIN"):
                loaded: Any = Ed25519PublicKey.from_public_bytes(PublicKey.parse(text).raw)
            else:
                loaded = serialization.load_pem_public_key(text.encode())
        except (ValueError, UnsupportedAlgorithm) as err:
            raise SigningError(
                f"{path} holds no public key; give the public half (PEM `PUBLIC KEY`)"
            ) from err
        der = loaded.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return cls(loaded, _algorithms(loaded, path), hashlib.sha256(der).hexdigest())


def _algorithms(key: Any, path: Path) -> tuple[str, ...]:
    match key:
        case Ed25519PublicKey():
            return ("EdDSA",)
        case RSAPublicKey() if key.key_size >= MIN_RSA_BITS:
            return _RSA
        case EllipticCurvePublicKey() if key.curve.name in _CURVES:
            return (_CURVES[key.curve.name],)
        case _:
            raise SigningError(
                f"the bundle key {path} is of a kind that cannot be used: take Ed25519,"
                f" EC (P-256, P-384, P-521) or RSA of at least {MIN_RSA_BITS} bits"
            )


def file_digest(name: str, content: bytes, hash_name: str = "sha256") -> str:
    """What OPA's signature says of a file: of JSON (data, manifest) the digest of its values.

    So that white space and the order of keys do not matter, objects are hashed with their keys
    sorted, and each text and number as Go's encoder writes it (`bundle/hash.go`).

    Raises:
        ValueError: the JSON of a structured file is none, or not strict.
    """
    data = content
    if name.rpartition("/")[2] in ("data.json", MANIFEST):
        data = _ordered(strict_json(content.decode(), number=_Number)).encode()
    return hashlib.new(hash_name, data).hexdigest()


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


def _ordered(value: Any) -> str:
    match value:
        case _Number():
            return str(value)
        case dict():
            inside = (f"{_primitive(key)}:{_ordered(value[key])}" for key in sorted(value))
            return f"{{{','.join(inside)}}}"
        case list():
            return f"[{','.join(map(_ordered, value))}]"
        case _:
            return _primitive(value)


def _primitive(value: Any) -> str:
    said = json.dumps(value, ensure_ascii=False)
    return said.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def signatures_of(files: Mapping[str, bytes], signer: Signer) -> bytes:
    """The content of `.signatures.json` for these files."""
    listed = [
        {"name": name, "hash": file_digest(name, content), "algorithm": "SHA-256"}
        for name, content in sorted(files.items())
    ]
    header = {"alg": "EdDSA", "kid": signer.keyid, "typ": "JWT"}
    signed = b".".join(_base64(_json(part)) for part in (header, {"files": listed}))
    token = b".".join((signed, _base64(signer.sign(signed))))
    return _json({"signatures": [token.decode()]})


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def verify_files(files: Mapping[str, bytes], keys: Sequence[BundleKey]) -> str:
    """Checks that one of the keys signed exactly these files.

    Returns:
        The name of that key.

    Raises:
        PolicyLoadError: it is unsigned, signed by nobody known, or not what was signed.
    """
    if SIGNATURES not in files:
        raise _refused(
            "bundle.unsigned",
            "it has no signature, and the settings (pdp.bundle_keys) require one",
            "build it with `wardline policy build --key FILE`, or `opa build --signing-key`",
        )
    claims, name = _verified(files[SIGNATURES], keys)
    if claims.get("scope"):
        raise _refused(
            "bundle.signature",
            f"it is signed for the scope {str(claims['scope'])[:60]!r} alone",
            "sign it without a scope",
        )
    findings = [*_differences({k: v for k, v in files.items() if k != SIGNATURES}, claims)]
    if findings:
        raise PolicyLoadError(findings)
    return name


def _verified(content: bytes, keys: Sequence[BundleKey]) -> tuple[JsonObject, str]:
    import jwt.api_jws  # late: 0.15 s, and only a signed bundle needs it

    try:
        document = strict_json(content.decode())
        (token,) = document["signatures"]
        if document.get("plugin") not in _PLUGINS:
            raise _refused(
                "bundle.signature",
                f"it is signed by the plugin {str(document['plugin'])[:60]!r}",
                "sign it with OPA's own signing",
            )
        for key in keys:
            with suppress(
                jwt.exceptions.InvalidSignatureError, jwt.exceptions.InvalidAlgorithmError
            ):
                found = jwt.api_jws.decode_complete(
                    token, key=key.key, algorithms=list(key.algorithms)
                )
                return dict(strict_json(found["payload"].decode())), key.name
    except (ValueError, KeyError, TypeError, RecursionError, jwt.exceptions.PyJWTError) as err:
        raise _refused(
            "bundle.signature",
            f"{SIGNATURES} is not of the form that OPA writes ({type(err).__name__})",
            "build it again",
        ) from err
    raise _refused(
        "bundle.signature",
        "none of the pinned keys signed it",
        "sign it with one of them; or pin the signer's public key, if you trust it",
    )


def _differences(files: Mapping[str, bytes], claims: JsonObject) -> list[str]:
    try:
        signed = {str(each["name"]): each for each in claims["files"]}
        whole = len(signed) == len(claims["files"])
    except (KeyError, TypeError):
        whole, signed = False, {}
    if not whole:
        what = "the signature lists no files, or one twice"
        return [bundle_finding("archive", "bundle.signature", what, "build it again")]
    again = "take the archive as it was built"
    found = [
        bundle_finding(name, "bundle.files", "the signature does not list it", again)
        for name in sorted(files.keys() - signed.keys())
    ]
    found += [
        bundle_finding(name, "bundle.files", "the signature lists it, and it is gone", again)
        for name in sorted(signed.keys() - files.keys())
    ]
    for name in sorted(files.keys() & signed.keys()):
        if not _is_same(name, files[name], signed[name]):
            what = "it is not what was signed"
            found.append(bundle_finding(name, "bundle.tampered", what, again))
    return found


def _is_same(name: str, content: bytes, signed: Mapping[str, Any]) -> bool:
    hash_name = _HASHES.get(str(signed.get("algorithm")))
    try:
        said = str(signed.get("hash")).lower()
        return hash_name is not None and file_digest(name, content, hash_name) == said
    except (ValueError, RecursionError):  # no JSON, where there should be some
        return False


def _refused(code: str, what: str, fix: str) -> PolicyLoadError:
    return PolicyLoadError([bundle_finding("archive", code, what, fix)])
