"""Loads public names from where they live, and finds out when something else is in the way."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OWN_PACKAGES = ("permissions", "sandbox")


def from_homes(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a module whose names live in `homes` (PEP 562)."""

    def load(name: str) -> Any:
        if (home := homes.get(name)) is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        value = getattr(import_module(home), name)
        setattr(sys.modules[module], name, value)
        return value

    return load


def require_own_packages(public: str) -> None:
    """Checks that Python finds our packages, and not somebody's module of the same name.

    Args:
        public: `__file__` of the package `wardline`; ours lie beside it.

    Raises:
        ImportError: says which file or folder hides which package, and what to do.
    """
    beside = Path(public).resolve().parents[1]
    for name in OWN_PACKAGES:
        found = _location(name)
        if found is None or found.resolve() != beside / name / "__init__.py":
            raise ImportError(_hidden(name, found, beside), name=name)


def _location(name: str) -> Path | None:
    """The file Python would run for `import name`; a folder without one is none."""
    try:
        spec = find_spec(name)
    except ValueError:  # it was put into sys.modules by hand
        return None
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin)


def _hidden(name: str, found: Path | None, beside: Path) -> str:
    if found is None:
        return (
            f"Wardline's own package {name!r} is not in {beside}: install it again"
            " (pip install --force-reinstall wardline)"
        )
    culprit = found.parent if found.name == "__init__.py" else found
    return (
        f"{culprit} hides Wardline's own package {name!r}, which lies in {beside / name}: rename"
        f" yours, or move it out of the folders that Python looks in first (sys.path)"
    )
