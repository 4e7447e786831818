"""Which names a comparison with `=` binds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.compiler.form import variables

if TYPE_CHECKING:
    from permissions.pdp.compiler.form import Node


def is_bound(reference: Node, bound: set[str]) -> bool:
    """Whether what a reference begins with has a value."""
    return set(variables(reference.terms[0])) <= bound


def bound_by(bound: set[str], one: Node, other: Node) -> set[str]:
    """The names that have a value once two terms are the same, given those in `bound`."""
    unifier = _Unifier(bound)
    unifier.unify(one, other)
    return unifier.found


class _Unifier:
    """Names found so far, and which others the rest waits for."""

    def __init__(self, bound: set[str]) -> None:
        self.found: set[str] = set()
        self._bound = bound
        self._waits: dict[str, set[str]] = {}

    def _is_known(self, name: str) -> bool:
        return name in self._bound or name in self.found

    def unify(self, one: Node, other: Node) -> None:
        if one.kind == "var":
            self._name(str(one.value), other)
        elif other.kind == "var":
            self._name(str(other.value), one)
        elif one.kind == other.kind:
            self._parts(one, other)
        else:
            for value, pattern in ((one, other), (other, one)):
                self._pattern(value, pattern)

    def _pattern(self, value: Node, pattern: Node) -> None:
        """What a pattern binds that is compared with a reference or comprehension."""
        if value.kind == "ref" and pattern.kind in ("array", "object"):
            if is_bound(value, self._bound):
                self._mark_all(pattern)
        elif value.kind == "comprehension" and (
            pattern.kind == "array" or pattern.kind == value.value == "object"
        ):
            self._mark_all(pattern)

    def _parts(self, one: Node, other: Node) -> None:
        if len(one.terms) != len(other.terms):
            return
        if one.kind == "array":
            for mine, theirs in zip(one.terms, other.terms, strict=True):
                self.unify(mine, theirs)
        elif one.kind == "object":
            values = dict(zip(other.terms[::2], other.terms[1::2], strict=True))
            for key, mine in zip(one.terms[::2], one.terms[1::2], strict=True):
                if key in values:
                    self.unify(mine, values[key])

    def _name(self, name: str, other: Node) -> None:
        match other.kind:
            case "var":
                theirs = str(other.value)
                if self._is_known(theirs):
                    self._mark(name)
                elif self._is_known(name):
                    self._mark(theirs)
                else:
                    self._waits.setdefault(name, set()).add(theirs)
                    self._waits.setdefault(theirs, set()).add(name)
            case "array" | "object":
                self._collection(name, other)
            case "ref":
                if is_bound(other, self._bound):
                    self._mark(name)
            case _:
                self._mark(name)

    def _collection(self, name: str, other: Node) -> None:
        if self._is_known(name):
            self._mark_all(other)
            return
        parts = set(variables(other, bases=False, keys=False)) - self._bound - self.found
        if parts:
            self._waits.setdefault(name, set()).update(parts)
        else:
            self._mark(name)

    def _mark_all(self, node: Node) -> None:
        for name in set(variables(node, bases=False, keys=False)):
            self._mark(name)

    def _mark(self, name: str) -> None:
        self.found.add(name)
        for other in self._waits.pop(name, ()):
            self._mark(other)
        for other, waited in list(self._waits.items()):
            if name in waited:
                waited.discard(name)
                if not waited:
                    self._waits.pop(other, None)
                    self._mark(other)
