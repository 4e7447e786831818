"""What can be read out of a value that a tool returned, as JSON: for provenance and the record.

Whatever Python value it is, everything in it that an agent could read is written down here, so
that no value escapes its origin because JSON has no word for it:

    text with broken bytes    with the broken characters as spaces, and without them
    bytes                     as text (UTF-8; UTF-16 where there are zeros), incomplete if binary
    big integers, NaN         as text
    sets, tuples, mappings    as lists and objects; keys that are no texts count as values
    enums, dates, decimals, paths, ...   as their text
    models, dataclasses, exceptions, objects   as all their attributes, and what they say
    subclasses of texts, numbers, lists, ...   as what they are, with what they say or hold beside it
    data frames and arrays    as their rows
    anything else             as what it says of itself, incomplete

*Incomplete* means that there may be more in it than is written here: an image, an open file, a
lazy iterator, an object that gives what it fetches, one whose own code fails. The ledger then takes every value it has never seen for one that
came from there. Such an object in the document is named by `UNREADABLE`.

Nothing is consumed: iterators, generators and awaitables inside of a value are left alone.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import islice
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

if TYPE_CHECKING:
    from permissions.model import JsonValue

UNREADABLE: Final = "$unreadable"
"""Key of a document that names what could not be written down whole."""

MAX_DEPTH: Final = 64
MAX_NODES: Final = 500_000
_MAX_INTEGER: Final = 2**53 - 1
_TELLS_ALL = (
    *(date, time, timedelta, Decimal, Fraction, UUID, PurePath, complex, range),
    *(IPv4Address, IPv4Network, IPv6Address, IPv6Network),
)
"""Types whose text says all there is (`datetime` is a `date`)."""
_OPAQUE = (ModuleType, FunctionType, BuiltinFunctionType, MethodType, type)
_CONTAINERS: Final[dict[type, Callable[[Any], Iterator[Any]]]] = {
    list: list.__iter__,
    tuple: tuple.__iter__,
    set: set.__iter__,
    frozenset: frozenset.__iter__,
}
"""What they hold, whatever a subclass gives when somebody goes over it."""
_OWN = frozenset({"builtins", "collections", "enum", "types"})
"""Modules of classes that say and hold nothing beside what they are."""
_ROWS = {
    "numpy": ("tolist",),
    "pandas": ("reset_index", "to_dict", "tolist", "isoformat"),
    "polars": ("to_dicts", "to_list"),
    "pyarrow": ("to_pylist", "as_py"),
}
"""By package: what gives all of a table, a column, an array or a cell as plain values."""


@dataclass(frozen=True, slots=True)
class Readable:
    """All that can be read out of a value.

    Attributes:
        document: as JSON that any reader takes: texts are valid, numbers finite and small.
        whole: whether that is all there is.
        lazy: whether there is work in it that would only be done when it is looked at.
    """

    document: JsonValue
    whole: bool = True
    lazy: bool = False


NOTHING: Final = Readable(None)


def is_lazy(value: object) -> bool:
    """Whether looking at a value would run code of its tool, or use it up."""
    return isinstance(value, Iterator | AsyncIterator | Awaitable)


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is JSON and nothing else: what it is in the record is all it is."""
    kind = type(value)
    if kind is dict:
        return depth < MAX_DEPTH and all(
            type(key) is str and _is_valid(key) and is_plain(item, depth + 1)
            for key, item in value.items()
        )
    if kind is list:
        return depth < MAX_DEPTH and all(is_plain(item, depth + 1) for item in value)
    return _is_plain_scalar(value, kind)


def _is_plain_scalar(value: Any, kind: type) -> bool:
    if kind is str:
        return _is_valid(value)
    if kind is int:
        return bool(-_MAX_INTEGER <= value <= _MAX_INTEGER)
    if kind is float:
        return math.isfinite(value)
    return kind is bool or value is None


def read(value: object) -> Readable:
    """Everything that can be read out of a value."""
    reader = _Reader()
    document = reader.read(value, 0)
    return Readable(document, whole=reader.whole, lazy=reader.lazy)


def _is_valid(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Reader:
    def __init__(self) -> None:
        self.whole = True
        self.lazy = False
        self._nodes = 0
        self._open: set[int] = set()

    def read(self, value: Any, depth: int) -> JsonValue:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            return self._unreadable(value)
        try:
            return self._read(value, depth)
        except Exception:  # noqa: BLE001 - the tool's own code, looked at
            return self._unreadable(value)

    def _read(self, value: Any, depth: int) -> JsonValue:
        scalar = self._scalar(value)
        if scalar is not _NONE_OF_THESE:
            return scalar
        if id(value) in self._open:
            return None  # it is being read, further up
        self._open.add(id(value))
        try:
            return self._compound(value, depth + 1)
        finally:
            self._open.discard(id(value))

    def _scalar(self, value: Any) -> Any:
        if isinstance(value, Enum):
            return _NONE_OF_THESE
        if _is_plain_scalar(value, type(value)):
            return value
        own = self._own(value, type(value))
        if own is not _NONE_OF_THESE:
            return self._and_beside(value, own)
        return self._text(str(value)) if isinstance(value, _TELLS_ALL) else _NONE_OF_THESE

    def _own(self, value: Any, kind: type) -> Any:
        """What a value of Python's own scalar types is, whatever a subclass says that it is."""
        if issubclass(kind, str):
            return self._text(str.__str__(value))
        if issubclass(kind, int):
            return _integer(int.__int__(value))
        if issubclass(kind, float):
            return _fraction(float.__float__(value))
        if issubclass(kind, bytes | bytearray | memoryview):
            return self._binary(memoryview(value).tobytes())
        return _NONE_OF_THESE

    def _and_beside(self, value: Any, read: JsonValue) -> JsonValue:
        """With what a subclass of one of Python's own types holds and says beside what it is."""
        beside: dict[str, JsonValue] = {}
        if type(value).__module__ not in _OWN:
            held = list(_attributes(value))
            if held or _says(value):
                beside = {name: self.read(item, 1) for name, item in held}
                beside["text"] = self._text(_said(lambda: str(value)))
        return [read, beside] if beside else read

    def _text(self, text: str) -> JsonValue:
        plain = str.__str__(text)
        if plain.isascii() or _is_valid(plain):
            return plain
        spaced = "".join(" " if "\ud800" <= char <= "\udfff" else char for char in plain)
        joined = "".join(char for char in plain if not "\ud800" <= char <= "\udfff")
        return [spaced, joined]

    def _binary(self, data: bytes) -> JsonValue:
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.whole = False
        found: list[JsonValue] = [{UNREADABLE: "bytes"}]
        found += self._texts(data.decode("utf-8", "surrogateescape"))
        if b"\0" in data:
            for encoding in ("utf-16-le", "utf-16-be"):
                found.append(data.decode(encoding, "ignore"))
        return found

    def _texts(self, text: str) -> list[JsonValue]:
        read = self._text(text)
        return read if isinstance(read, list) else [read]

    def _compound(self, value: Any, depth: int) -> JsonValue:
        if isinstance(value, Enum):
            told = [value.name, self.read(value.value, depth)]
            said = _said(lambda: str(value))
            is_usual = said in {value.name, f"{type(value).__name__}.{value.name}"}
            return told if is_usual else [*told, self._text(said)]
        for own, items in _CONTAINERS.items():
            if issubclass(type(value), own):
                inner = [self.read(item, depth) for item in items(value)]
                return self._and_beside(value, inner)
        if isinstance(value, Mapping):
            return self._and_beside(value, self._mapping(value, depth))
        if is_lazy(value):
            self.lazy = True
            return self._unreadable(value)
        if isinstance(value, _OPAQUE):
            return self._unreadable(value)
        rows = self._rows(value, depth)
        return self._object(value, depth) if rows is _NONE_OF_THESE else rows

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> JsonValue:
        own = dict.items(value) if isinstance(value, dict) else value.items()
        pairs = list(islice(own, MAX_NODES))
        if all(type(key) is str and is_plain(key) for key, _ in pairs):
            return {key: self.read(item, depth) for key, item in pairs}
        return [[self.read(key, depth), self.read(item, depth)] for key, item in pairs]

    def _rows(self, value: Any, depth: int) -> Any:
        package = type(value).__module__.partition(".")[0]
        for name in _ROWS.get(package, ()):
            method = getattr(value, name, None)
            if not callable(method):
                continue
            rows = _said(lambda: method("split") if name == "to_dict" else method())  # noqa: B023
            if rows is None or (isinstance(rows, str) and not rows):
                continue
            if type(rows) is not type(value):
                return self.read(rows, depth)
            value = rows  # an index is a column now, and is read with the others
        return _NONE_OF_THESE

    def _object(self, value: Any, depth: int) -> JsonValue:
        """All attributes, and what it says: models, dataclasses, exceptions, anything."""
        read: dict[str, JsonValue] = {}
        for name, item in _attributes(value):
            read[name] = self.read(item, depth)
        if isinstance(value, BaseException):
            read["args"] = self.read(value.args, depth)
            for name in ("__cause__", "__context__", "exceptions"):
                if (other := getattr(value, name, None)) is not None:
                    read[name] = self.read(other, depth)
        if callable(reveal := getattr(value, "get_secret_value", None)):
            read["secret"] = self.read(_said(reveal), depth)
        if not is_all_attributes(type(value)) or _fetches(type(value)):
            self.whole = False
            read[UNREADABLE] = _name(value)
        read["text"] = self._text(_said(lambda: str(value)))
        return read

    def _unreadable(self, value: object) -> JsonValue:
        self.whole = False
        return {UNREADABLE: _name(value)}


_NONE_OF_THESE: Final = object()


def _name(value: object) -> str:
    kind = type(value)
    name = _said(lambda: f"{kind.__module__}.{kind.__qualname__}") or "an object"
    return name.encode("ascii", "replace").decode()[:200]


def _said(say: Any) -> Any:
    """What a value says of itself; nothing when its code fails, or would end the program."""
    try:
        return say()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - the tool's own code
        return ""


def _says(value: Any) -> bool:
    """Whether its text is made by code of its own."""
    kind = type(value)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return False  # a named tuple's, which tells its items
    return any(isinstance(say, FunctionType) for say in (kind.__str__, kind.__repr__))


def _fetches(kind: type) -> bool:
    """Whether an object gives more than its attributes when somebody goes over it or asks it."""
    return any(
        name in base.__dict__
        for base in kind.__mro__
        if base.__module__ not in _OWN and not base.__module__.startswith("pydantic.")
        for name in ("__iter__", "__getitem__", "__getattr__", "__getattribute__")
    )


def _fraction(value: float) -> JsonValue:
    return value if math.isfinite(value) else repr(value)


def _integer(value: int) -> JsonValue:
    """A number that is too large for JSON, as text."""
    if -_MAX_INTEGER <= value <= _MAX_INTEGER:
        return value
    try:
        return str(value)
    except ValueError:  # more digits than Python writes down
        return hex(value)


def _attributes(value: Any) -> Iterable[tuple[str, Any]]:
    """What an object is made of, public or not; never a property, which would run code."""
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name in {"__dict__", "__weakref__"}:
                continue
            try:
                found = object.__getattribute__(value, _mangled(kind, name))
            except AttributeError:
                continue
            # Models keep extra fields and private attributes in slots like these.
            if found is not None:
                yield name, found
    own = getattr(value, "__dict__", None)
    if isinstance(own, dict):
        for name, found in own.items():
            yield str(name).encode("utf-8", "replace").decode(), found


def _mangled(kind: type, name: str) -> str:
    private = name.startswith("__") and not name.endswith("__")
    return f"_{kind.__name__.lstrip('_')}{name}" if private else name


def is_all_attributes(kind: type) -> bool:
    """Whether all of an object lies in its attributes: no base of its class keeps more in C."""
    return all(
        base is object
        or (issubclass(base, BaseException) and base.__module__ == "builtins")
        or _grows_by_attributes_only(base)
        for base in kind.__mro__
    )


def _grows_by_attributes_only(kind: type) -> bool:
    slots = kind.__dict__.get("__slots__", ())
    named = 1 if isinstance(slots, str) else len(tuple(slots))
    below = kind.__base__
    grown = kind.__basicsize__ - (0 if below is None else below.__basicsize__)
    return grown <= (named + _DICT_AND_WEAKREF) * _POINTER


_POINTER: Final = 8
_DICT_AND_WEAKREF: Final = 2
