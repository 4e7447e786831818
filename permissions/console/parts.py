"""What the console is built from: the broker it shows, and where its own things are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from permissions.approval.passkeys import Site
    from permissions.broker.broker import PermissionBroker
    from permissions.console.record import Record
    from permissions.console.sign_ins import SignIns
    from permissions.model import AccessRequestTerms
    from permissions.stops.statement import Stop


@dataclass(frozen=True, slots=True)
class ConsoleParts:
    """Everything the console uses. Whoever opened the parts closes them.

    Attributes:
        broker: whose requests, policies and tools are shown.
        sign_ins: who is signed in.
        site: where browsers reach it, and passkeys are made for.
        record: what happened; None where nothing of it is on a disk.
        clock: microseconds since 1970 UTC.
        resume_terms: who has to agree that a stop is lifted; None where nobody has to.
        evidence: folder of what was gathered; None where none is named.
        prefix: the path it is mounted under, without a slash at its end.
    """

    broker: PermissionBroker
    sign_ins: SignIns
    site: Site
    record: Record | None
    clock: Callable[[], int]
    resume_terms: Callable[[Stop], AccessRequestTerms | None]
    evidence: Path | None = None
    prefix: str = ""

    @property
    def host(self) -> str:
        """What a browser says in `Host`."""
        return self.site.origin.partition("//")[2]

    @property
    def is_secure(self) -> bool:
        """Whether it is reached by TLS."""
        return self.site.origin.startswith("https:")
