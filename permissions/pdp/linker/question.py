"""One module that answers one question: the rules of `main`, and of all packages that speak.

Every rule that the answer can need stands in it under a name of its own, so that the engine
neither looks for packages nor evaluates one that was imported for a single rule. What
`wardline.joined` collects at run time is joined here: a clause of a package's `deny` becomes
a clause of the one set of denials. A rule of `joined` has the meaning that its text in
`policies/joined` gives it; the tests compare both forms.

An entry whose form is not plain to see in the text is looked at when it comes; where it is
not of the contract's form, `joined` itself is asked what to say.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from permissions.pdp.linker.entries import is_plainly_formed
from permissions.pdp.linker.renamed import Renamer, UnlinkableError
from permissions.pdp.rego.ast import rule_statements, rule_terms, static_path
from permissions.signing.canonical import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from permissions.pdp.linker.constants import Constants
    from permissions.pdp.rego.ast import Module, Rule
    from permissions.pdp.rego.names import Names, Path

ROOT = ("data", "wardline", "linked")
_JOINED = ("data", "wardline", "joined")
ENTRY = ("data", "wardline", "main", "response")
_FAULTS = ("data", "wardline", "main", "_faults")
_FOUND = ("data", "wardline", "contract", "faults")
FORM_PATHS = ("contract/contract.rego", "main/main.rego")
FORM_DIGEST = "sha256:af11e532df99a123a5ee2d7e41393fdf9191c660c655515f28feadc294be85d1"
"""The one text of both by which an input that is `contract.well_formed` has no faults."""
_KINDS = {
    "allow": "allows",
    "deny": "denials",
    "require_approval": "approvals",
    "obligations": "obligations",
}
"""A rule of a package, and the set of `joined` that its entries come into."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about under one action, and the packages that speak of it."""

    name: str
    action: str
    packages: str


QUESTIONS = (
    Question("call", "tools/call", "policies"),
    Question("connect", "egress/connect", "egress"),
    Question("commit", "effects/commit", "effects"),
)


@dataclass(frozen=True, slots=True)
class Composed:
    """A module, the rule in it that answers, and the source line of each of its lines.

    `formed` answers the same to an input that is `contract.well_formed`, and does not look
    whether it is; "" when there is no such rule.
    """

    entrypoint: str
    text: str
    lines: tuple[tuple[str, int] | None, ...]
    formed: str = ""


def compose(
    question: Question,
    modules: Sequence[Module],
    names: Names,
    sources: Mapping[str, bytes],
    constants: Constants,
) -> Composed:
    """The module of one question.

    Raises:
        UnlinkableError: a rule is written in a way that the linker leaves alone.
    """
    return _Composition(question, modules, names, sources, constants).composed()


class _Composition:
    """A module while it is written."""

    def __init__(
        self,
        question: Question,
        modules: Sequence[Module],
        names: Names,
        sources: Mapping[str, bytes],
        constants: Constants,
    ) -> None:
        self._constants = constants
        self._sources = sources
        self._question = question
        self._modules = modules
        self._names = names
        self._taken = set(_variables(modules))
        self._given: dict[Path, str] = {}
        self._renamer = Renamer(names, sources, self._name)
        self._text: list[str] = []
        self._lines: list[tuple[str, int] | None] = []
        self._filled: set[str] = set()
        self._unsure: set[str] = set()

    def composed(self) -> Composed:
        self._write(f"package {'.'.join((*ROOT[1:], self._question.name))}")
        self._join()
        entry = self._renamer.new(ENTRY)
        done: set[Path] = {
            (*_JOINED, name) for name in (*_KINDS.values(), "asked", "malformed")
        }
        while left := [path for path in self._renamer.wanted if path not in done]:
            done.update(left)
            for path in left:
                self._give(path)
        formed = self._give_formed() if self._is_form_known() else ""
        return Composed(
            self._absolute(entry),
            "\n".join(self._text) + "\n",
            tuple(self._lines),
            formed and self._absolute(formed),
        )

    def _absolute(self, name: str) -> str:
        return ".".join((*ROOT, self._question.name, name))

    def _is_form_known(self) -> bool:
        """Whether what `_give_formed` leaves out is what it is taken for."""
        homes = {
            self._names.home(rule).path
            for path in (ENTRY, _FAULTS)
            for rule in self._names.rules_at(path)
        }
        texts = [self._sources.get(path, b"") for path in FORM_PATHS]
        is_known = digest(b"\0".join(texts)) == FORM_DIGEST
        return self._question.name == "call" and homes == {FORM_PATHS[1]} and is_known

    def _give_formed(self) -> str:
        """Writes the answer once more, for an input without faults."""
        name = self._name((*ENTRY[:-1], "response_of_formed"))
        faults, none = self._name(_FAULTS), self._name((*_FAULTS[:-1], "_no_faults"))
        found = self._name(_FOUND)
        # Empty, and for OPA's types a set of faults all the same; `false` comes first, and ends it.
        self._write(f"{none} := {{fault |\n\tfalse\n\tsome fault in {found}\n}}")
        for rule in self._names.rules_at(ENTRY):
            text = re.sub(rf"\b{faults}\b", none, self._renamer.text(rule, name))
            self._write(text, self._names.home(rule).path, rule.position.line)
        return name

    def _name(self, path: Path) -> str:
        """The name of a rule in this module: after its package, and nobody else's."""
        if path not in self._given:
            plain = "_".join((*(each for each in path[2:-1] if each != "policies"), path[-1]))
            tries = (plain if number == 1 else f"{plain}_{number}" for number in count(1))
            self._given[path] = free = next(name for name in tries if name not in self._taken)
            self._taken.add(free)
        return self._given[path]

    def _give(self, path: Path) -> None:
        """Writes the rule of a path, or its value where that is the same for every input."""
        rules = self._names.rules_at(path)
        if literal := self._constants.literal(path):
            home = self._names.home(rules[0]).path
            self._write(f"{self._name(path)} := {literal}", home, rules[0].position.line)
            return
        for rule in rules:
            self._copy(rule, self._name(path))

    def _copy(self, rule: Rule, head: str) -> None:
        text = self._renamer.text(rule, head)
        self._write(text, self._names.home(rule).path, rule.position.line)

    def _write(self, text: str, path: str = "", line: int = 0) -> None:
        """Adds a rule and an empty line; `line` is the first one's in the source, if any."""
        for number, each in enumerate((*text.split("\n"), "")):
            self._text.append(each)
            self._lines.append((path, line + number) if path and each else None)

    def _join(self) -> None:
        """What `wardline.joined` collects, as it is for this question and these packages."""
        packages, is_call = self._question.packages, self._question.name == "call"
        sets = {each: self._name((*_JOINED, each)) for each in (*_KINDS.values(), "asked")}
        checked = {kind: [sets[name]] for kind, name in _KINDS.items()}

        self._fill(sets["allows"], packages, "allow")
        for layer in self._speaking("layers", "allow"):
            own = self._fill_own(layer, "allow")
            checked["allow"].append(own)
            if is_call:
                silent = self._renamer.new((*_JOINED, "_silent"))
                entry = f"{silent}({json.dumps(layer)})"
                self._add(sets["denials"], f"{entry} if {own} == set()")
        self._fill(sets["denials"], packages, "deny")
        self._fill(sets["denials"], "layers", "deny")

        of_packages = sets["approvals"]
        if self._fill(sets["approvals"], "layers", "require_approval"):
            of_packages = self._name((*_JOINED, "_approvals_of_packages"))
            checked["require_approval"].append(of_packages)
            self._add(sets["approvals"], f"entry if some entry in {of_packages}")
        self._fill(of_packages, packages, "require_approval")

        self._fill(sets["obligations"], packages, "obligations")
        if is_call:
            self._fill(sets["obligations"], "layers", "obligations")
        else:
            for layer in self._speaking("layers", "obligations"):
                own = self._fill_own(layer, "obligations")
                checked["obligations"].append(own)
                self._add(
                    sets["obligations"],
                    f'entry if {{\n\tsome entry in {own}\n\tentry.type == "evidence"\n}}',
                )
        for name in sorted({*sets.values(), of_packages} - self._filled - {sets["asked"]}):
            self._write(f"{name} := set()")
        self._write(f"{sets['asked']} if {of_packages} != set()")
        self._check(checked)

    def _add(self, name: str, entry: str) -> None:
        """Puts an entry into a set of this module that no source line stands behind."""
        self._write(f"{name} contains {entry}")
        self._filled.add(name)

    def _speaking(self, below: str, kind: str) -> list[str]:
        """The packages below `wardline.<below>` that have rules of a kind."""
        packages = {each.package[2] for each in self._modules if each.package[1] == below}
        return sorted(p for p in packages if self._clauses(below, p, kind))

    def _clauses(self, below: str, package: str, kind: str) -> list[Rule]:
        return self._names.rules_at(("data", "wardline", below, package, kind))

    def _fill(self, name: str, below: str, kind: str) -> bool:
        """Puts what packages say into a set of this module; says whether any does."""
        speaking = self._speaking(below, kind)
        for package in speaking:
            self._fill_from(name, below, package, kind)
        return bool(speaking)

    def _fill_own(self, layer: str, kind: str) -> str:
        """The set of what one layer says."""
        own = self._name(("data", "wardline", "layers", layer, kind))
        self._fill_from(own, "layers", layer, kind)
        return own

    def _fill_from(self, name: str, below: str, package: str, kind: str) -> None:
        for rule in self._clauses(below, package, kind):
            if rule.kind != "set" or rule.is_computed:
                raise UnlinkableError(f"{package}: {kind} is no set")
            if not is_plainly_formed(kind, rule, self._names):
                self._unsure.add(name)
            self._copy(rule, name)
        self._filled.add(name)

    def _check(self, checked: Mapping[str, list[str]]) -> None:
        """Entries whose form is not plain are looked at; `joined` says what is wrong."""
        malformed = self._name((*_JOINED, "malformed"))
        formed = (*_JOINED, "_entry_formed")
        for kind, names in checked.items():
            for name in filter(self._unsure.__contains__, names):
                self._add(
                    malformed,
                    f"fault if {{\n\tsome entry in {name}\n"
                    f"\tnot {self._renamer.new(formed)}({json.dumps(kind)}, entry)\n"
                    f"\tsome fault in {'.'.join(_JOINED)}.malformed\n}}",
                )
        if malformed not in self._filled:
            self._write(f"{malformed} := set()")


def _variables(modules: Sequence[Module]) -> Iterator[str]:
    """Every name that stands for something in the modules: a new one is none of them."""
    for module in modules:
        for rule in module.rules:
            yield rule.path[0]
            for statement in rule_statements(rule):
                yield from (name.value for name in statement.names)
            for term in rule_terms(rule):
                yield from static_path(term)[:1]
