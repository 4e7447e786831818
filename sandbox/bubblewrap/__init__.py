"""The bubblewrap backend: isolation from `pip install` alone."""

from __future__ import annotations

from sandbox.bubblewrap.backend import BubblewrapSandbox

__all__ = ["BubblewrapSandbox"]
