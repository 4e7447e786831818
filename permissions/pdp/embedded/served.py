"""What an evaluator is given of a bundle: checked, linked and translated."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import orjson

from permissions.pdp.linker.linked import LinkedBundle, link
from permissions.pdp.lint.bundle import require_sound
from permissions.pdp.regorus.translate import translate
from permissions.pdp.remembered import recall, remember

if TYPE_CHECKING:
    from permissions.pdp.bundle import PolicyBundle

_MOST = 8
"""Bundles that are known in one process; it serves one or two."""


class Served(NamedTuple):
    """A bundle, its linked form, and the JSON that an evaluator starts from."""

    bundle: PolicyBundle
    linked: LinkedBundle
    payload: bytes


_known: dict[tuple[str, bool], Served] = {}
_lock = Lock()


def served(bundle: PolicyBundle, *, linking: bool) -> Served:
    """The served form of a bundle, made once for a user: it takes half a second of processor.

    Args:
        bundle: what is to be served.
        linking: whether its modules are linked (`permissions.pdp.linker`).

    Raises:
        PolicyLoadError: it is not sound. That is not remembered.
    """
    key = (bundle.revision, linking)
    with _lock:
        found = _known.get(key)
        if found is not None and found.bundle == bundle:
            return found
        what = f"served {'linked' if linking else 'as written'} {bundle.revision}"
        kept = recall(what)
        made = _made(bundle, linking=linking) if kept is None else _read(bundle, kept)
        if kept is None:
            remember(what, _written(made))
        if len(_known) >= _MOST:
            del _known[next(iter(_known))]
        _known[key] = made
        return made


def _made(bundle: PolicyBundle, *, linking: bool) -> Served:
    require_sound(bundle)
    linked = link(bundle) if linking else LinkedBundle(bundle.modules)
    modules = translate(linked.modules)
    return Served(bundle, linked, orjson.dumps({"modules": modules, "data": bundle.data}))


def _written(made: Served) -> bytes:
    """A line about the linked form without the bundle's own modules, then the payload."""
    linked, own = made.linked, made.bundle.modules
    composed = {path: text for path, text in linked.modules.items() if path not in own}
    about = {
        "entrypoint": linked.entrypoint,
        "formed": linked.formed,
        "composed": composed,
        "lines": linked.lines,
    }
    return orjson.dumps(about) + b"\n" + made.payload


def _read(bundle: PolicyBundle, data: bytes) -> Served:
    first, _, payload = data.partition(b"\n")
    about = orjson.loads(first)
    lines = {
        path: tuple(None if line is None else (line[0], line[1]) for line in found)
        for path, found in about["lines"].items()
    }
    modules = {**bundle.modules, **about["composed"]}
    linked = LinkedBundle(modules, about["entrypoint"], lines, about["formed"])
    return Served(bundle, linked, payload)
