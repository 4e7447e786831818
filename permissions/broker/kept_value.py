"""Keeps a result in the journal such that it comes back as the very same Python value.

A framework that runs a node again is to get what it got the first time: a tuple as a tuple, a
model as its model, a message or a state update as the framework's own object. So this is not
the JSON of a schema, but JSON in which everything that JSON has no word for is tagged. Classes
are written by name and all of their attributes; an object that keeps anything elsewhere (in C,
behind a `__reduce__` of its own) or whose class cannot be found by its name is not kept.

What is read back comes from the broker's own state folder. Even so no class is imported and no
constructor called: a class has to be loaded already, and only its attributes are set. It does
not protect from an account that may write the state folder.
"""

from __future__ import annotations

import math
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import PosixPath, PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from pydantic import BaseModel

from permissions.run.readable import is_all_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_DEPTH: Final = 64
_TAG: Final = "$"
_MAX_INTEGER: Final = 2**53 - 1
_LISTS: Final[dict[str, type]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
}
_TEXTS: Final[dict[str, tuple[type, Callable[[str], Any], Callable[[Any], str]]]] = {
    "decimal": (Decimal, Decimal, str),
    "uuid": (UUID, UUID, str),
    "date": (date, date.fromisoformat, date.isoformat),
    "path": (PosixPath, PosixPath, str),
    "pure_path": (PurePosixPath, PurePosixPath, str),
    "bytes": (bytes, bytes.fromhex, bytes.hex),
    "bytearray": (bytearray, bytearray.fromhex, bytearray.hex),
}
_FORBIDDEN: Final = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__new__")


class NotKeptError(Exception):
    """A value that would not come back as the same."""


def keep(value: Any) -> bytes:
    """A value as bytes, from which `restored` makes the same again.

    Raises:
        NotKeptError: it cannot be kept; names the type that cannot.
    """
    try:
        return orjson.dumps(_kept(value, 0))
    except NotKeptError:
        raise
    except Exception as err:  # the tool's own code is asked, too
        raise NotKeptError(type(err).__name__) from err


def restored(data: bytes) -> Any:
    """The value that `keep` was given.

    Raises:
        NotKeptError: a class of it is not there any more, or is another one now.
    """
    try:
        return _restored(orjson.loads(data))
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as err:
        raise NotKeptError(type(err).__name__) from err


def _kept(value: Any, depth: int) -> Any:
    kind = type(value)
    if depth > MAX_DEPTH:
        raise NotKeptError("nested too deeply")
    if kind is bool or value is None:
        return value
    if kind in {int, float, str}:
        return _kept_scalar(value)
    if kind is list:
        return [_kept(item, depth + 1) for item in value]
    if kind is dict:
        return _kept_dict(value, depth + 1)
    return _kept_other(value, kind, depth)


def _kept_scalar(value: Any) -> Any:
    if isinstance(value, str):
        return value if _is_valid(value) else _tagged("str", _bytes(value).hex())
    if isinstance(value, int):
        return value if -_MAX_INTEGER <= value <= _MAX_INTEGER else _tagged("int", hex(value))
    return value if math.isfinite(value) else _tagged("float", repr(value))


def _kept_other(value: Any, kind: type, depth: int) -> Any:
    for name, made in _LISTS.items():
        if kind is made:
            return _tagged(name, [_kept(item, depth + 1) for item in value])
    for name, (made, _, say) in _TEXTS.items():
        if kind is made:
            return _tagged(name, say(value))
    return _kept_time(value) or _kept_object(value, kind, depth + 1)


def _kept_dict(value: Mapping[Any, Any], depth: int) -> Any:
    if all(type(key) is str and key != _TAG and _is_valid(key) for key in value):
        return {key: _kept(item, depth) for key, item in value.items()}
    return _tagged("dict", [[_kept(k, depth), _kept(v, depth)] for k, v in value.items()])


def _kept_time(value: Any) -> Any:
    if type(value) is timedelta:
        return _tagged("timedelta", [value.days, value.seconds, value.microseconds])
    if type(value) not in {datetime, time}:
        return None
    zone = value.tzinfo
    if zone is None:
        named: Any = None
    elif type(zone) is timezone and (offset := zone.utcoffset(None)) is not None:
        named = offset.total_seconds()
    elif type(zone) is ZoneInfo and zone.key:
        named = zone.key
    else:
        raise NotKeptError("tzinfo")
    name = type(value).__name__
    return _tagged(name, [value.replace(tzinfo=None).isoformat(), value.fold, named])


def _kept_object(value: Any, kind: type, depth: int) -> Any:
    where = [kind.__module__, kind.__qualname__]
    if _class(where) is not kind:
        raise NotKeptError(kind.__qualname__)
    if isinstance(value, Enum):
        return _tagged("enum", [where, value.name])
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return _tagged("named", [where, [_kept(item, depth) for item in value]])
    if isinstance(value, BaseModel):
        state = {**value.__getstate__()}
        return _tagged("model", [where, _kept(state, depth)])
    if isinstance(value, BaseException):
        if not _is_simple(
            kind
        ):  # as an OSError, which keeps a file's name beside its arguments
            raise NotKeptError(kind.__qualname__)
        state = {**vars(value)}
        return _tagged("error", [where, _kept(value.args, depth), _kept(state, depth)])
    if (
        kind is object
        or not is_all_attributes(kind)
        or any(_overrides(kind, name) for name in _FORBIDDEN)
    ):
        raise NotKeptError(kind.__qualname__)
    return _tagged("object", [where, _kept(_state(value), depth)])


def _is_simple(kind: type) -> bool:
    """Whether an exception is its arguments and its attributes."""
    size = BaseException.__basicsize__
    return kind.__basicsize__ <= size + 16 and isinstance(kind.__new__, type(object.__new__))


def _overrides(kind: type, name: str) -> bool:
    given = getattr(kind, name, None)
    # A frozen dataclass with slots brings its own pair, which does what is done here.
    own_pair = getattr(given, "__name__", "") in {"_dataclass_getstate", "_dataclass_setstate"}
    return given is not getattr(object, name, None) and not own_pair


def _state(value: Any) -> dict[str, Any]:
    state = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name in {"__dict__", "__weakref__"}:
                continue
            if name.startswith("__") and not name.endswith("__"):
                raise NotKeptError(name)
            if hasattr(value, name):
                state[name] = object.__getattribute__(value, name)
    return state


def _restored(written: Any) -> Any:
    if isinstance(written, list):
        return [_restored(item) for item in written]
    if not isinstance(written, dict):
        return written
    if _TAG not in written:
        return {key: _restored(item) for key, item in written.items()}
    tag, given = written[_TAG], written["v"]
    if tag in _LISTS:
        return _LISTS[tag](_restored(item) for item in given)
    read = _READERS.get(tag)
    return _restored_object(tag, given) if read is None else read(given)


def _zoned(plain: Any, fold: int, zone: float | str | None) -> Any:
    tzinfo: Any = None
    if isinstance(zone, str):
        tzinfo = ZoneInfo(zone)
    elif zone is not None:
        tzinfo = timezone(timedelta(seconds=zone)) if zone else UTC
    return plain.replace(tzinfo=tzinfo, fold=fold)


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    **{tag: read for tag, (_, read, _) in _TEXTS.items()},
    "int": lambda given: int(given, 16),
    "float": float,
    "str": lambda given: bytes.fromhex(given).decode("utf-8", "surrogatepass"),
    "dict": lambda given: {_restored(key): _restored(item) for key, item in given},
    "timedelta": lambda given: timedelta(*given),
    "datetime": lambda given: _zoned(datetime.fromisoformat(given[0]), *given[1:]),
    "time": lambda given: _zoned(time.fromisoformat(given[0]), *given[1:]),
}


def _restored_object(tag: str, given: Any) -> Any:
    kind = _class(given[0])
    if kind is None:
        raise NotKeptError(given[0][1])
    match tag:
        case "enum" if issubclass(kind, Enum):
            return kind[given[1]]
        case "named" if issubclass(kind, tuple):
            return tuple.__new__(kind, [_restored(item) for item in given[1]])
        case "model" if issubclass(kind, BaseModel):
            model = kind.__new__(kind)
            model.__setstate__(_restored(given[1]))
            return model
        case "error" if issubclass(kind, BaseException):
            error = kind.__new__(kind, *_restored(given[1]))
            error.__dict__.update(_restored(given[2]))
            return error
        case "object":
            made: Any = object.__new__(kind)
            for name, item in _restored(given[1]).items():
                object.__setattr__(made, name, item)
            return made
        case _:
            raise NotKeptError(tag)


def _class(where: list[str]) -> type | None:
    """The class of that name, in a module that is loaded already; nothing is imported."""
    found: Any = sys.modules.get(where[0])
    for name in where[1].split("."):
        found = getattr(found, name, None)
    return found if isinstance(found, type) else None


def _tagged(tag: str, value: Any) -> dict[str, Any]:
    return {_TAG: tag, "v": value}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _is_valid(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
