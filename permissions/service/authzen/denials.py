"""What was denied lately and may be asked about: to which client, about what, until when.

Kept in memory and for a few minutes, of each client by itself: a client that asks much forgets
its own denials. After a restart nothing is known, and a question has to be asked anew.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.model import Digest

MOST = 1_000
"""Of one client; the oldest goes."""
LIFETIME = 600_000_000
"""Microseconds for which people may be asked about a denial."""


@dataclass(slots=True)
class KeptDenial:
    """A denial.

    Attributes:
        asked: digest of subject, action and resource, as they were asked about.
        expires: microseconds since 1970 UTC.
        request: id of the access request that was opened about it.
        lock: held while one is opened.
    """

    asked: Digest
    expires: int
    request: str | None = None
    lock: anyio.Lock = field(default_factory=anyio.Lock)


class Denials:
    """Denials by client and by the id of the evaluation."""

    def __init__(self) -> None:
        self._kept: dict[str, OrderedDict[str, KeptDenial]] = {}

    def keep(self, client: str, evaluation: str, asked: Digest, *, now: int) -> KeptDenial:
        """Keeps one."""
        kept = self._kept.setdefault(client, OrderedDict())
        found = kept[evaluation] = KeptDenial(asked, now + LIFETIME)
        while len(kept) > MOST:
            kept.popitem(last=False)
        return found

    def find(self, client: str, evaluation: str) -> KeptDenial | None:
        """The one that this client was told, also when its time is over."""
        return self._kept.get(client, OrderedDict()).get(evaluation)

    def requests(self, client: str, asked: Digest) -> Iterator[str]:
        """Access requests of this client about the same question, the last denial's first."""
        for kept in reversed(self._kept.get(client, OrderedDict()).values()):
            if kept.asked == asked and kept.request is not None:
                yield kept.request
