"""Packages that are tried in the shadow: which they are, and the policies without them. Pure.

The package itself says so, in its metadata, so that nobody can put another's package into the
shadow: an overlay cannot change what stands below it::

    # METADATA
    # scope: package
    # custom:
    #   shadow: true
    package wardline.policies.payments
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from permissions.pdp.bundle import PolicyBundle
from permissions.pdp.rego.ast import Position
from permissions.pdp.rego.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CODE = "bundle.shadow"
_PACKAGE = re.compile(r"^package\s", re.MULTILINE)
_SHARED = frozenset({"main", "joined", "lib", "contract"})


def shadow_paths(modules: Mapping[str, str]) -> frozenset[str]:
    """The modules that are marked, and everything beside them in their folder."""
    marked = {_folder(path) for path, text in modules.items() if _mark(text) is True}
    return frozenset(path for path in modules if marked and _folder(path) in marked)


def check_shadow(modules: Mapping[str, str]) -> Iterator[Finding]:
    """Marks that cannot be obeyed."""
    folders: dict[str, set[object]] = defaultdict(set)
    for path, text in modules.items():
        mark = _mark(text)
        folders[_folder(path)].add(mark is True)
        if mark not in (None, True, False):
            what = "what it says of the shadow cannot be obeyed"
            yield _finding(path, what, "below `# custom:` write `#   shadow: true`, or nothing")
        elif mark is True and _folder(path) in _SHARED:
            yield _finding(
                path,
                "every decision needs it, so it cannot be in the shadow",
                "remove the mark",
            )
    for path in modules:
        if len(folders[_folder(path)]) > 1 and _mark(modules[path]) is not True:
            yield _finding(
                path,
                "another file of its package is in the shadow, and this one is not",
                "mark each file of the package, or none",
            )


def enforced(bundle: PolicyBundle) -> PolicyBundle:
    """The policies that decide: all but those in the shadow. A bundle with a revision of its own."""
    hidden = shadow_paths(bundle.modules)
    if not hidden:
        return bundle
    modules = {path: text for path, text in bundle.modules.items() if path not in hidden}
    return PolicyBundle.of(modules, bundle.data, bundle.tests)


def _mark(text: str) -> object:
    """What the metadata of the package say of the shadow; None when they say nothing."""
    found = _PACKAGE.search(text)
    head = text[: found.start()] if found else ""
    if "shadow" not in head.lower():
        return None
    import yaml  # late: few packages are in the shadow

    block = _metadata(head)
    if block is None:
        return None
    try:
        said = yaml.safe_load(block) or {}
        custom = said.get("custom") or {}
        elsewhere = {*said, *(custom.keys() - {"shadow"})}
        if any(str(name).lower() == "shadow" for name in elsewhere):
            return "said elsewhere, or spelt otherwise"
        return custom.get("shadow")
    except (yaml.YAMLError, AttributeError):
        return "unreadable"


def _metadata(head: str) -> str | None:
    """The metadata block that ends right before `package`, as YAML."""
    block: list[str] = []
    for line in reversed(head.rstrip().splitlines()):
        if line.lstrip("# ").strip() == "METADATA" and line.startswith("#"):
            return "\n".join(block)
        if not line.startswith("#"):
            return None
        block.insert(0, line.removeprefix("#").removeprefix(" "))
    return None


def _folder(path: str) -> str:
    file = PurePosixPath(path)
    return str(file.parent if file.parent.name else file.with_suffix(""))


def _finding(path: str, what: str, fix: str) -> Finding:
    return Finding(path, Position(1, 1), CODE, what, fix)
