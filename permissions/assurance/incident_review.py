"""A review after an incident, with what the record knows filled in. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from permissions.export.blocks import Heading, Table, Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from permissions.export.blocks import Block
    from permissions.stops.statement import Statement
    from permissions.trace.report import Report
    from permissions.vocabulary import JsonObject

_PEOPLE = (
    ("What happened, in three sentences", ""),
    ("Who was harmed, and how much", ""),
    ("When was it noticed, by whom, by what", ""),
    ("What let it happen: tool, policy, approval, plan, person", ""),
    ("What would have found it earlier", ""),
    ("What went well", ""),
    ("Whom we have to tell, by when", ""),
)


def incident_review(
    run: str,
    calls: Sequence[JsonObject],
    stops: Sequence[Statement] | None,
    report: Report,
    *,
    made: str,
) -> Iterator[Block]:
    """The review of one run. No argument or result stands in it, so that it can be passed on.

    Args:
        run: its id.
        calls: of it, in order (`CallRecord.summary`).
        stops: what was said about stops since it began; None when that cannot be read.
        report: of the log's verification.
        made: when, in UTC (ISO 8601).
    """
    yield Heading(1, f"Review of an incident: {run}")
    yield Text(f"Filled {made} from the record; what is empty is for people.")
    yield Heading(2, "Facts of the record")
    ran = [each for each in calls if each["end"].startswith("ran")]
    approved = sorted({who for each in calls for who in each["approvers"]})
    completeness = report.completeness
    whole = "whole" if completeness.is_whole else "not whole"
    yield Table(
        ("", ""),
        [
            ("log", report.integrity.origin),
            ("integrity", f"{report.integrity.verdict}, {report.anchoring}"),
            ("completeness", f"{whole}, {completeness.findings_count} findings"),
            ("calls of which nobody knows how they ended", completeness.gaps),
            ("first, last call", f"{_moment(calls[0]['time'])}, {_moment(calls[-1]['time'])}"),
            ("calls, of them ran", f"{len(calls)}, {len(ran)}"),
            ("who said yes", ", ".join(approved) or "nobody"),
        ],
    )
    yield Heading(2, "Timeline")
    yield Table(
        ("time", "what", "how it ended", "reasons", "approved by", "call"),
        [*_timeline(calls, stops or ())],
    )
    yield Heading(2, "Times")
    first_stop = next((each for each in stops or () if hasattr(each, "scope")), None)
    since = ran[-1]["time"] if ran else calls[-1]["time"]
    mitigated = "" if first_stop is None else f"{(first_stop.time - since) / 1e6:.0f} s"
    yield Table(
        ("", ""),
        [
            (
                "from the last call that ran to the first stop",
                mitigated or ("not known" if stops is None else "nothing was stopped"),
            ),
            ("from the incident to its detection", ""),
            ("from its detection to the stop", ""),
        ],
    )
    yield Heading(2, "What people have to say")
    yield Table(("question", "answer"), _PEOPLE)
    yield Heading(2, "What is done about it")
    yield Table(("what", "owner", "due", "risk of the register"), [("", "", "", "")] * 3)
    yield Heading(2, "Evidence")
    yield Text(
        f"wardline trace pack FOLDER --run {run} writes the records with their proofs;"
        " wardline trace why CALL says why a call was let through."
    )


def _timeline(
    calls: Sequence[JsonObject], stops: Sequence[Statement]
) -> Iterator[tuple[str, ...]]:
    rows: list[tuple[int, tuple[str, ...]]] = [
        (
            each["time"],
            (
                each["tool"] or "(not registered)",
                each["end"],
                ", ".join(each["reasons"]),
                ", ".join(each["approvers"]),
                each["call"],
            ),
        )
        for each in calls
    ]
    for said in stops:
        scope: Any = getattr(said, "scope", None)
        what = f"lifted {getattr(said, 'stop', '')}" if scope is None else f"stop of {scope}"
        rows.append((said.time, (what, "", said.reason, said.by, "")))
    for time, row in sorted(rows, key=lambda each: each[0]):
        yield (_moment(time), *row)


def _moment(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
