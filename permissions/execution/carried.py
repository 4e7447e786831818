"""What of a result JSON has no word for, as it leaves a sandbox.

Bytes of a tool that says it returns bytes come out as base64. A number that is none would come
out as null or not at all, by the return type: it is an error, the same for all.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from permissions.tools.definition import ToolDefinition


def is_binary(definition: ToolDefinition) -> bool:
    """Whether the tool says that it returns bytes, and not an object with some in it."""
    return (definition.output_schema or {}).get("format") == "binary"


def encoded(data: bytes) -> str:
    """Bytes as text."""
    return b64encode(data).decode("ascii")


def decoded(text: Any) -> bytes:
    """The bytes that `encoded` was given.

    Raises:
        ValueError: it is no such text.
        TypeError: it is no text.
    """
    if not isinstance(text, str):
        raise TypeError("no text")
    return b64decode(text, validate=True)


def require_finite(value: Any, depth: int = 0) -> None:
    """Checks that there is no NaN and no infinity in the lists and mappings of a value.

    Raises:
        ValueError: there is one.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(
            f"{float(value)} has no form in JSON, by which results leave a sandbox; return None"
            " or a text in its place"
        )
    if depth > 100:
        return
    if isinstance(value, dict):
        for each in value.values():
            require_finite(each, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            require_finite(each, depth + 1)
