"""What the parent tells the proxy to do with one request."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Instruction:
    """The parent's answer to one request.

    Attributes:
        port: to dial.
        tls: True to open TLS to the host.
        pinned: address to dial unchecked.
        header: name and value to add, which replaces the job's own.
        secrets: to mask in what comes back.
    """

    permitted: bool
    reason: str
    port: int = 0
    tls: bool = False
    pinned: str | None = None
    header: tuple[bytes, bytes] | None = field(default=None, repr=False)
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
