"""Which paths other programs run or obey, by the table that policies read (`tables.filesystem`). Pure.

For executors: what policies would deny, or ask a person about, when an argument names it is not
to come out below a folder that a sandboxed tool was given. The same rules as `lib.steering_path`
and `lib.runs_later` of the policies; a test holds them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from permissions.tools.secret_paths import texts_of

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class SteeringPaths:
    """Names of files that steer, at any depth; endings; names of modules at the top."""

    names: frozenset[str] = frozenset()
    endings: tuple[str, ...] = ()
    modules: frozenset[str] = frozenset()

    @classmethod
    def of_table(cls, table: Mapping[str, Any]) -> SteeringPaths:
        """Those of the table `filesystem`.

        Raises:
            ValueError: one of its lists is no list of texts.
        """
        names = (*texts_of(table, "protected_names"), *texts_of(table, "run_later_names"))
        return cls(
            frozenset(names),
            tuple(filter(None, texts_of(table, "run_later_endings"))),
            frozenset(texts_of(table, "root_module_names")),
        )

    def has(self, path: str) -> bool:
        """Whether a path relative to the workspace, with `/`, is one of those."""
        lowered = path.lower()
        return (
            not self.names.isdisjoint(lowered.split("/"))
            or lowered.endswith(self.endings)
            or lowered in self.modules
        )
