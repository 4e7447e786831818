"""Keys in a PKCS #11 token: an HSM, a smart card, SoftHSM. They never leave it.

`pkcs11:token=prod;object=wardline-log?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/wardline/pin`

RFC 7512: `token` and `object` are the labels, `id` the key's id; `module-path` is the token's
library, `pin-source` where its PIN is (`file:PATH`, `env:NAME`). A PIN in the URI itself is refused:
settings are read by more people than keys.

A signing key is an Ed25519 key (CKM_EDDSA). A sealing key is derived: HMAC-SHA256 by a secret
key of the token over a fixed text. It is in this process's memory then, and on no disk; without
the token nothing that was recorded can be read.

The signers of securesystemslib know ECDSA alone for tokens, so the library below it is used.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from permissions.errors import SigningError
from permissions.signing.keys import KEY_BYTES, PublicKey, read_secret

_DERIVED_FROM = b"wardline vault key"
_KNOWN = {"token", "object", "id", "type", "module-path", "pin-source"}
_POINT = b"\x04\x20"
"""A DER octet string of 32 bytes, as tokens write the public key."""


class TokenUri(NamedTuple):
    """What a `pkcs11:` URI names."""

    token: str
    object: str | None
    id: bytes | None
    module: Path
    pin: str

    @classmethod
    def parse(cls, uri: str) -> TokenUri:
        """Reads a URI, and the PIN it points to.

        Raises:
            SigningError: a part is missing or unknown, or the PIN cannot be read.
        """
        path, _, query = uri.removeprefix("pkcs11:").partition("?")
        said = dict(parse_qsl(query, keep_blank_values=True))
        ids: bytes | None = None
        for part in path.split(";"):
            name, equals, value = part.partition("=")
            if not equals:
                raise SigningError(f"the part {part[:40]!r} of a pkcs11: URI has no value")
            if name == "id":
                ids = unquote(value, encoding="latin-1").encode("latin-1")
            said[name] = unquote(value)
        if "pin-value" in said:
            raise SigningError("write pin-source=file:PATH into the pkcs11: URI, no pin-value")
        if odd := said.keys() - _KNOWN:
            raise SigningError(f"a pkcs11: URI with {min(odd)[:40]!r}; known: {sorted(_KNOWN)}")
        for name in ("token", "module-path", "pin-source"):
            if not said.get(name):
                raise SigningError(f"a pkcs11: URI needs {name}=...")
        if "object" not in said and ids is None:
            raise SigningError("a pkcs11: URI names its key: object=LABEL or id=%01")
        module = Path(said["module-path"])
        if not module.is_file():
            raise SigningError(f"there is no PKCS #11 library {module}")
        return cls(said["token"], said.get("object"), ids, module, _pin(said["pin-source"]))


class TokenSigner:
    """An Ed25519 key in a token; usable from any thread, not after a fork."""

    def __init__(self, uri: str) -> None:
        """Logs in to the token.

        Raises:
            SigningError: the URI, the library, the token, the PIN or the key is not right.
        """
        self._token = _Token(TokenUri.parse(uri))
        api = self._token.api
        self._key = self._token.one(api.CKO_PRIVATE_KEY, "a private key")
        self._mechanism = api.Mechanism(api.CKM_EDDSA, None)
        self.public = self._token.public_half()
        self.public.verify(self.sign(b"probe"), b"probe")  # or no checkpoint would verify

    @property
    def keyid(self) -> str:
        """The public key's id."""
        return self.public.keyid

    def sign(self, data: bytes) -> bytes:
        """The 64 bytes of a signature over `data`.

        Raises:
            SigningError: the token does not answer, or refuses.
        """
        return self._token.sign(self._key, data, self._mechanism)


def derived_secret(uri: str) -> bytes:
    """32 bytes that only this token gives: HMAC-SHA256 by its key over a fixed text.

    Raises:
        SigningError: the URI, the library, the token, the PIN or the key is not right.
    """
    token = _Token(TokenUri.parse(uri))
    api = token.api
    key = token.one(api.CKO_SECRET_KEY, "a secret key")
    return token.sign(key, _DERIVED_FROM, api.Mechanism(api.CKM_SHA256_HMAC, None))


class _Token:
    """An open session; the library is not made for two threads in one."""

    def __init__(self, named: TokenUri) -> None:
        try:
            import PyKCS11
        except ImportError as err:
            raise SigningError("pkcs11: keys need pip install 'wardline[kms]'") from err
        self.api: Any = PyKCS11
        self._named = named
        self._lock = threading.Lock()
        library = PyKCS11.PyKCS11Lib()
        try:
            library.load(str(named.module))
            slots = library.getSlotList(tokenPresent=True)
            labels = {slot: library.getTokenInfo(slot).label.strip() for slot in slots}
            found = [slot for slot, label in labels.items() if label == named.token]
            if len(found) != 1:
                raise SigningError(
                    f"{len(found)} tokens are called {named.token!r}; there are"
                    f" {', '.join(sorted(labels.values())) or 'none'}"
                )
            self._session = library.openSession(found[0])
            self._login()
        except PyKCS11.PyKCS11Error as err:
            raise SigningError(f"the token {named.token!r} cannot be used: {err}") from err

    def one(self, kind: int, said: str) -> Any:
        """The one object of a kind that the URI names."""
        api, named = self.api, self._named
        template: list[tuple[int, Any]] = [(api.CKA_CLASS, kind)]
        if named.object is not None:
            template.append((api.CKA_LABEL, named.object))
        if named.id is not None:
            template.append((api.CKA_ID, list(named.id)))
        try:
            found = self._session.findObjects(template)
        except api.PyKCS11Error as err:
            raise SigningError(f"the token {named.token!r} cannot be read: {err}") from err
        if len(found) != 1:
            name = named.object or (named.id or b"").hex()
            raise SigningError(
                f"the token {named.token!r} has {len(found)} objects that are {said} named {name!r}"
            )
        return found[0]

    def public_half(self) -> PublicKey:
        """The public key that lies beside the private one."""
        public = self.one(self.api.CKO_PUBLIC_KEY, "a public key")
        try:
            value = self._session.getAttributeValue(public, [self.api.CKA_EC_POINT])[0]
        except self.api.PyKCS11Error as err:
            raise SigningError(f"a public key of the token cannot be read: {err}") from err
        point = bytes(value or ())
        if len(point) == KEY_BYTES + 2 and point.startswith(_POINT):
            point = point[2:]
        if len(point) != KEY_BYTES:
            raise SigningError(
                f"the key {self._named.object!r} of the token is not Ed25519: make one with"
                " pkcs11-tool --keypairgen --key-type EC:edwards25519"
            )
        return PublicKey(point)

    def sign(self, key: Any, data: bytes, mechanism: Any) -> bytes:
        """What the token makes of `data` with a key."""
        try:
            with self._lock:
                return bytes(self._session.sign(key, data, mechanism))
        except self.api.PyKCS11Error as err:
            raise SigningError(f"the token {self._named.token!r} did not sign: {err}") from err

    def _login(self) -> None:
        try:
            self._session.login(self._named.pin)
        except self.api.PyKCS11Error as err:
            if err.value != self.api.CKR_USER_ALREADY_LOGGED_IN:
                raise


def _pin(source: str) -> str:
    scheme, _, rest = source.partition(":")
    if scheme == "file" and rest:
        return read_secret(Path(rest)).decode(errors="replace").strip()
    if scheme == "env" and os.environ.get(rest):
        return os.environ[rest]
    if scheme == "env":
        raise SigningError(f"the environment variable {rest} holds no PIN")
    raise SigningError("the pin-source of a pkcs11: URI is file:PATH or env:NAME")
