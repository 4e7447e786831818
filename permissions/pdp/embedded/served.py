"""What an evaluator is given of a bundle: checked, linked and translated."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import orjson

from permissions.pdp.linker.linked import LinkedBundle, link
from permissions.pdp.lint.bundle import require_sound
from permissions.pdp.regorus.translate import translate

if TYPE_CHECKING:
    from permissions.pdp.bundle import PolicyBundle

_MOST = 8
"""Bundles that are remembered; a process serves one or two."""


class Served(NamedTuple):
    """A bundle, its linked form, and the JSON that an evaluator starts from."""

    bundle: PolicyBundle
    linked: LinkedBundle
    payload: bytes


_known: dict[tuple[str, bool], Served] = {}
_lock = Lock()


def served(bundle: PolicyBundle, *, linking: bool) -> Served:
    """The served form of a bundle, made once in a process: it takes half a second of processor.

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
        require_sound(bundle)
        linked = link(bundle) if linking else LinkedBundle(bundle.modules)
        modules = translate(linked.modules)
        payload = orjson.dumps({"modules": modules, "data": bundle.data})
        if len(_known) >= _MOST:
            del _known[next(iter(_known))]
        _known[key] = Served(bundle, linked, payload)
        return _known[key]
