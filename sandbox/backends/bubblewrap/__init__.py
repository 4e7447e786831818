"""The bubblewrap backend: isolation from `pip install` alone.

From a profile to bubblewrap's arguments, its launch and its leftovers. Not in here: anything
another backend needs too.
"""

from __future__ import annotations

from sandbox.backends.bubblewrap.backend import BubblewrapSandbox

__all__ = ["BubblewrapSandbox"]
