"""Has a broker that gives way leave a state folder that another one is to have.

One process at a time writes a log. The helper of coding agents' hooks (`permissions.coding`)
stays when nobody asks it anything, and ends at once for whoever of the same user opens the log:
`wardline serve`, a program with a broker of its own, a command. No other broker gives way.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

from permissions.errors import BrokerError
from permissions.service.address import SOCKET
from permissions.setup.control import ask

if TYPE_CHECKING:
    from permissions.setup.layout import StateLayout

SECONDS = 10.0
"""For its calls in hand to end; then the log is found to have another writer, as it has."""


def require_free(layout: StateLayout) -> None:
    """Asks the broker of a state folder, if there is one, to leave, and waits until it has.

    Blocking. Returns also when it does not leave: whoever opens the log finds that out.
    """
    if not (layout.root / SOCKET).exists():
        return
    try:
        said = ask(layout.root, "leave", wait_seconds=SECONDS)
        process = os.pidfd_open(said["pid"])
    except (BrokerError, OSError, KeyError, TypeError):
        return  # nobody is there, it gives no way, or it has ended
    try:
        ended = select.poll()
        ended.register(process, select.POLLIN)
        ended.poll(SECONDS * 1000)
    finally:
        os.close(process)
