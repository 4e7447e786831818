"""Tools that say as whom they run, and what has to stand around them."""

from __future__ import annotations

import os

from wardline import tool


@tool(effect="read", impact="low", sandbox="kernel")
def behind_a_kernel() -> int:
    """Gives its user's number, from behind a kernel of its own."""
    return os.getuid()


@tool(effect="read", impact="low", sandbox="process")
def behind_anything() -> int:
    """Gives its user's number, from behind whatever there is."""
    return os.getuid()
