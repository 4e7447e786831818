"""One thing that is wrong with a policy, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from permissions.pdp.rego.ast import Place


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason not to serve a policy. Every finding is an error; there are no warnings."""

    path: str
    place: Place
    code: str
    what: str
    fix: str

    def __str__(self) -> str:
        """`file:line:column: code: what is wrong; what to do`."""
        at = f"{self.path}:{self.place.line}:{self.place.column}"
        return f"{at}: {self.code}: {self.what}; {self.fix}"
