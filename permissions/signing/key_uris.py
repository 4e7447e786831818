"""Keys by URI: what signs, and what seals, wherever it is kept.

| URI | a signing key (Ed25519) | a sealing key (32 bytes) |
|---|---|---|
| `file:PATH` | PKCS #8 PEM, which only its owner may read | the 32 bytes, likewise |
| `env:NAME` | the same PEM text in an environment variable | base64 of the 32 bytes |
| `ssh-agent:NAME` | a key of an ssh-agent, by fingerprint or comment | - |
| `pkcs11:...` | a key in a token (RFC 7512), which never leaves it | derived in the token |
| `hv:NAME/VERSION` | a key of HashiCorp Vault's transit engine | - |

The last two rows need `pip install 'wardline[kms]'`. AWS, Google and Azure sign through
securesystemslib with RSA or ECDSA only, which no checkpoint may be signed with.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import TYPE_CHECKING

from permissions.errors import SigningError
from permissions.signing.keys import KEY_BYTES, read_secret, signer_from_pem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.signing.keys import Signer

_SIGNING = "file:PATH, env:NAME, ssh-agent:NAME, pkcs11:token=...;object=... or hv:NAME/VERSION"
_SEALING = "file:PATH, env:NAME or pkcs11:token=...;object=..."


def signer_from_uri(uri: str, *, environment: Mapping[str, str] | None = None) -> Signer:
    """Loads the signer a key URI names (see the table above).

    Raises:
        SigningError: unknown scheme, missing key, a key file others may read, not Ed25519; a
            token or service that is not there, or refuses.
    """
    scheme, _, rest = uri.partition(":")
    match scheme:
        case "file" if rest:
            return signer_from_pem(read_secret(Path(rest)), named=uri)
        case "env" if rest:
            return signer_from_pem(_variable(rest, environment).encode(), named=uri)
        case "ssh-agent":
            from permissions.signing.ssh_agent import SshAgentSigner

            return SshAgentSigner(rest)
        case "pkcs11" if rest:
            from permissions.signing.token import TokenSigner

            return TokenSigner(uri)
        case "hv" if rest:
            from permissions.signing.transit import TransitSigner

            return TransitSigner(uri)
        case _:
            raise SigningError(f"the URI of a signing key is {_SIGNING}; not {_shown(uri)}")


def secret_from_uri(uri: str, *, environment: Mapping[str, str] | None = None) -> bytes:
    """Loads the 32 bytes that a key URI names (see the table above).

    Raises:
        SigningError: unknown scheme, missing key, a key file others may read, another length; a
            token that is not there, or refuses.
    """
    scheme, _, rest = uri.partition(":")
    match scheme:
        case "file" if rest:
            return _of_length(read_secret(Path(rest)), uri)
        case "env" if rest:
            try:
                raw = base64.b64decode(_variable(rest, environment), validate=True)
            except binascii.Error as err:
                raise SigningError(f"the environment variable {rest} is not base64") from err
            return _of_length(raw, uri)
        case "pkcs11" if rest:
            from permissions.signing.token import derived_secret

            return derived_secret(uri)
        case _:
            raise SigningError(f"the URI of a sealing key is {_SEALING}; not {_shown(uri)}")


def file_of(uri: str) -> Path | None:
    """The file that a key URI names; None for one that is kept elsewhere."""
    scheme, _, rest = uri.partition(":")
    return Path(rest) if scheme == "file" and rest else None


def _shown(uri: str) -> str:
    """A URI that is none may be the key itself, pasted where one belongs."""
    scheme = uri.partition(":")[0]
    return f"{scheme[:20]!r}" if ":" in uri else "a text without a scheme"


def _variable(name: str, environment: Mapping[str, str] | None) -> str:
    text = (os.environ if environment is None else environment).get(name)
    if not text:
        raise SigningError(f"the environment variable {name} holds no key")
    return text


def _of_length(raw: bytes, uri: str) -> bytes:
    if len(raw) != KEY_BYTES:
        raise SigningError(f"the key {uri} has {len(raw)} bytes, not {KEY_BYTES}")
    return raw
