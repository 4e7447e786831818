"""What a run did to its workspace, as values. Paths are relative, with `/`, and plain UTF-8."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["created", "changed", "deleted"]
Type = Literal["file", "directory", "link"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of an overlay is looked at before the whole change set is refused.

    Attributes:
        entries: changes, and entries looked at, each.
        bytes: of all new contents together, by apparent size.
        depth: folders below the workspace.
        diff_bytes: text of all diffs together.
    """

    entries: int = 10_000
    bytes: int = 256 * 1024 * 1024
    depth: int = 48
    diff_bytes: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class Base:
    """What was at a path below the overlay, exactly enough to find that it is another now."""

    type: Type
    mode: int
    size: int
    device: int
    inode: int
    modified_ns: int
    changed_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of one path.

    A path whose type changes is two of them: `deleted`, and then `created`.

    Attributes:
        mode: permission bits after it, None when deleted.
        size: bytes of a file's new content.
        digest: `sha256:<hex>` of it.
        target: where a link leads.
        base: what it replaces; None when created.
        protected: True when this path decides what others run or believe.
    """

    path: str
    kind: Kind
    type: Type
    mode: int | None = None
    size: int | None = None
    digest: str | None = None
    target: str | None = None
    base: Base | None = None
    protected: bool = False

    def document(self) -> dict[str, Any]:
        """As plain JSON, for a policy and a record."""
        was = self.base
        return {
            "path": self.path,
            "kind": self.kind,
            "type": self.type,
            "mode": None if self.mode is None else f"{self.mode:04o}",
            "executable": self.type == "file" and bool((self.mode or 0) & 0o111),
            "size": self.size,
            "digest": self.digest,
            "target": self.target,
            "protected": self.protected,
            "was": None
            if was is None
            else {"type": was.type, "mode": f"{was.mode:04o}", "size": was.size},
        }


@dataclass(frozen=True, slots=True)
class Fault:
    """A path that stands in the way of the whole change set, and why. The path is quoted."""

    path: str
    reason: str


LISTED = 500
"""Changes, and faults of each sort, that a document lists; the counts are of all."""


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """All a run changed, in the order in which it can be done.

    Attributes:
        changes: deletions first, deepest first; then the rest, shallowest first.
        refused: entries that must not come out of a sandbox (devices, planted links, ...).
        conflicts: paths that others changed since the overlay was opened.
        diffs: unified diffs by path, of small text files only.
    """

    changes: tuple[Change, ...] = ()
    refused: tuple[Fault, ...] = ()
    conflicts: tuple[Fault, ...] = ()
    diffs: dict[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to commit and nothing was refused."""
        return not (self.changes or self.refused or self.conflicts)

    @property
    def protected(self) -> tuple[str, ...]:
        """Changed paths that are protected."""
        return tuple(dict.fromkeys(c.path for c in self.changes if c.protected))

    @property
    def digest(self) -> str:
        """`sha256:<hex>` over every change, refusal and conflict."""
        whole = [
            [change.document() for change in self.changes],
            [[fault.path, fault.reason] for fault in (*self.refused, *self.conflicts)],
        ]
        text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def document(self) -> dict[str, Any]:
        """Bounded plain JSON: what a policy is asked about. Holds no file contents."""
        counts = dict.fromkeys(("created", "changed", "deleted"), 0)
        for change in self.changes:
            counts[change.kind] += 1
        return {
            **counts,
            "bytes": sum(change.size or 0 for change in self.changes),
            "digest": self.digest,
            "entries": [change.document() for change in self.changes[:LISTED]],
            "complete": len(self.changes) <= LISTED,
            "protected": list(self.protected[:LISTED]),
            "refused": _faults(self.refused),
            "conflicts": _faults(self.conflicts),
        }


def _faults(faults: tuple[Fault, ...]) -> list[dict[str, str]]:
    return [{"path": fault.path, "reason": fault.reason} for fault in faults[:LISTED]]
