"""Joins the subjects of a review, and leaves out what its author says was meant.

`# meant: CODE` on the line of a finding, or on the line above, says so, and a comment that no
finding needs is one itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from permissions.pdp.rego.ast import Position
from permissions.pdp.rego.finding import Finding
from permissions.pdp.regorus.errors import EngineError
from permissions.pdp.regorus.parse import parse
from permissions.pdp.review.absent import check_absent
from permissions.pdp.review.answers import check_answers, check_labels, said_labels
from permissions.pdp.review.conditions import check_allow, check_conditions, check_twins
from permissions.pdp.review.quantifiers import check_quantifiers
from permissions.pdp.review.scene import Known, Scene
from permissions.pdp.review.tables import check_data
from permissions.pdp.review.tests import check_mocks
from permissions.pdp.review.texts import check_texts
from permissions.pdp.review.values import check_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from permissions.pdp.bundle import PolicyBundle

_MEANT = re.compile(r"#\s*meant:\s*([\w.]+)")
_UNTRUSTED = "untrusted"


def review_bundle(bundle: PolicyBundle, known: Known | None = None) -> list[Finding]:
    """What is most likely not meant, in the order of files and lines.

    A bundle that does not parse has no findings here; `check_bundle` says why.

    Args:
        bundle: modules, tables and tests.
        known: what is known beside them.
    """
    scene = scene_of(bundle, known)
    if scene is None:
        return []
    return told({**bundle.modules, **bundle.tests}, _found(scene))


def scene_of(bundle: PolicyBundle, known: Known | None = None) -> Scene | None:
    """The trees of a bundle and what they mean; None when one does not parse."""
    try:
        modules = [parse(path, text) for path, text in bundle.modules.items()]
        tests = [parse(path, text) for path, text in bundle.tests.items()]
    except EngineError:
        return None
    tables = bundle.data.get("wardline", {}).get("tables", {})
    return Scene(modules, tests, tables, known or Known())


def _found(scene: Scene) -> Iterator[Finding]:
    detectors = scene.tables.get("detection", {}).get("results", ())
    read = (f"{name}_read" for name in detectors)  # `run.found_values.labels_of`
    labels = frozenset({_UNTRUSTED, *read, *said_labels(tuple(scene.modules))})
    for module in scene.modules:
        yield from check_twins(module)
        for rule in module.rules:
            yield from check_conditions(scene, module, rule)
            yield from check_allow(scene, module, rule)
            yield from check_quantifiers(scene, module, rule)
            yield from check_texts(scene, module, rule)
            yield from check_answers(scene, module, rule)
            yield from check_labels(scene, module, rule, labels)
            yield from check_absent(scene, module, rule)
            yield from check_data(scene, module, rule)
            yield from check_values(scene, module, rule)
    for module in scene.tests:
        yield from check_twins(module)
        for rule in module.rules:
            yield from check_conditions(scene, module, rule)
            yield from check_mocks(module, rule)
            yield from check_data(scene, module, rule)


def told(texts: Mapping[str, str], findings: Iterable[Finding]) -> list[Finding]:
    """The findings nobody said were meant, and the comments that say so for nothing."""
    unused: dict[tuple[str, int], str] = {
        (path, number): found.group(1)
        for path, text in texts.items()
        for number, line in enumerate(text.split("\n"), 1)
        if (found := _MEANT.search(line)) is not None
    }
    meant, left = dict(unused), []
    for finding in set(findings):
        line = finding.position.line
        near = [(finding.path, line), (finding.path, line - 1)]
        at = next((each for each in near if meant.get(each) == finding.code), None)
        if at is None:
            left.append(finding)
        else:
            unused.pop(at, None)
    for (path, number), code in unused.items():
        if code.startswith("review."):
            what = f"no finding `{code}` is here to be meant"
            left.append(
                Finding(path, Position(number, 1), "review.meant", what, "remove the comment")
            )
    return sorted(left, key=lambda f: (f.path, f.position.line, f.position.column, f.code))
