"""`crypto.*` digests, as hexadecimal text."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _digest(name: str) -> Callable[[str], str]:
    return lambda text: hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()


def _keyed(name: str) -> Callable[[str, str], str]:
    return lambda text, key: hmac.new(key.encode(), text.encode(), name).hexdigest()


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


DIGESTS: Mapping[str, tuple[int, Any]] = {
    "crypto.hmac.equal": (2, _equal),
    **{
        f"crypto.hmac.{name}": (2, _keyed(name)) for name in ("md5", "sha1", "sha256", "sha512")
    },
    **{f"crypto.{name}": (1, _digest(name)) for name in ("md5", "sha1", "sha256")},
}
"""Arity and function per builtin."""
