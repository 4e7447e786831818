"""What policies in force say, by package: which codes they deny with, and which they ask with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from permissions.pdp.regorus.parse import parse
from permissions.pdp.shadow_marks import shadow_paths

if TYPE_CHECKING:
    from permissions.pdp.bundle import PolicyBundle
    from permissions.vocabulary import JsonObject

_CODE = re.compile(r'(?:"code":\s*|_ask\(\s*)"([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+)"')
_KINDS = {"deny": "denies", "require_approval": "asks"}


def policy_facts(bundle: PolicyBundle) -> JsonObject:
    """The packages of a bundle, with the codes of their rules, and its tables. Pure."""
    shadow = shadow_paths(bundle.modules)
    packages: dict[str, dict[str, set[str]]] = {}
    for path, text in bundle.modules.items():
        module = parse(path, text)
        name = ".".join(module.package).removeprefix("wardline.").removeprefix("policies.")
        lines = text.splitlines()
        starts = [rule.position.line for rule in module.rules]
        ends = [*starts[1:], len(lines) + 1]
        found = packages.setdefault(name, {kind: set() for kind in _KINDS.values()})
        for rule, start, end in zip(module.rules, starts, ends, strict=True):
            if (kind := _KINDS.get(str(rule.path[0]))) is not None:
                said = "\n".join(lines[start - 1 : end - 1])
                found[kind].update(_CODE.findall(said))
    tables = bundle.data.get("wardline", {})
    return {
        "revision": str(bundle.revision),
        "packages": {
            name: {kind: sorted(codes) for kind, codes in found.items()}
            for name, found in sorted(packages.items())
            if any(found.values())
        },
        "in_shadow": sorted(shadow),
        "tables": tables.get("tables", {}) if isinstance(tables, dict) else {},
    }
