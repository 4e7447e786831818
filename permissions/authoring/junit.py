"""Test results as JUnit XML, which CI systems read (the form of Ant and Surefire)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from permissions.pdp.policy_tests import TestRun

_PLAIN = {*range(0x20, 0xD800), 0x09, 0x0A, 0x0D, *range(0xE000, 0xFFFE)}


def junit(run: TestRun) -> str:
    """One suite with a case for each test."""
    failed = sum(each.outcome == "fail" for each in run.results)
    errors = sum(each.outcome == "error" for each in run.results)
    suites = ET.Element("testsuites")
    suite = ET.SubElement(
        suites,
        "testsuite",
        name="policies",
        tests=str(len(run.results)),
        failures=str(failed),
        errors=str(errors),
    )
    for result in run.results:
        case = ET.SubElement(
            suite,
            "testcase",
            name=_plain(result.name),
            classname=_plain(result.path),
            file=_plain(result.path),
            line=str(result.line),
        )
        if result.outcome != "pass":
            kind = "failure" if result.outcome == "fail" else "error"
            said = _plain(result.detail or "its value is not true")
            fault = ET.SubElement(case, kind, message=said.splitlines()[0])
            fault.text = said
        if result.prints:
            ET.SubElement(case, "system-out").text = _plain("\n".join(result.prints))
    text: str = ET.tostring(suites, encoding="unicode", xml_declaration=True)
    return f"{text}\n"


def _plain(text: str) -> str:
    """The characters that XML 1.0 can hold."""
    return "".join(c if ord(c) in _PLAIN or ord(c) > 0xFFFF else "\ufffd" for c in text)
