"""How long a stateful session may live, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sandbox.errors import ProfileError

_MOST = {
    "calls": 100_000,
    "idle_seconds": 86400,
    "total_seconds": 604800,
    "cpu_seconds": 604800,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How long a session may live. The first limit that is reached ends it.

    Attributes:
        calls: in all.
        idle_seconds: from the end of one call to the next.
        total_seconds: from its start, whatever happens; no call runs beyond it.
        cpu_seconds: processor time of all its processes together, but for those that ended
            and nobody waited for. Looked at after each call, so the last one may go over it,
            as far as the profile lets one call go.

    Raises:
        ProfileError: a value out of range.
    """

    calls: int = 100
    idle_seconds: float = 300.0
    total_seconds: float = 3600.0
    cpu_seconds: float = 600.0

    def __post_init__(self) -> None:
        """Checks every value, so that no backend has to."""
        for each in fields(self):
            value = getattr(self, each.name)
            # bool is an int, NaN compares false: both are refused here
            if isinstance(value, bool) or not 0 < value <= _MOST[each.name]:
                raise ProfileError(
                    f"session: {each.name}={value!r:.40} is outside 0 to {_MOST[each.name]}"
                )
