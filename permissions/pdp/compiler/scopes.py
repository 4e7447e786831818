"""Which local a name means, scope by scope, and what may not be declared again."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from permissions.pdp.compiler.form import GENERATED, variable

if TYPE_CHECKING:
    from permissions.pdp.compiler.form import Node

WILDCARD = "_:"


@dataclass(slots=True)
class _Scope:
    locals: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Unique name, and how it came here, per name: argument, read, assigned, declared."""


class Scopes:
    """The scopes of one clause, innermost last."""

    def __init__(self) -> None:
        self._numbers = count()
        self._stack = [_Scope()]

    def push(self) -> None:
        """Begins an inner scope."""
        self._stack.append(_Scope())

    def pop(self) -> None:
        """Ends the innermost scope."""
        self._stack.pop()

    def fresh(self, prefix: str = GENERATED) -> Node:
        """A local of its own."""
        return variable(f"{prefix}{next(self._numbers)}")

    def wildcard(self) -> Node:
        """What `_` stands for: each time another local."""
        return self.fresh(WILDCARD)

    def read(self, name: str) -> Node:
        """The local that a name means here."""
        for scope in reversed(self._stack):
            if name in scope.locals:
                return variable(scope.locals[name][0])
        self._stack[-1].locals[name] = (name, "read")
        return variable(name)

    def is_new(self, name: str) -> bool:
        """Whether a name is met for the first time."""
        return all(name not in each.locals for each in self._stack)

    def declare(self, name: str, how: str) -> Node | str:
        """A new local of the innermost scope; how it came there when it is there already."""
        known = self._stack[-1].locals
        if name in known:
            return known[name][1]
        local = self.fresh(f"{name}{GENERATED}")
        known[name] = (str(local.value), how)
        return local

    def argument(self, name: str) -> Node:
        """The local of an argument; one name twice is one local."""
        found = self.declare(name, "argument")
        return self.read(name) if isinstance(found, str) else found

    def declared(self) -> dict[str, str]:
        """Unique names and names of what `some` and `every` declared in the innermost scope."""
        pairs = self._stack[-1].locals.items()
        return {unique: name for name, (unique, how) in pairs if how == "declared"}
