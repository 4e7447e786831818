"""What values may be, as OPA's compiler tells them apart.

A type is a kind with what is known of its parts, or `Union` of several; the empty union allows
anything. None stands for what is not known yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from permissions.pdp.compiler.form import Node, is_scalar

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text, number, truth value or null."""

    kind: str


@dataclass(frozen=True, slots=True)
class Array:
    """Known items first, then any number of one type."""

    static: tuple[Type | None, ...] = ()
    dynamic: Type | None = None

    def item(self, at: int) -> Type | None:
        """The type at an index; None when there is none."""
        return self.static[at] if 0 <= at < len(self.static) else self.dynamic


@dataclass(frozen=True, slots=True)
class Object:
    """Known members, and the types of further keys and values."""

    static: tuple[tuple[Node, Type | None], ...] = ()
    dynamic: tuple[Type | None, Type | None] | None = None

    @classmethod
    def of(
        cls,
        static: dict[Node, Type | None],
        dynamic: tuple[Type | None, Type | None] | None = None,
    ) -> Object:
        """With the members in one order."""
        return cls(tuple(sorted(static.items(), key=_order)), dynamic)

    @property
    def rest(self) -> Type | None:
        """The type of values under further keys."""
        return self.dynamic[1] if self.dynamic else None

    def member(self, key: Node) -> Type | None:
        """The type under a key; None when there is none."""
        for known, value in self.static:
            if known == key:
                return value
        if self.dynamic and allows(self.dynamic[0], type_of(key)):
            return self.dynamic[1]
        return None


def _order(member: tuple[Node, Type | None]) -> tuple[str, str, str]:
    key = member[0]
    return key.kind, str(key.value), repr(key.terms) if key.terms else ""


@dataclass(frozen=True, slots=True)
class SetOf:
    """A set; of nothing when `of` is None."""

    of: Type | None = None


@dataclass(frozen=True, slots=True)
class Union:
    """One of several; of none: anything."""

    of: frozenset[Type] = frozenset()


@dataclass(frozen=True, slots=True)
class Function:
    """What a function takes and gives."""

    arguments: tuple[Type | None, ...]
    result: Type | None


Type = Scalar | Array | Object | SetOf | Union | Function

ANY = Union()
STRING, NUMBER, BOOLEAN, NULL = map(Scalar, ("string", "number", "boolean", "null"))


def declared(document: dict[str, Any]) -> Type:
    """A type as `opa capabilities` writes it."""
    match document["type"]:
        case "array":
            static = tuple(declared(each) for each in document.get("static", ()))
            dynamic = document.get("dynamic")
            return Array(static, declared(dynamic) if dynamic else None)
        case "object":
            members = {
                Node("string", each["key"]): declared(each["value"])
                for each in document.get("static", ())
            }
            rest = document.get("dynamic")
            return Object.of(
                dict(members),
                (declared(rest["key"]), declared(rest["value"])) if rest else None,
            )
        case "set":
            return SetOf(declared(document["of"]) if "of" in document else None)
        case "any":
            return Union(frozenset(map(declared, document.get("of", ()))))
        case kind:
            return Scalar(kind)


def type_of(node: Node) -> Type:
    """Of a constant."""
    if is_scalar(node):
        return Scalar(node.kind)
    if node.kind == "object":
        pairs = zip(node.terms[::2], node.terms[1::2], strict=True)
        return Object.of({key: type_of(value) for key, value in pairs})
    return Array(tuple(map(type_of, node.terms)))


def allows(wide: Type | None, one: Type) -> bool:
    """Whether a union names a type, or a type is the same."""
    return one in wide.of or not wide.of if isinstance(wide, Union) else wide == one


def either(one: Type | None, other: Type | None) -> Type | None:
    """One of two types; None for a function and a value."""
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, Function) or isinstance(other, Function):
        return _either_function(one, other)
    parts = [each.of if isinstance(each, Union) else frozenset({each}) for each in (one, other)]
    if not all(parts):
        return ANY
    merged = parts[0] | parts[1]
    return next(iter(merged)) if len(merged) == 1 else Union(merged)


def _either_function(one: Type, other: Type) -> Type | None:
    if not isinstance(one, Function) or not isinstance(other, Function):
        return None
    if len(one.arguments) != len(other.arguments):
        return None
    arguments = map(either, one.arguments, other.arguments)
    return Function(tuple(arguments), either(one.result, other.result))


def any_of(types: Iterable[Type | None]) -> Type | None:
    """One of several types."""
    return reduce(either, types, None)


def select(whole: Type | None, key: Node) -> Type | None:
    """What stands under a constant key; None when nothing can."""
    match whole:
        case Array():
            is_index = key.kind == "number" and isinstance(key.value, int)
            return whole.item(int(str(key.value))) if is_index else None
        case Object():
            return whole.member(key)
        case SetOf():
            found = type_of(key)
            if whole.of == found:
                return found
            return found if isinstance(whole.of, Union) and allows(whole.of, found) else None
        case Union():
            return any_of(select(each, key) for each in whole.of) if whole.of else ANY
        case _:
            return None


def keys_of(whole: Type | None) -> Type | None:
    """What keys may be; None for what has none."""
    match whole:
        case Array():
            return NUMBER
        case Object():
            known = any_of(type_of(key) for key, _ in whole.static)
            return either(known, whole.dynamic[0]) if whole.dynamic else known
        case SetOf():
            return whole.of
        case Union():
            return any_of(map(keys_of, whole.of)) if whole.of else ANY
        case _:
            return None


def values_of(whole: Type | None) -> Type | None:
    """What members may be; None for what has none."""
    match whole:
        case Array():
            return either(any_of(whole.static), whole.dynamic)
        case Object():
            return either(any_of(value for _, value in whole.static), whole.rest)
        case SetOf():
            return whole.of
        case Union():
            return any_of(map(values_of, whole.of)) if whole.of else ANY
        case _:
            return None


def is_unknown(found: Type | None) -> bool:
    """Whether it is not known, or a part of it is not."""
    match found:
        case None:
            return True
        case Function():
            return any(map(is_unknown, (*found.arguments, found.result)))
        case Array():
            return any(map(is_unknown, found.static)) or (
                found.dynamic is not None and is_unknown(found.dynamic)
            )
        case Object():
            return any(is_unknown(value) for _, value in found.static) or (
                found.dynamic is not None and any(map(is_unknown, found.dynamic))
            )
        case SetOf():
            return is_unknown(found.of)
        case _:
            return False


def is_empty(found: Type | None) -> bool:
    """Whether it is a collection that can hold nothing."""
    return found in (Array(), Object(), SetOf())


def meets(one: Type | None, other: Type | None) -> bool:  # noqa: PLR0911 - one case a kind
    """Whether some value can be of both types."""
    if one is None or other is None:
        return False
    if isinstance(one, Union) or isinstance(other, Union):
        return _meets_any(one, other) or _meets_any(other, one)
    match one, other:
        case Scalar(), Scalar():
            return one == other
        case Array(), Array():
            if not (_meets_items(one, other) and _meets_items(other, one)):
                return False
            return None in (one.dynamic, other.dynamic) or meets(one.dynamic, other.dynamic)
        case Object(), Object():
            if not (_meets_members(one, other) and _meets_members(other, one)):
                return False
            return None in (one.rest, other.rest) or meets(one.rest, other.rest)
        case SetOf(), SetOf():
            return None in (one.of, other.of) or meets(one.of, other.of)
        case Function(), Function():
            return len(one.arguments) == len(other.arguments) and all(
                map(meets, one.arguments, other.arguments)
            )
        case _:
            return False


def _meets_any(union: Type, other: Type) -> bool:
    if not isinstance(union, Union) or isinstance(other, Function):
        return False
    return not union.of or any(meets(each, other) for each in union.of)


def _meets_items(one: Array, other: Array) -> bool:
    return all(meets(each, other.item(at)) for at, each in enumerate(one.static))


def _meets_members(one: Object, other: Object) -> bool:
    for key, value in one.static:
        theirs = other.member(key)
        if theirs is None:
            if one.rest is None and other.rest is None:
                return False
        elif not meets(value, theirs):
            return False
    return True


def described(found: Type | None) -> str:
    """In words, for a finding."""
    match found:
        case Scalar():
            return found.kind
        case Union():
            return " or ".join(sorted(map(described, found.of))) or "any value"
        case None:
            return "something unknown"
        case _:
            return {"SetOf": "set"}.get(type(found).__name__, type(found).__name__.lower())
