"""The types of rules, of documents and of locals, by path."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from permissions.pdp.compiler.form import ROOTS, Node, is_constant, is_scalar, variable
from permissions.pdp.compiler.types import (
    ANY,
    STRING,
    Object,
    SetOf,
    Type,
    Union,
    either,
    is_empty,
    select,
    values_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Path = tuple[Node, ...]
_ROOTS = tuple(map(variable, ROOTS))


@dataclass(slots=True)
class Tree:
    """What is known at a path, and below it."""

    below: dict[Node, Tree] = field(default_factory=dict)
    value: Type | None = None

    def put(self, path: Sequence[Node], value: Type | None) -> None:
        """Sets the type at a path."""
        self._at(path).value = value

    def _at(self, path: Sequence[Node]) -> Tree:
        node = self
        for step in path:
            node = node.below.setdefault(step, Tree())
        return node

    def insert(self, path: Sequence[Node], value: Type) -> None:
        """Adds a type at a path, and to the objects above and below it."""
        node = self
        for at, step in enumerate(path):
            node = node.below.setdefault(step, Tree())
            if isinstance(node.value, Object) and at + 1 < len(path):
                node.value = _with_member(node.value, path[at + 1 :], value)
        node.value = _merged(node.value, value)
        if isinstance(value, Object) and node.below:
            for below, leaf in list(node.leaves()):
                if isinstance(node.value, Object):
                    node.value = _with_member(node.value, below, leaf)

    def leaves(self) -> Iterator[tuple[Path, Type]]:
        """Every known type below, the nearest to here, with its path."""
        for step, child in self.below.items():
            if child.value is not None:
                yield (step,), child.value
            else:
                yield from (((step, *rest), leaf) for rest, leaf in child.leaves())

    def extent(self) -> Type | None:
        """The type of the whole: an object of what is below, and of documents not known."""
        if self.value is not None:
            return self.value
        members = {
            key: child.extent()
            for key, child in self.below.items()
            if key.kind in ("string", "number", "boolean")
        }
        return Object.of(members, (STRING, ANY))


def _merged(one: Type | None, other: Type | None) -> Type | None:
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, SetOf) and isinstance(other, SetOf):
        return SetOf(either(one.of, other.of))
    if isinstance(one, Union) and not isinstance(other, Union):
        one, other = other, one
    if isinstance(one, Object) and not one.static:
        if isinstance(other, Object) and not other.static:
            if one.dynamic is None or other.dynamic is None:
                return other if one.dynamic is None else one
            key = either(one.dynamic[0], other.dynamic[0])
            return Object((), (key, _merged(one.dynamic[1], other.dynamic[1])))
        if isinstance(other, Union) and one.dynamic is not None:
            return _merged_into(one.dynamic, other)
    return either(one, other)


def _merged_into(dynamic: tuple[Type | None, Type | None], union: Union) -> Type | None:
    for each in union.of:
        if isinstance(each, Object) and not each.static and each.dynamic:
            key, value = map(either, each.dynamic, dynamic)
            return Union((union.of - {each}) | {Object((), (key, value))})
    return either(Object((), dynamic), union)


def _with_member(whole: Object, path: Sequence[Node], value: Type) -> Object:
    key = STRING if path[0].kind == "string" else ANY
    below: Type = value if len(path) == 1 else _with_member(Object(), path[1:], value)
    if whole.dynamic is None:
        return Object(whole.static, (key, below))
    return Object(
        whole.static, (either(whole.dynamic[0], key), either(whole.dynamic[1], below))
    )


class Environment:
    """Types known in one body, and in what is around it."""

    def __init__(self, around: Environment | None = None, locals_: Tree | None = None) -> None:
        self.tree = Tree()
        self.around = around
        self._locals = self.tree if locals_ is None else locals_

    def inner(self, *, shares_locals: bool = False) -> Environment:
        """One around which this is; with `shares_locals` it only has other documents."""
        return Environment(self, self._locals if shares_locals else None)

    def bind(self, name: Node, found: Type | None) -> None:
        """Says what a local is."""
        self._locals.put((name,), found)

    def local(self, name: Node) -> Type | None:
        """What a local is."""
        child = self.tree.below.get(name)
        if child is not None:
            return child.value
        return self.around.local(name) if self.around else None

    def reference(self, path: Path) -> Type | None:
        """What a reference may be."""
        child = self.tree.below.get(path[0])
        if child is None:
            return self._elsewhere(path)
        return self._below(child, path, path[1:])

    def _elsewhere(self, path: Path) -> Type | None:
        if self.around:
            return self.around.reference(path)
        return ANY if path[0] in _ROOTS else None

    def _below(self, node: Tree, path: Path, rest: Path) -> Type | None:
        if not rest:
            return node.extent()
        if node.value is not None:
            if rest[0] in node.below:
                return self._below(node.below[rest[0]], path, rest[1:])
            return selected(node.value, rest)
        if not is_constant(rest[0]):
            return selected(node.extent(), rest)
        child = node.below.get(rest[0])
        return self._elsewhere(path) if child is None else self._below(child, path, rest[1:])


def selected(whole: Type | None, path: Path) -> Type | None:
    """What stands below a type."""
    for step in path:
        if whole is None:
            return None
        if is_scalar(step):
            whole = select(whole, step)
        elif is_empty(whole):
            return ANY
        else:
            whole = values_of(whole)
    return whole
