"""What a term may be, and whether two terms can be the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.compiler.form import is_constant
from permissions.pdp.compiler.types import (
    ANY,
    BOOLEAN,
    NULL,
    NUMBER,
    STRING,
    Array,
    Function,
    Object,
    SetOf,
    Type,
    Union,
    any_of,
    either,
    is_unknown,
    meets,
    select,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from permissions.pdp.compiler.environment import Environment
    from permissions.pdp.compiler.form import Line, Node

_SCALARS = {"string": STRING, "number": NUMBER, "boolean": BOOLEAN, "null": NULL}


class Terms:
    """Types of terms; locals whose type is not known yet get one from what they are compared with."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        infer: Callable[[Environment, tuple[Line, ...]], Environment | None],
    ) -> None:
        """With the declared functions, and what infers a comprehension's locals."""
        self._functions = functions
        self._infer = infer

    def type_of(self, here: Environment, node: Node) -> Type | None:  # noqa: PLR0911 - a case a kind
        """What a term may be; None when nothing tells."""
        match node.kind:
            case "array":
                return Array(tuple(self.type_of(here, each) for each in node.terms))
            case "object":
                return self._object(here, node)
            case "set":
                return SetOf(any_of(self.type_of(here, each) for each in node.terms))
            case "comprehension":
                return self._comprehension(here, node)
            case "ref":
                return here.reference(node.terms)
            case "var":
                return here.local(node)
            case "function":
                return self._functions.get(str(node.value))
            case _:
                return _SCALARS[node.kind]

    def _object(self, here: Environment, node: Node) -> Type:
        static: dict[Node, Type | None] = {}
        dynamic = None
        for key, value in zip(node.terms[::2], node.terms[1::2], strict=True):
            if is_constant(key):
                static[key] = self.type_of(here, value)
            else:
                dynamic = (self.type_of(here, key), self.type_of(here, value))
        return Object.of(static, dynamic)

    def _comprehension(self, here: Environment, node: Node) -> Type | None:
        inner = self._infer(here, node.body)
        if inner is None:
            return None
        collected = [self.type_of(inner, each) for each in node.terms]
        match node.value:
            case "array":
                return Array((), collected[0])
            case "set":
                return SetOf(collected[0])
            case _:
                return Object((), (collected[0], collected[1]))

    def match(self, here: Environment, one: Node, other: Node) -> bool:
        """Whether two terms can be equal; what is not known of one is learnt from the other."""
        its, theirs = self.type_of(here, one), self.type_of(here, other)
        unknown, missing = is_unknown(its), is_unknown(theirs)
        if unknown and missing:
            return self._match_unknown(here, one, other)
        if unknown:
            return self.fit(here, one, theirs)
        return self.fit(here, other, its) if missing else meets(its, theirs)

    def _match_unknown(self, here: Environment, one: Node, other: Node) -> bool:
        """Of two terms of which no type is known in full."""
        for mine, yours in ((one, other), (other, one)):
            if mine.kind in ("array", "object"):
                return self._match_collection(here, mine, yours)
        if one.kind == other.kind == "var":
            return self.fit(here, one, ANY) and self.fit(here, other, here.local(one))
        for mine, yours in ((one, other), (other, one)):
            if mine.kind == "var" and yours.kind == "ref":
                return self.fit(here, mine, ANY)
            known = self.type_of(here, yours)
            if mine.kind == "var" and here.local(mine) is None and known is not None:
                return self.fit(here, mine, known)
        return False

    def _match_collection(self, here: Environment, one: Node, other: Node) -> bool:
        if other.kind == "var":
            return self.fit(here, one, ANY) and self.fit(here, other, self.type_of(here, one))
        if other.kind != one.kind or len(one.terms) != len(other.terms):
            return False
        pairs = list(zip(one.terms, other.terms, strict=True))
        if one.kind == "object":
            theirs = dict(zip(other.terms[::2], other.terms[1::2], strict=True))
            mine = dict(zip(one.terms[::2], one.terms[1::2], strict=True))
            if mine.keys() != theirs.keys():
                return False
            pairs = [(value, theirs[key]) for key, value in mine.items()]
        return all(self.match(here, left, right) for left, right in pairs)

    def fit(
        self, here: Environment, node: Node, kind: Type | None, *, adds: bool = False
    ) -> bool:
        """Whether a term can be of a type; locals in it that are not known then are."""
        match node.kind:
            case "array" | "object" | "set":
                return self._fit_collection(here, node, kind, adds=adds)
            case "var":
                known = here.local(node)
                if not adds:
                    if known is not None:
                        return meets(known, kind)
                    here.bind(node, kind)
                else:
                    here.bind(node, either(known, kind))
                return True
            case _:
                return meets(self.type_of(here, node), kind)

    def _fit_collection(  # noqa: PLR0911 - a case a kind
        self, here: Environment, node: Node, kind: Type | None, *, adds: bool
    ) -> bool:
        if isinstance(kind, Union):
            if not kind.of:
                for term in node.terms:
                    self.fit(here, term, ANY, adds=True)
                return True
            found = [self.fit(here, node, each, adds=True) for each in kind.of]
            return any(found)
        match node.kind, kind:
            case "array", Array():
                if len(node.terms) != len(kind.static) and kind.dynamic is None:
                    return False
                return all(
                    self.fit(here, term, kind.item(at), adds=adds)
                    for at, term in enumerate(node.terms)
                )
            case "object", Object():
                return self._fit_object(here, node, kind, adds=adds)
            case "set", SetOf():
                return all(self.fit(here, term, kind.of, adds=adds) for term in node.terms)
            case _:
                return False

    def _fit_object(self, here: Environment, node: Node, kind: Object, *, adds: bool) -> bool:
        if len(node.terms) // 2 != len(kind.static) and kind.rest is None:
            return False
        for key, value in zip(node.terms[::2], node.terms[1::2], strict=True):
            if not is_constant(key):
                self.fit(here, value, ANY, adds=adds)
                continue
            below = select(kind, key)
            if below is None or not self.fit(here, value, below, adds=adds):
                return False
        return True
