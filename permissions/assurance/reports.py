"""The gate's verdict for people and for CI: a summary, JUnit XML, and SARIF 2.1.0. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.etree import ElementTree as ET

from permissions.assurance.verdict import sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.assurance.exemption import Exemption
    from permissions.assurance.verdict import GateVerdict, PartVerdict
    from permissions.gathered import Finding
    from permissions.vocabulary import JsonObject

SARIF_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_MOST = 10
_PLAIN = {*range(0x20, 0xD800), 0x09, 0x0A, 0x0D, *range(0xE000, 0xFFFE)}


def summary(verdict: GateVerdict) -> str:
    """What a reviewer reads in a minute, as text that makes sense without colour."""
    return "\n".join(_summary(verdict)) + "\n"


def _summary(verdict: GateVerdict) -> Iterator[str]:
    when = _moment(verdict.at)
    yield sentence(verdict)
    yield f"{when}, policies {verdict.revision[:19]}"
    yield ""
    for part in verdict.parts:
        yield f"{_word(part):<7} {part.part:<13} {_said(part)}"
        for finding in part.left[:_MOST]:
            yield f"        {finding.id}  {finding.text}"
        if len(part.left) > _MOST:
            yield f"        and {len(part.left) - _MOST} more"
        for finding, exemption in part.exempted:
            yield f"        {finding.id}  let by: {finding.text}"
            yield f"        {'':12}  {_by(exemption)}"
    for each in verdict.refused:
        yield f"an exemption that does not count: {each}"
    for unused in verdict.unused:
        yield f"an exemption of nothing that is there: {unused.finding}, {_by(unused)}"
    if not verdict.holds:
        yield ""
        yield "one part again: wardline assure gate --only PART"
        yield "let one by:     wardline assure exempt ID --reason WHY --until DAY --key KEY"


def markdown(verdict: GateVerdict) -> str:
    """The same for a page of CI."""
    rows = [f"| {_word(part)} | {part.part} | {_cell(_said(part))} |" for part in verdict.parts]
    lines = [
        f"# {sentence(verdict)}",
        "",
        f"{_moment(verdict.at)}, policies `{verdict.revision}`",
        "",
        "| | part | what was measured |",
        "|---|---|---|",
        *rows,
    ]
    if left := [finding for part in verdict.parts for finding in part.left]:
        lines += ["", "## In the way", "", "| id | code | what |", "|---|---|---|"]
        lines += [f"| `{each.id}` | `{each.code}` | {_cell(each.text)} |" for each in left]
    let_by = [pair for part in verdict.parts for pair in part.exempted]
    if let_by:
        lines += [
            "",
            "## Let by",
            "",
            "| id | what | by | until | why |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| `{finding.id}` | {_cell(finding.text)} | {each.by} | {each.until} |"
            f" {_cell(each.reason)} |"
            for finding, each in let_by
        ]
    return "\n".join(lines) + "\n"


def junit(verdict: GateVerdict) -> str:
    """One suite for each part, with a case for each finding, or one when there is none."""
    left = sum(len(part.left) for part in verdict.parts)
    suites = ET.Element("testsuites", name="release gate", failures=str(left))
    for part in verdict.parts:
        cases = len(part.left) + len(part.exempted) or 1
        suite = ET.SubElement(
            suites,
            "testsuite",
            name=part.part,
            tests=str(cases),
            failures=str(len(part.left)),
            skipped=str(len(part.exempted)),
        )
        if not part.left and not part.exempted:
            ET.SubElement(suite, "testcase", name=_xml(_said(part)), classname=part.part)
        for finding in part.left:
            case = _case(suite, finding)
            failure = ET.SubElement(case, "failure", message=_xml(finding.text))
            failure.text = _xml(f"{finding.code} {finding.id}\n{finding.text}")
        for finding, exemption in part.exempted:
            ET.SubElement(_case(suite, finding), "skipped", message=_xml(_by(exemption)))
    text: str = ET.tostring(suites, encoding="unicode", xml_declaration=True)
    return f"{text}\n"


def _case(suite: ET.Element, finding: Finding) -> ET.Element:
    name = _xml(f"{finding.id} {finding.about or finding.text}")
    return ET.SubElement(suite, "testcase", name=name, classname=finding.code)


def sarif(verdict: GateVerdict, thresholds: str) -> JsonObject:
    """A SARIF 2.1.0 log (OASIS) with one result for each finding.

    What was let by is a suppressed result, with who did it and why.

    Args:
        verdict: of the gate.
        thresholds: the file that is named where a finding stands in none.
    """
    results = [
        *((finding, None) for part in verdict.parts for finding in part.left),
        *(pair for part in verdict.parts for pair in part.exempted),
    ]
    codes = sorted({finding.code for finding, _ in results})
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "wardline assure gate",
                        "semanticVersion": version("wardline"),
                        "rules": [
                            {
                                "id": code,
                                "shortDescription": {"text": code.replace("_", " ")},
                                "defaultConfiguration": {"level": "error"},
                            }
                            for code in codes
                        ],
                    }
                },
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "endTimeUtc": datetime.fromtimestamp(
                            verdict.at // 1_000_000, tz=UTC
                        ).strftime("%Y-%m-%dT%H:%M:%SZ"),
                    }
                ],
                "results": [
                    _sarif_result(finding, exemption, codes.index(finding.code), thresholds)
                    for finding, exemption in results
                ],
            }
        ],
    }


def _sarif_result(
    finding: Finding, exemption: Exemption | None, rule: int, thresholds: str
) -> JsonObject:
    result: JsonObject = {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": "error",
        "message": {"text": finding.text},
        "partialFingerprints": {"wardlineFinding/v1": finding.id},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(finding.file or thresholds)},
                    "region": {"startLine": finding.line},
                }
            }
        ],
    }
    if exemption is not None:
        result["suppressions"] = [
            {"kind": "external", "status": "accepted", "justification": _by(exemption)}
        ]
    return result


def document(verdict: GateVerdict) -> JsonObject:
    """The verdict as JSON, for `--json`."""
    return {
        "holds": verdict.holds,
        "sentence": sentence(verdict),
        "policies": verdict.revision,
        "at": verdict.at,
        "parts": [
            {
                "part": part.part,
                "holds": part.holds,
                "kept": part.is_kept,
                "sentence": _said(part),
                "left": [_finding(each) for each in part.left],
                "exempted": [
                    {**_finding(each), "exemption": exemption.model_dump(mode="json")}
                    for each, exemption in part.exempted
                ],
            }
            for part in verdict.parts
        ],
        "refused": [*verdict.refused],
        "unused": [each.model_dump(mode="json") for each in verdict.unused],
    }


def _finding(finding: Finding) -> JsonObject:
    return {"id": finding.id, **finding.model_dump(mode="json")}


def _word(part: PartVerdict) -> str:
    if not part.holds:
        return "FAILED"
    return "let by" if part.exempted else "holds"


def _said(part: PartVerdict) -> str:
    if part.result is None or part.result.outcome == "not_measured":
        return "not measured"
    kept = f" (measured {_moment(part.result.measured_at)})" if part.is_kept else ""
    return f"{part.result.sentence}{kept}"


def _by(exemption: Exemption) -> str:
    return f"{exemption.by}, until {exemption.until}: {exemption.reason}"


def _moment(micros: int) -> str:
    return f"{datetime.fromtimestamp(micros // 1_000_000, tz=UTC):%Y-%m-%d %H:%M} UTC"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _xml(text: str) -> str:
    """The characters that XML 1.0 can hold."""
    return "".join(c if ord(c) in _PLAIN or ord(c) > 0xFFFF else "\ufffd" for c in text)
