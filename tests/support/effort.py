"""How much a test tries: all of it in the full profile, a share of it in the quick one."""

from __future__ import annotations

from hypothesis import settings

QUICK_SHARE = 5


def tries(full: int) -> int:
    """That many in the full profile, and one in `QUICK_SHARE` of them, at least 5, in the quick."""
    if settings.get_current_profile_name() == "full":
        return full
    return min(full, max(full // QUICK_SHARE, 5))
