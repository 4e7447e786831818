"""Refuses what the embedded engine would decide otherwise than OPA, before it decides."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from permissions.errors import PolicyLoadError
from permissions.pdp.engine import Engine, EngineError

if TYPE_CHECKING:
    from permissions.pdp.bundle import PolicyBundle


def require_sound(bundle: PolicyBundle) -> None:
    """Passes a bundle that may be served.

    Raises:
        PolicyLoadError: with every finding.
    """
    try:
        Engine(bundle.modules, json.dumps(bundle.data, ensure_ascii=False))
    except EngineError as err:
        raise PolicyLoadError([f"{err.place}: rego.compile: {err.text}; mend it"]) from err
