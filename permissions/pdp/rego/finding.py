"""One thing that is wrong with a policy, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from permissions.pdp.rego.ast import Position


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason not to serve a policy. Every finding is an error; there are no warnings."""

    path: str
    position: Position
    code: str
    what: str
    fix: str

    def __str__(self) -> str:
        """`file:line:column: code: what is wrong; what to do`."""
        at = f"{self.path}:{self.position.line}:{self.position.column}"
        return f"{at}: {self.code}: {self.what}; {self.fix}"
