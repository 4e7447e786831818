"""Whether the steps of a reference lead anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.compiler.form import ROOTS, is_scalar, variable
from permissions.pdp.compiler.types import (
    ANY,
    described,
    is_empty,
    keys_of,
    meets,
    select,
    values_of,
)

if TYPE_CHECKING:
    from permissions.pdp.compiler.environment import Environment, Path, Tree
    from permissions.pdp.compiler.form import Node
    from permissions.pdp.compiler.terms import Terms
    from permissions.pdp.compiler.types import Type

_DATA = variable("data")
_ROOTS = tuple(map(variable, ROOTS))


class Steps:
    """Follows references in one environment; locals used as keys get the type of keys there."""

    def __init__(self, here: Environment, terms: Terms) -> None:
        self._here = here
        self._terms = terms

    def fault(self, path: Path) -> str | None:
        """What is wrong with a reference."""
        return self._step(self._here, self._here.tree, path, 0)

    def _step(self, current: Environment, tree: Tree, path: Path, at: int) -> str | None:
        """What is wrong with the steps of a reference."""
        if at == len(path):
            return None
        step = path[at]
        if at in (1, 2) and path[0] == _DATA and step.kind not in ("var", "string"):
            return f"step {at} of a path of data is no name"
        if step.kind == "var" and at and (fault := self._key(step, keys_of(tree.extent()))):
            return fault
        child = tree.below.get(step)
        if child is not None:
            if child.value is not None:
                return self._below(child.value, path, at + 1)
            return self._step(current, child, path, at + 1)
        return self._elsewhere(current, tree, path, at)

    def _elsewhere(self, current: Environment, tree: Tree, path: Path, at: int) -> str | None:
        """A reference that this environment does not know further than to a step."""
        if current.around:
            return self._step(current.around, current.around.tree, path, 0)
        if path[0] not in _ROOTS:
            return self._below(ANY, path, 0)
        if not at:
            return self._below(ANY, path, 1)
        for below in list(tree.below.values()):
            self._step(current, below, path, at + 1)
        return None

    def _key(self, step: Node, keys: Type | None) -> str | None:
        """What is wrong with a local as a key; one that is not known is one of the keys."""
        known = self._here.local(step)
        if known is None:
            self._here.bind(step, keys)
        elif not meets(known, keys):
            return f"a {described(known)} is no key there: {described(keys)}"
        return None

    def _below(self, whole: Type | None, path: Path, at: int) -> str | None:
        if at == len(path):
            return None
        step = path[at]
        if is_empty(whole):
            return self._in_nothing(whole, step)
        keys = keys_of(whole)
        if keys is None:
            return f"nothing is below a {described(whole)}"
        if is_scalar(step):
            below = select(whole, step)
            if below is None:
                return f"there is no {step.value!r} in a {described(whole)}"
            return self._below(below, path, at + 1)
        return self._step_into(step, keys) or self._below(values_of(whole), path, at + 1)

    def _step_into(self, step: Node, keys: Type) -> str | None:
        if step.kind == "var":
            return self._key(step, keys)
        if step.kind == "ref":
            known = self._here.reference(step.terms)
            if known is not None and not meets(known, keys):
                return f"a {described(known)} is no key there: {described(keys)}"
        elif step.kind != "comprehension" and not self._terms.fit(self._here, step, keys):
            return f"such a key is never there: {described(keys)}"
        return None

    def _in_nothing(self, whole: Type | None, step: Node) -> str | None:
        if is_scalar(step):
            return "nothing is ever in it"
        keys = keys_of(whole)
        if step.kind == "var" and self._here.local(step) is None:
            self._here.bind(step, ANY)
        elif step.kind == "var" and keys is not None:
            return self._key(step, keys)
        return None
