"""The modules that are served for a bundle, and what they come from.

A linked bundle holds the bundle's own modules as they are, one module per question
(`question`), and one that sends each input to the module of its question. An input that asks
none of the known ones, and a package's rule that turns out malformed, is answered by the
bundle's own modules.

What is linked decides as what is written does; the tests hold it to that, on both engines.
So a decision is recorded under the revision of the bundle as it is written, and replayed under
it: in the linked form when the record names this version of the linker, else as written.

A bundle with a `joined` of its own, a rule with dots in its name, `with`, or a text with values
in it is served as it is written.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.linker.constants import Constants
from permissions.pdp.linker.question import ENTRY, QUESTIONS, ROOT, compose
from permissions.pdp.linker.renamed import UnlinkableError
from permissions.pdp.rego.names import Names
from permissions.pdp.regorus.errors import EngineError
from permissions.pdp.regorus.parse import parse, readable
from permissions.pdp.regorus.templates import without_templates
from permissions.signing.canonical import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.pdp.bundle import PolicyBundle
    from permissions.pdp.linker.question import Composed

VERSION = 2
"""Changes with everything that changes what is served for a bundle."""

JOINED_PATH = "joined/joined.rego"
JOINED_DIGEST = "sha256:aa74b4f967e33654200bc620cb9155d8a8a9ec918699c31debc9f25f549140da"
"""The one text of `joined` whose meaning `question` has."""

FOLDER = "linked/"
"""Where the composed modules stand among those of the bundle."""

_NAME = "linker/"
_FAULT = re.compile(r"(.+):(\d+):\d+: (.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LinkedBundle:
    """What is served for a bundle.

    `lines` has the source line of each line of a composed module; a line that no source line
    stands behind has None. `formed` answers as `entrypoint` does, for less, to a call that is
    `contract.well_formed`; "" when no rule does.
    """

    modules: Mapping[str, str]
    entrypoint: str = ENTRYPOINT
    lines: Mapping[str, tuple[tuple[str, int] | None, ...]] = field(default_factory=dict)
    formed: str = ""

    @property
    def is_linked(self) -> bool:
        """Whether there are composed modules; else the bundle is served as it is written."""
        return bool(self.lines)

    def named(self, engine: str) -> str:
        """An engine's name for the record, with the linker's version where it linked."""
        return f"{engine} {_NAME}{VERSION}" if self.is_linked else engine

    def source(self, path: str, line: int) -> tuple[str, int] | None:
        """Where a line comes from. None for one that nobody wrote."""
        lines = self.lines.get(path)
        return (path, line) if lines is None else lines[line - 1]

    def fault(self, text: str) -> str:
        """What an engine says of a fault, with the source's line (see `EngineError.fault`)."""
        found = _FAULT.fullmatch(text)
        if found is None or found[1] not in self.lines:
            return text
        source = self.source(found[1], int(found[2]))
        return found[3] if source is None else f"{source[0]}:{source[1]}: {found[3]}"


def was_linked(engine: str) -> bool:
    """Whether what is recorded of an engine says that this linker composed what it evaluated."""
    return f"{_NAME}{VERSION}" in engine.split()


def link(bundle: PolicyBundle) -> LinkedBundle:
    """The modules to serve. The bundle has passed the linter (`permissions.pdp.lint`)."""
    try:
        return _linked(bundle)
    except (UnlinkableError, EngineError):
        return LinkedBundle(bundle.modules)


def _linked(bundle: PolicyBundle) -> LinkedBundle:
    joined = bundle.modules.get(JOINED_PATH, "")
    if digest(joined.encode()) != JOINED_DIGEST:
        raise UnlinkableError(f"{JOINED_PATH} is another")
    below = bundle.data.get("wardline", {})
    if bundle.data.keys() - {"wardline"} or below.keys() - {"tables"}:
        raise UnlinkableError("data lies where packages do")
    if any(without_templates(text) != text for text in bundle.modules.values()):
        raise UnlinkableError("texts with values in them")
    modules = [parse(path, text) for path, text in bundle.modules.items()]
    names = Names(modules)
    if not names.rules_at(ENTRY):
        raise UnlinkableError(f"no {ENTRYPOINT}")
    sources = {path: readable(text).encode() for path, text in bundle.modules.items()}
    with closing(Constants(bundle, names)) as constants:
        composed = {
            each: compose(each, modules, names, sources, constants) for each in QUESTIONS
        }
    return LinkedBundle(
        modules={
            **bundle.modules,
            **{f"{FOLDER}{each.name}.rego": made.text for each, made in composed.items()},
            f"{FOLDER}linked.rego": _sender({q.action: c for q, c in composed.items()}),
        },
        entrypoint=".".join((*ROOT, "response")),
        lines={f"{FOLDER}{each.name}.rego": made.lines for each, made in composed.items()},
        formed=next((made.formed for made in composed.values() if made.formed), ""),
    )


def _sender(composed: Mapping[str, Composed]) -> str:
    """The module that sends an input to the module of its question."""
    branches = (
        f'{made.entrypoint} if {{\n\tinput.action.name == "{action}"\n}}'
        for action, made in composed.items()
    )
    answer = " else := ".join((*branches, ENTRYPOINT))
    return f"package {'.'.join(ROOT[1:])}\n\nresponse := {answer}\n"
