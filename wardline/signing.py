"""Keys of approvers and of the log."""

from __future__ import annotations

from permissions.signing.key_uris import signer_from_uri
from permissions.signing.keys import PublicKey, Signer, generate

__all__ = [
    "PublicKey",
    "Signer",
    "generate",
    "signer_from_uri",
]
