"""Where the values of a call came from, as the broker works it out."""

from __future__ import annotations

from permissions.run.provenance import ProvenanceLedger

__all__ = [
    "ProvenanceLedger",
]
