"""Gates as JUnit XML, which CI systems read (the form of Ant and Surefire)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from permissions.reasons import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.vocabulary import JsonObject


def junit(gates: Sequence[JsonObject]) -> str:
    """One suite with a case for each gate."""
    failed = sum(not gate["holds"] for gate in gates)
    suites = ET.Element("testsuites")
    suite = ET.SubElement(
        suites, "testsuite", name="evaluation", tests=str(len(gates)), failures=str(failed)
    )
    for gate in gates:
        setting = [gate["variant"], gate["plan"], gate.get("suite") or "all"]
        case = ET.SubElement(
            suite,
            "testcase",
            name=shown(str(gate["figure"])),
            classname=shown(".".join(map(str, setting))),
        )
        if not gate["holds"]:
            ET.SubElement(case, "failure", message=said(gate))
    text: str = ET.tostring(suites, encoding="unicode", xml_declaration=True)
    return f"{text}\n"


def said(gate: JsonObject) -> str:
    """What was found, and what the gate wants."""
    found = "not measured" if gate["found"] is None else f"{gate['found']:.4g}"
    bounds = [f"at least {gate['at_least']:g}"] if "at_least" in gate else []
    bounds += [f"at most {gate['at_most']:g}"] if "at_most" in gate else []
    return f"{found}; wanted {' and '.join(bounds)}"
