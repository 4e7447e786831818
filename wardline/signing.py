"""Keys of approvers and of the log."""

from __future__ import annotations

from permissions.signing.keys import PublicKey, Signer, generate, signer_from_uri

__all__ = [
    "PublicKey",
    "Signer",
    "generate",
    "signer_from_uri",
]
