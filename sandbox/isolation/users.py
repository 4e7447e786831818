"""A user of the host for each sandbox, so that what the kernel counts by user is its own.

Signals in a queue, pages in pipes, watches, descriptors in flight and locked memory are counted
by user, across namespaces. Sandboxes of one user could starve each other, and whoever else is
that user.

What it does not protect from: what is counted for the whole machine.
"""

from __future__ import annotations

import secrets

FIRST, LAST = 1_879_048_192, 2_147_352_575
"""Ids that nobody gives out, by systemd's table (UIDS-GIDS)."""


def own_user() -> int:
    """An id, for user and group, that no other sandbox has: one of 268 million."""
    return FIRST + secrets.randbelow(LAST - FIRST + 1)
