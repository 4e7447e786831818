"""How many calls the daemon has in hand, of each client and in all; beyond that it refuses at once.

What waits would wait in memory, and who asks would not know. A refusal says so
(`service.overloaded`), costs no evaluation, and is not recorded: a flood is not to fill the record.
It is counted.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from permissions.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.service.clients import Client

CALLS = 1024
"""In hand at once, of all clients together: being decided, waiting for a person, or running here."""

_log = get_logger("service.load")


class Load:
    """The calls in hand of one daemon. For its event loop.

    Attributes:
        refused: how many calls were refused, by client.
    """

    def __init__(self, most: int = CALLS) -> None:
        self._most = most
        self._calls: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    @property
    def calls(self) -> int:
        """How many are in hand."""
        return self._calls.total()

    @property
    def is_full(self) -> bool:
        """Whether it takes no call of anybody."""
        return self.calls >= self._most

    def excess(self, client: Client) -> str | None:
        """Why another call of this client is refused now, which counts it; None when it is not."""
        own = self._calls[client.name]
        if own >= client.calls:
            said = f"the client {client.name!r} has {own} calls in hand, and may have no more"
        elif self.is_full:
            said = f"{self.calls} calls are in hand, and it takes no more at once"
        else:
            return None
        self.refused[client.name] += 1
        if self.refused[client.name].bit_count() == 1:  # the first, second, fourth, ...
            _log.warning("overloaded", client=client.name, refused=self.refused[client.name])
        return said

    @contextmanager
    def taken(self, client: Client) -> Iterator[None]:
        """Counts a call of this client while the context is open."""
        self._calls[client.name] += 1
        try:
            yield
        finally:
            self._calls[client.name] -= 1
