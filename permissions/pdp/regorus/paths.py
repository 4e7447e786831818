"""OPA's builtins on objects by path: `json.filter`, `json.remove`, `json.patch`, `object.subset`, ..."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_Tree = dict[Any, Any]


def _steps(path: Any) -> list[Any]:
    """A pointer (`a/b`, `/a/b`, `~1` for a slash) or an array, as its steps."""
    if path == "":
        return []
    if isinstance(path, str):
        parts = path.lstrip("/").split("/")
        return [part.replace("~1", "/").replace("~0", "~") for part in parts]
    if isinstance(path, (list, tuple)):
        if not all(isinstance(step, str) for step in path):
            raise TypeError("steps that are no texts are not agreed on")
        return list(path)
    raise TypeError("a path is a text or an array")


def _tree(paths: Any) -> _Tree:
    """Paths as nested objects; a leaf is None."""
    if not isinstance(paths, (list, set)):
        raise TypeError("paths are an array or a set")
    root: _Tree = {}
    for path in sorted(paths) if isinstance(paths, set) else paths:
        steps, node = _steps(path), root
        for step in steps[:-1]:
            child = node.setdefault(step, {})
            if child is None:
                break
            node = child
        else:
            if steps:
                node[steps[-1]] = None
    return root


def json_filter(value: Any, paths: Any) -> Any:
    """`json.filter`."""
    return _filtered(_object(value), _tree(paths))


def _filtered(value: Any, tree: _Tree | None) -> Any:
    if tree is None:
        return value
    if isinstance(value, dict):
        kept = [key for key in value if key in tree]
        return {key: _filtered(value[key], tree[key]) for key in kept}
    if isinstance(value, list):
        kept_at = [at for at in range(len(value)) if str(at) in tree]
        return [_filtered(value[at], tree[str(at)]) for at in kept_at]
    if isinstance(value, set):
        raise TypeError("sets are not agreed on")
    return value


def json_remove(value: Any, paths: Any) -> Any:
    """`json.remove`."""
    return _removed(_object(value), _tree(paths))


def _removed(value: Any, tree: _Tree) -> Any:
    if isinstance(value, set):
        raise TypeError("sets are not agreed on")
    if not isinstance(value, (dict, list)):
        return value
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    left: dict[Any, Any] = {}
    for key, member in pairs:
        step = key if isinstance(value, dict) else str(key)
        if step not in tree:
            left[key] = member
        elif (below := tree[step]) is not None:
            left[key] = _removed(member, below)
    return left if isinstance(value, dict) else list(left.values())


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise TypeError("no object with texts for keys")
    return value


def json_patch(value: Any, operations: Any) -> Any:
    """`json.patch`: RFC 6902, with paths also as arrays of texts."""
    if not isinstance(operations, list):
        raise TypeError("operations are an array")
    holder = [copy.deepcopy(value)]
    for operation in operations:
        _patch(holder, _object(operation))
    return holder[0]


def _patch(holder: list[Any], operation: dict[str, Any]) -> None:
    steps = [0, *_steps(operation["path"])]
    match operation["op"]:
        case "add":
            _insert(holder, steps, copy.deepcopy(operation["value"]))
        case "remove":
            if len(steps) == 1:
                raise ValueError("the whole value is not removed")
            _delete(holder, steps)
        case "replace":
            _delete(holder, steps, replaced=True)
            _insert(holder, steps, copy.deepcopy(operation["value"]), replaced=True)
        case "test":
            if not _same(_found(holder, steps), operation["value"]):
                raise ValueError("a test that fails")
        case "move":
            source = [0, *_steps(operation["from"])]
            if steps[: len(source)] == source:
                raise ValueError("a value is not moved into itself")
            moved = _delete(holder, source)
            _insert(holder, steps, moved)
        case "copy":
            source = [0, *_steps(operation["from"])]
            _insert(holder, steps, copy.deepcopy(_found(holder, source)))
        case _:
            raise ValueError("no such operation")


def _parent(holder: list[Any], steps: list[Any]) -> Any:
    return _found(holder, steps[:-1])


def _found(holder: list[Any], steps: list[Any]) -> Any:
    node: Any = holder
    for step in steps:
        if isinstance(node, dict):
            node = node[step]
        elif isinstance(node, list):
            node = node[_index(step, len(node))]
        else:
            raise TypeError("nothing is below this")
    return node


def _index(step: Any, size: int) -> int:
    text = str(step)
    if not text.isascii() or not text.isdigit() or (text != "0" and text.startswith("0")):
        raise ValueError("no index")
    if int(text) >= size:
        raise IndexError("beyond the end")
    return int(text)


def _insert(holder: list[Any], steps: list[Any], value: Any, *, replaced: bool = False) -> None:
    if len(steps) == 1:
        holder[0] = value
        return
    parent, step = _parent(holder, steps), steps[-1]
    if isinstance(parent, dict):
        parent[step] = value
    elif isinstance(parent, list):
        at = len(parent) if step == "-" and not replaced else _index(step, len(parent) + 1)
        if replaced:
            parent[at] = value
        else:
            parent.insert(at, value)
    else:
        raise TypeError("nothing goes below this")


def _delete(holder: list[Any], steps: list[Any], *, replaced: bool = False) -> Any:
    value = _found(holder, steps)
    parent, step = _parent(holder, steps), steps[-1]
    if len(steps) == 1 or replaced:
        return value
    if isinstance(parent, dict):
        return parent.pop(step)
    if isinstance(parent, list):
        return parent.pop(_index(step, len(parent)))
    raise TypeError("sets are not agreed on")


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal, where `True` is no 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) in (int, float, str, type(None), set) and one == other


def subset(whole: Any, part: Any) -> bool:
    """`object.subset`."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(key in whole and _below(whole[key], part[key]) for key in part)
    if isinstance(whole, set) and isinstance(part, set):
        return part <= whole
    if isinstance(whole, list) and isinstance(part, list):
        return _stands_in(whole, part)
    if isinstance(whole, list) and isinstance(part, set):
        if not part:
            return bool(whole)
        raise ValueError("a set in an array is not agreed on")
    raise TypeError("two of one kind")


def _below(whole: Any, part: Any) -> bool:
    if _same(whole, part):
        return True
    kinds = (dict, set, list)
    return any(isinstance(whole, k) and isinstance(part, k) for k in kinds) and subset(
        whole, part
    )


def _stands_in(whole: list[Any], part: list[Any]) -> bool:
    return any(
        _same(whole[at : at + len(part)], part) for at in range(len(whole) - len(part) + 1)
    )


def flatten(values: Any) -> list[Any]:
    """`array.flatten`: one level."""
    if not isinstance(values, list):
        raise TypeError("no array")
    return [
        each for value in values for each in (value if isinstance(value, list) else [value])
    ]


def array_slice(values: Any, start: Any, stop: Any) -> list[Any]:
    """`array.slice`: bounds beyond the array are those of the array."""
    if not isinstance(values, list) or type(start) is not int or type(stop) is not int:
        raise TypeError("an array and two integers")
    return values[max(start, 0) : max(stop, 0)]


def json_is_valid(text: Any) -> bool:
    """`json.is_valid`."""
    if not isinstance(text, str):
        return False
    try:
        json.loads(text, parse_constant=_refuse)
    except ValueError:
        return False
    return True


def _refuse(name: str) -> None:
    raise ValueError(name)


PATHS: Mapping[str, tuple[int, Any]] = {
    "array.flatten": (1, flatten),
    "array.slice": (3, array_slice),
    "json.filter": (2, json_filter),
    "json.is_valid": (1, json_is_valid),
    "json.patch": (2, json_patch),
    "json.remove": (2, json_remove),
    "object.subset": (2, subset),
}
"""Arity and function per builtin."""
