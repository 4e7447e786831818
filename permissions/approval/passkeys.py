"""Votes, enrolments and sign-ins by passkey: the options a browser is given, and what it gives back.

A vote's statement is made first, and the passkey signs it: the challenge is the SHA-256 of the
bytes that a key file would have signed (DSSE), so over the digest of what was shown, the call and
the verdict. What comes back is a vote like any other: nothing about it is kept in between, and it is
believed by the key alone. Options and registrations are read by the library `webauthn`
(`pip install 'wardline[service]'`), signatures by `signing.passkey`.

Not protected from: a page that shows a person something else than it lets them sign. Whoever runs
the console could; a key file used from one's own terminal does not have that gap.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from permissions.approval.votes import PAYLOAD_TYPE, statement_of
from permissions.errors import (
    ApprovalInvalidError,
    ApproverRefusedError,
    ConfigError,
    SigningError,
)
from permissions.signing import dsse
from permissions.signing.canonical import digest
from permissions.signing.passkey import Assertion, Passkey, challenge_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from permissions.approval.approvers import Approver, Approvers
    from permissions.approval.model import AccessRequest, Verdict
    from permissions.model import JsonObject

TIMEOUT_MS = 5 * 60 * 1000
"""How long a browser waits for the person."""


@dataclass(frozen=True, slots=True)
class Site:
    """The site that passkeys are made for: one origin, and its host.

    Attributes:
        origin: as browsers write it, as `https://approve.example.com`.
        rp_id: its host name.
    """

    origin: str
    rp_id: str

    @classmethod
    def of(cls, url: str) -> Site:
        """The site of the setting `service.url`.

        Raises:
            ConfigError: it is no `https://` address of a host name; `http://` goes for `localhost`.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise ConfigError(f"service.url is no address: {url[:80]!r}") from None
        is_local = host == "localhost" or host.endswith(".localhost")
        is_bare = not (parts.path.strip("/") or parts.query or parts.fragment or parts.username)
        if not (host and is_bare) or (
            parts.scheme != "https" and not (parts.scheme == "http" and is_local)
        ):
            raise ConfigError(
                f"service.url is https://HOST, or http://localhost:PORT; not {url[:80]!r}"
            )
        usual = port is None or port == {"https": 443, "http": 80}[parts.scheme]
        return cls(f"{parts.scheme}://{host}{'' if usual else f':{port}'}", host)


class Question(NamedTuple):
    """What a browser is asked: `options` for `navigator.credentials`, and what it has to sign.

    `sealed` comes back with the answer. It is no secret, and need not be kept: whatever it says
    counts only when the passkey signed it.
    """

    options: JsonObject
    sealed: str


def begin_vote(
    request: AccessRequest,
    approver: Approver,
    verdict: Verdict,
    *,
    note: str,
    now: int,
    site: Site,
    arguments: JsonObject | None = None,
) -> Question:
    """Asks for this person's passkey under their answer to this request.

    With the verdict `edit`, `arguments` are what the call's are to be.

    Raises:
        ApproverRefusedError: they have no passkey of this site.
        SigningError: the note or the arguments cannot be kept.
    """
    payload = statement_of(
        request,
        approver=approver.id,
        verdict=verdict,
        note=note,
        now=now,
        arguments=arguments,
    )
    return begin_statement(PAYLOAD_TYPE, payload, approver, site)


def begin_statement(kind: str, payload: bytes, approver: Approver, site: Site) -> Question:
    """Asks for this person's passkey under any statement of theirs.

    Args:
        kind: its payload type; what is signed for one counts for no other.
        payload: what is to be signed.
        approver: whose passkey.
        site: where.

    Raises:
        ApproverRefusedError: they have no passkey of this site.
    """
    challenge = challenge_of(dsse.pae(kind, payload))
    options = _get_options(challenge, _of_site(approver, site), site)
    return Question(options, base64.b64encode(payload).decode())


def begin_votes(payloads: Sequence[bytes], approver: Approver, site: Site) -> Question:
    """Asks for this person's passkey once, under several answers (made by `votes.statement_of`).

    Raises:
        ApproverRefusedError: they have no passkey of this site.
        SigningError: they are too many.
    """
    together = _together(payloads)
    challenge = challenge_of(dsse.pae(PAYLOAD_TYPE, payloads[0]), together)
    options = _get_options(challenge, _of_site(approver, site), site)
    return Question(options, json.dumps([base64.b64encode(each).decode() for each in payloads]))


def finish_votes(sealed: str, credential: JsonObject, approver: Approver) -> list[str]:
    """The signed votes, each of which proves itself; otherwise as `finish_vote`."""
    try:
        payloads = [base64.b64decode(each, validate=True) for each in json.loads(sealed)]
        together = _together(payloads)
        key, assertion, signature = _assertion(credential, approver.passkeys)
        assertion = replace(assertion, together=together)
        for payload in payloads:
            key.verify(signature, assertion, dsse.pae(PAYLOAD_TYPE, payload))
    except (binascii.Error, ValueError, TypeError, RecursionError, SigningError) as err:
        raise ApprovalInvalidError(f"the passkey did not sign these answers: {err}") from err
    signed = (dsse.Signature(key.keyid, signature, assertion),)
    return [
        dsse.Envelope(PAYLOAD_TYPE, payload, signed).dumps().decode() for payload in payloads
    ]


def _together(payloads: Sequence[bytes]) -> tuple[str, ...]:
    if not payloads:
        raise SigningError("nothing is to be signed")
    return tuple(digest(dsse.pae(PAYLOAD_TYPE, each)) for each in payloads)


def finish_vote(sealed: str, credential: JsonObject, approver: Approver) -> str:
    """The signed vote (`ApprovalService.vote` takes it), from what the browser gave.

    Args:
        sealed: of the question.
        credential: the browser's `PublicKeyCredential` as JSON.
        approver: whose passkey it has to be.

    Raises:
        ApprovalInvalidError: it is no assertion by a passkey of theirs over this very answer.
    """
    return finish_statement(PAYLOAD_TYPE, sealed, credential, approver)


def finish_statement(kind: str, sealed: str, credential: JsonObject, approver: Approver) -> str:
    """The signed statement of this payload type; otherwise as `finish_vote`."""
    try:
        payload = base64.b64decode(sealed, validate=True)
        key, assertion, signature = _assertion(credential, approver.passkeys)
        key.verify(signature, assertion, dsse.pae(kind, payload))
    except (binascii.Error, ValueError, SigningError) as err:
        raise ApprovalInvalidError(f"the passkey did not sign this answer: {err}") from err
    signed = dsse.Signature(key.keyid, signature, assertion)
    return dsse.Envelope(kind, payload, (signed,)).dumps().decode()


def begin_sign_in(site: Site) -> Question:
    """Asks for any passkey of the site; who it is, the answer says.

    `sealed` is the challenge: unlike a vote's it has to be kept with whoever signs in, once.
    """
    challenge = secrets.token_bytes(32)
    return Question(_get_options(_digest(challenge), (), site), _encoded(challenge))


def finish_sign_in(sealed: str, credential: JsonObject, approvers: Approvers) -> Approver:
    """Whose passkey signed the challenge that was kept.

    Raises:
        ApprovalInvalidError: nobody's.
    """
    for approver in approvers:
        try:
            key, assertion, signature = _assertion(credential, approver.passkeys)
            key.verify(signature, assertion, base64.urlsafe_b64decode(sealed + "=="))
        except (SigningError, ValueError):
            continue
        return approver
    raise ApprovalInvalidError("no passkey of a registered approver signed this")


def begin_enrolment(approver: Approver, site: Site) -> Question:
    """Asks a browser to make a passkey for this person.

    `sealed` is the challenge; keep it with whoever may enrol, once.
    """
    library = _library()
    challenge = secrets.token_bytes(32)
    options = library.generate_registration_options(
        rp_id=site.rp_id,
        rp_name="Wardline approvals",
        user_id=hashlib.sha256(f"{site.origin} {approver.id}".encode()).digest(),
        user_name=approver.id,
        challenge=challenge,
        timeout=TIMEOUT_MS,
        authenticator_selection=library.helpers.structs.AuthenticatorSelectionCriteria(
            resident_key=library.helpers.structs.ResidentKeyRequirement.REQUIRED,
            user_verification=library.helpers.structs.UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[
            library.helpers.structs.PublicKeyCredentialDescriptor(
                id=library.base64url_to_bytes(key.credential)
            )
            for key in approver.passkeys
        ],
    )
    return Question(json.loads(library.options_to_json(options)), _encoded(challenge))


def finish_enrolment(sealed: str, credential: JsonObject, site: Site) -> Passkey:
    """The passkey that a browser made, from what it gave.

    Raises:
        ApprovalInvalidError: it was made for another site or challenge, without verifying the
            person, or with a key that cannot be used.
    """
    library = _library()
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        made = library.verify_registration_response(
            credential=json.dumps(credential),
            expected_challenge=base64.urlsafe_b64decode(sealed + "=="),
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
            require_user_verification=True,
        )
        found = Passkey(
            credential=library.helpers.bytes_to_base64url(made.credential_id),
            spki=_spki(made.credential_public_key),
            rp_id=site.rp_id,
            origin=site.origin,
        )
        return Passkey.parse(str(found))
    except (WebAuthnException, SigningError, ValueError, TypeError, KeyError) as err:
        raise ApprovalInvalidError(f"this passkey cannot be enrolled: {err}") from err


def _spki(cose: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from webauthn.helpers import (
        decode_credential_public_key,
        decoded_public_key_to_cryptography,
    )

    key = decoded_public_key_to_cryptography(decode_credential_public_key(cose))
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _get_options(challenge: bytes, keys: Iterable[Passkey], site: Site) -> JsonObject:
    return {
        "challenge": _encoded(challenge),
        "rpId": site.rp_id,
        "timeout": TIMEOUT_MS,
        "userVerification": "required",
        "allowCredentials": [{"type": "public-key", "id": key.credential} for key in keys],
    }


def _of_site(approver: Approver, site: Site) -> tuple[Passkey, ...]:
    found = tuple(
        key for key in approver.passkeys if (key.rp_id, key.origin) == (site.rp_id, site.origin)
    )
    if not found:
        raise ApproverRefusedError(
            f"{approver.id} has no passkey of {site.origin}; an operator invites them to enrol one"
        )
    return found


def _assertion(
    credential: JsonObject, keys: Iterable[Passkey]
) -> tuple[Passkey, Assertion, bytes]:
    try:
        name, given = credential["id"], credential["response"]
        data, client, signature = (
            base64.urlsafe_b64decode(given[member] + "==")
            for member in ("authenticatorData", "clientDataJSON", "signature")
        )
    except (KeyError, TypeError, ValueError) as err:
        raise SigningError("the browser gave no assertion") from err
    for key in keys:
        if key.credential == name:
            return key, Assertion(data, client), signature
    raise SigningError("it is another passkey")


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _library() -> Any:
    try:
        import webauthn
    except ImportError as err:
        raise ConfigError(
            "passkeys are enrolled with webauthn; pip install 'wardline[service]'"
        ) from err
    return webauthn
