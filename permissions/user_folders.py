"""The folders of Wardline that belong to the user and to no project (XDG base directory 0.8)."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """What Wardline remembers for this user: trusted settings, known checkpoints."""
    return _base("XDG_STATE_HOME", Path(".local") / "state") / "wardline"


def config_folder() -> Path:
    """The user's own keys as an approver."""
    return _base("XDG_CONFIG_HOME", Path(".config")) / "wardline"


def cache_folder() -> Path:
    """What Wardline can find out again: that a bundle of policies is sound."""
    return _base("XDG_CACHE_HOME", Path(".cache")) / "wardline"


def _base(variable: str, default: Path) -> Path:
    value = os.environ.get(variable, "")
    # The specification says to ignore a relative one; it would follow the working directory.
    return Path(value) if value.startswith("/") else Path.home() / default
