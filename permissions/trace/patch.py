"""How one JSON document differs from another: JSON Patch (RFC 6902), as much as is needed.

The policies of a call are asked more than once, with nearly the same input. The record keeps the
first input whole, and of each later one what is other. Only `add`, `remove` and `replace` are
used; lists are replaced as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from permissions.model import JsonObject, JsonValue


def difference(old: JsonObject, new: JsonObject) -> list[JsonObject]:
    """The operations that make `new` out of `old`."""
    return list(_between(old, new, ""))


def patched(old: JsonObject, operations: Sequence[JsonObject]) -> JsonObject:
    """What the operations make of `old`, which stays as it is.

    Raises:
        TraceError: they do not fit it.
    """
    new: JsonObject = dict(old)
    copied = {"": new}
    try:
        for operation in operations:
            *above, last = [_unescaped(each) for each in operation["path"].split("/")[1:]]
            parent, where = new, ""
            for name in above:
                where += "/" + name
                if where not in copied:
                    copied[where] = parent[name] = dict(parent[name])
                parent = parent[name]
            match operation["op"]:
                case "add" | "replace":
                    parent[last] = operation["value"]
                case "remove":
                    del parent[last]
                case other:
                    raise TraceError(f"no operation {str(other)[:20]!r} of a patch is known")
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise TraceError("a recorded change of an input does not fit it") from err
    return new


def _between(old: JsonObject, new: JsonObject, where: str) -> Iterator[JsonObject]:
    for name in sorted(old.keys() - new.keys()):
        yield {"op": "remove", "path": where + _escaped(name)}
    for name in sorted(new):
        path, value = where + _escaped(name), new[name]
        if name not in old:
            yield {"op": "add", "path": path, "value": value}
        elif type(old[name]) is dict and type(value) is dict:
            yield from _between(old[name], value, path)
        elif not _same(old[name], value):
            yield {"op": "replace", "path": path, "value": value}


def _same(one: JsonValue, other: JsonValue) -> bool:
    """Equal as JSON: `true` is no 1, and 1.0 is written otherwise than 1."""
    if type(one) is not type(other):
        return False
    if type(one) is list and type(other) is list:
        return len(one) == len(other) and all(map(_same, one, other))
    if type(one) is dict and type(other) is dict:
        return one.keys() == other.keys() and all(_same(one[n], other[n]) for n in one)
    return bool(one == other)


def _escaped(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _unescaped(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~")
