"""Keys come from where the URI says, and only when nobody else could have read them."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from permissions.errors import SigningError
from permissions.signing.key_uris import secret_from_uri, signer_from_uri
from permissions.signing.keys import PublicKey, generate, memory_signer, write_secret
from permissions.signing.token import TokenUri

if TYPE_CHECKING:
    from pathlib import Path

# RFC 8032 section 7.1, TEST 2
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_signature_is_the_one_of_rfc_8032():
    signer = memory_signer(SEED)

    assert signer.public.raw == PUBLIC
    assert signer.sign(b"\x72") == SIGNATURE
    signer.public.verify(SIGNATURE, b"\x72")
    assert signer.keyid == hashlib.sha256(PUBLIC).hexdigest()


def test_a_generated_key_signs_after_it_is_loaded_again(tmp_path: Path):
    made = generate(tmp_path / "keys" / "log.pem")

    loaded = signer_from_uri(f"file:{tmp_path}/keys/log.pem")
    public = PublicKey.read(tmp_path / "keys" / "log.pem.pub")

    assert loaded.public == made.public == public
    public.verify(loaded.sign(b"data"), b"data")
    assert (tmp_path / "keys" / "log.pem").stat().st_mode & 0o777 == 0o600


def test_a_key_is_never_overwritten(tmp_path: Path):
    first = generate(tmp_path / "log.pem")

    with pytest.raises(SigningError, match="exists"):
        generate(tmp_path / "log.pem")
    assert signer_from_uri(f"file:{tmp_path}/log.pem").public == first.public


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_key_file_open_to_others_is_refused(tmp_path: Path, mode: int):
    generate(tmp_path / "log.pem")
    (tmp_path / "log.pem").chmod(mode)

    with pytest.raises(SigningError, match="chmod 600"):
        signer_from_uri(f"file:{tmp_path}/log.pem")


def test_a_key_comes_from_the_environment():
    signer = memory_signer(SEED)

    loaded = signer_from_uri("env:LOG_KEY", environment={"LOG_KEY": signer.pem().decode()})

    assert loaded.public == signer.public


@dataclass(frozen=True)
class Refused:
    id: str
    uri: str
    says: str


ELLIPTIC = (
    generate_private_key(SECP256R1())
    .private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    .decode()
)
REFUSED = [
    Refused("no scheme", "log.pem", "file:PATH, env:NAME"),
    Refused("unknown scheme", "https://example.com/key", "file:PATH, env:NAME"),
    Refused("no path", "file:", "file:PATH, env:NAME"),
    Refused("missing file", "file:/nonexistent/key.pem", "cannot be read"),
    Refused("not a file", "file:/dev/null", "not a plain file"),
    Refused("variable not set", "env:ABSENT", "holds no key"),
    Refused("not PEM", "env:RUBBISH", "no unencrypted PKCS #8"),
    Refused("not Ed25519", "env:ELLIPTIC", "not Ed25519"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_a_bad_key_uri_is_refused(case: Refused):
    environment = {"RUBBISH": "rubbish", "ELLIPTIC": ELLIPTIC}

    with pytest.raises(SigningError, match=case.says):
        signer_from_uri(case.uri, environment=environment)


def test_a_public_key_reads_from_base64_and_pem():
    pem = (
        memory_signer(SEED)
        ._private.public_key()
        .public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        .decode()
    )

    assert PublicKey.parse(base64.b64encode(PUBLIC).decode()) == PublicKey.parse(pem)
    assert str(PublicKey.parse(pem)) == base64.b64encode(PUBLIC).decode()


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", "-----BEGIN PUBLIC KEY-----"])
def test_a_bad_public_key_is_refused(text: str):
    with pytest.raises(SigningError):
        PublicKey.parse(text)


def test_another_keys_signature_does_not_verify():
    with pytest.raises(SigningError):
        memory_signer().public.verify(SIGNATURE, b"\x72")


def test_a_sealing_key_comes_from_a_file_or_the_environment(tmp_path: Path):
    write_secret(tmp_path / "vault.key", SEED)

    assert secret_from_uri(f"file:{tmp_path}/vault.key") == SEED
    given = {"VAULT_KEY": base64.b64encode(SEED).decode()}
    assert secret_from_uri("env:VAULT_KEY", environment=given) == SEED


REFUSED_SECRETS = [
    Refused("no scheme", "vault.key", "a text without a scheme"),
    Refused("a scheme that only signs", "hv:vault/1", "file:PATH, env:NAME or pkcs11:"),
    Refused("too short", "env:SHORT", "has 3 bytes, not 32"),
    Refused("no base64", "env:RUBBISH", "is not base64"),
    Refused("missing file", "file:/nonexistent/vault.key", "cannot be read"),
]


@pytest.mark.parametrize("case", REFUSED_SECRETS, ids=lambda case: case.id)
def test_a_bad_uri_of_a_sealing_key_is_refused(case: Refused):
    environment = {"RUBBISH": "!", "SHORT": "AAAA"}

    with pytest.raises(SigningError, match=case.says):
        secret_from_uri(case.uri, environment=environment)


def test_a_key_pasted_in_the_place_of_a_uri_is_not_repeated():
    with pytest.raises(SigningError) as refused:
        signer_from_uri("c2VjcmV0IHNlY3JldCBzZWNyZXQ")

    assert "c2Vj" not in str(refused.value)


TOKEN_REFUSED = [
    Refused("no token", "object=log?module-path=/m&pin-source=env:PIN", "token="),
    Refused("no module", "token=w;object=log?pin-source=env:PIN", "module-path="),
    Refused("no PIN", "token=w;object=log?module-path=/m", "pin-source="),
    Refused("no key", "token=w?module-path=/m&pin-source=env:PIN", "object=LABEL"),
    Refused("PIN in the URI", "token=w;object=l?module-path=/m&pin-value=1", "no pin-value"),
    Refused("misspelt", "token=w;objekt=l?module-path=/m&pin-source=env:PIN", "'objekt'"),
    Refused("no library", "token=w;object=l?module-path=/m&pin-source=env:PIN", "library /m"),
    Refused("without a value", "token?module-path=/m", "has no value"),
]


@pytest.mark.parametrize("case", TOKEN_REFUSED, ids=lambda case: case.id)
def test_a_bad_uri_of_a_token_says_what_is_wrong(case: Refused):
    with pytest.raises(SigningError, match=case.says):
        TokenUri.parse(f"pkcs11:{case.uri}")


@pytest.mark.parametrize("uri", ["hv:", "hv:name", "hv:name/0", "hv:../x/1"])
def test_a_bad_uri_of_vault_is_refused(uri: str):
    with pytest.raises(SigningError, match="hv:NAME/VERSION"):
        signer_from_uri(uri)
