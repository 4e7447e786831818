"""Keys of HashiCorp Vault's transit engine, through securesystemslib's signer.

`hv:NAME/VERSION` names a key of type ed25519; where the server is and who asks say `VAULT_ADDR`
and `VAULT_TOKEN`, as for its own command. The version is part of the name, so that a key that
is rotated there changes nothing here until `wardline trace rotate-key` says so.

Each checkpoint is a request: choose it where a call may take that long.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from permissions.errors import SigningError
from permissions.signing.keys import PublicKey

if TYPE_CHECKING:
    from securesystemslib.signer._key import SSlibKey

_URI = re.compile(r"hv:(?P<name>[A-Za-z0-9._-]{1,128})/(?P<version>[1-9][0-9]{0,8})")


class TransitSigner:
    """An Ed25519 key that a Vault server keeps."""

    def __init__(self, uri: str) -> None:
        """Asks the server for the public key.

        Raises:
            SigningError: the URI is malformed, the server is not there or refuses, or has no
                such Ed25519 key.
        """
        match = _URI.fullmatch(uri)
        if match is None:
            raise SigningError("a key of Vault is hv:NAME/VERSION, as hv:wardline-log/1")
        try:
            import hvac
            from securesystemslib.signer import Signer, SSlibKey  # type: ignore[attr-defined]
        except ImportError as err:
            raise SigningError("hv: keys need pip install 'wardline[kms]'") from err
        self._uri = uri
        try:
            keys = hvac.Client().secrets.transit.read_key(match["name"])["data"]["keys"]
            self.public = PublicKey.parse(keys[match["version"]]["public_key"])
            self._signer: Any = Signer.from_priv_key_uri(uri, self._named(SSlibKey))
            self.public.verify(self.sign(b"probe"), b"probe")
        except SigningError:
            raise
        except KeyError as err:
            raise SigningError(f"Vault has no version of an Ed25519 key {uri}") from err
        except Exception as err:
            raise SigningError(f"Vault did not give {uri}: {_short(err)}") from err

    @property
    def keyid(self) -> str:
        """The public key's id."""
        return self.public.keyid

    def sign(self, data: bytes) -> bytes:
        """The 64 bytes of a signature over `data`.

        Raises:
            SigningError: the server does not answer, or refuses.
        """
        try:
            return bytes.fromhex(self._signer.sign(data).signature)
        except Exception as err:
            raise SigningError(f"Vault did not sign with {self._uri}: {_short(err)}") from err

    def _named(self, kind: type[SSlibKey]) -> SSlibKey:
        said = {"public": self.public.raw.hex()}
        return kind(self.public.keyid, "ed25519", "ed25519", said)


def _short(err: Exception) -> str:
    """Without what a server or an HTTP client may repeat of the request."""
    return f"{type(err).__name__}: {str(err).splitlines()[0][:120] if str(err) else ''}"
