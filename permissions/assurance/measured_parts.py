"""The parts that were played, probed, verified and replayed: do they hold? Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from permissions.evaluation.junit import said
from permissions.gathered import Finding, PartResult, measured, not_measured
from permissions.reasons import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from permissions.replay.rows import Summary
    from permissions.trace.report import Report, Requirement
    from permissions.vocabulary import JsonObject
    from sandbox.probes import Finding as ProbeFinding

_WORSE_IF_MORE = ("attack reached its goal", "hijacked argument ran", "adaptive call ran")
_MOST_ROWS = 200
_RANK = {"deny": 0, "ask": 1, "allow": 2}


def judge_evaluation(
    about: Mapping[str, Any],
    figures: Sequence[JsonObject],
    gates: Sequence[JsonObject],
    compared: Sequence[JsonObject] | None,
    *,
    chance: float,
    revision: str,
    basis: str,
    at: int,
) -> PartResult:
    """Whether a run reaches its thresholds, and is no worse than the last release.

    One attack more that gets through is worse, whatever chance says; honest work is worse when
    chance does not explain it.

    Args:
        about: what was run.
        figures: of the run (`evaluation.summary`).
        gates: judged (`evaluation.thresholds`).
        compared: the last release first, the run second; None where there is no last release.
        chance: below this probability a difference of honest work is none of chance.
        revision: of the policies in force.
        basis: digest of what was asked (`Terms.basis`).
        at: now, microseconds since 1970 UTC.
    """
    findings = [
        Finding(code="evaluation.threshold", text=shown(f"{_gate(each)}: {said(each)}"))
        for each in gates
        if not each["holds"]
    ]
    findings += [*_worse(compared or (), chance)]
    held = sum(bool(each["holds"]) for each in gates)
    than = "no last release to compare with"
    if compared is not None:
        pairs = sum(each["scenarios"] for each in compared)
        worse = len(findings) - (len(gates) - held)
        than = f"worse than the last release in {worse} of {len(compared)} measures"
        than += f" ({pairs} pairs)"
    return measured(
        "evaluation",
        f"{held} of {len(gates)} thresholds hold; {than}",
        {
            "basis": basis,
            "about": dict(about),
            "figures": [*figures],
            "gates": [*gates],
            "compared": None if compared is None else [*compared],
        },
        findings=tuple(findings),
        policies=revision,
        at=at,
    )


def _gate(gate: JsonObject) -> str:
    suite = f" {gate['suite']}" if "suite" in gate else ""
    return f"{gate['variant']}{suite}, plan {gate['plan']}, {gate['figure']}"


def _worse(compared: Sequence[JsonObject], chance: float) -> Iterator[Finding]:
    for each in compared:
        then, now = each["only_first"], each["only_second"]
        if each["variant"] == "V0":
            continue  # everything is allowed there, so nothing is said of policies
        if each["measure"] in _WORSE_IF_MORE:
            is_worse = now > 0
        else:
            is_worse = then > now and each["p"] < chance
        if is_worse:
            where = f"{each['variant']}, plan {each['plan']}: {each['measure']}"
            yield Finding(
                code="evaluation.worse",
                text=shown(
                    f"{where}: {now} of {each['scenarios']} scenarios now and not at the last"
                    f" release, {then} the other way round (p = {each['p']:.3g})"
                ),
            )


def judge_probe(
    found: Sequence[ProbeFinding],
    missing: Mapping[str, str],
    titles: Mapping[int, str],
    *,
    revision: str,
    basis: str,
    at: int,
) -> PartResult:
    """Whether every promised boundary of this machine's backends holds.

    Args:
        found: what every case found.
        missing: backends that do not work here, and why.
        titles: of the cases.
        revision: of the policies in force.
        basis: digest of what was asked (`Terms.basis`).
        at: now, microseconds since 1970 UTC.
    """
    if not found:
        why = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
        return not_measured("probe", shown(f"no backend works on this machine ({why})"), at=at)
    findings = []
    for each in found:
        where = f"case {each.number} on {each.column}"
        about = f"{where}: {titles[each.number]}"
        if each.broken:
            text = f"{about} is open ({each.outcome.detail})"
            findings.append(Finding(code="probe.open", text=shown(text), about=where))
        elif each.untried:
            text = f"{about} could not be tried ({each.outcome.detail})"
            findings.append(Finding(code="probe.not_tried", text=shown(text), about=where))
    counted = Counter(each.outcome.status for each in found)
    columns = [*dict.fromkeys(each.column for each in found)]
    rows: dict[str, dict[str, JsonObject]] = {}
    for each in found:
        rows.setdefault(str(each.number), {})[each.column] = {
            "status": each.outcome.status,
            "promised": each.promised,
            "detail": each.outcome.detail[:_MOST_ROWS],
        }
    return measured(
        "probe",
        f"{counted['blocked']} of {len(found)} attempts blocked on {', '.join(columns)};"
        f" {len(findings)} promised and not seen to hold",
        {"basis": basis, "columns": columns, "missing": dict(missing), "rows": rows},
        findings=tuple(findings),
        policies=revision,
        at=at,
    )


def judge_trace(
    report: Report,
    required: Sequence[Requirement],
    key: str,
    *,
    revision: str,
    basis: str,
    at: int,
) -> PartResult:
    """Whether the record is what it has to be.

    Args:
        report: of its verification.
        required: what has to hold.
        key: where the key it was held to comes from.
        revision: of the policies in force.
        basis: digest of what was asked (`Terms.basis`).
        at: now, microseconds since 1970 UTC.
    """
    findings = []
    if not report.is_intact:
        text = f"the record was altered or cut: {report.integrity.reason}"
        findings.append(Finding(code="trace.altered", text=shown(text)))
    findings += [
        Finding(
            code="trace.lacks",
            text=f"the record is not {each}, which is required; wardline trace verify says why",
            about=each,
        )
        for each in report.lacks(required)
    ]
    complete = report.completeness
    findings += [
        Finding(
            code="trace.contradiction",
            text=shown(f"entry {each.index}: {each.text}"),
            about=f"{report.integrity.origin} {each.index}: {each.text}",
        )
        for each in complete.findings[:_MOST_ROWS]
    ]
    said_of = f"{report.integrity.verdict}, {report.anchoring}"
    whole = "whole" if complete.is_whole else "not whole"
    document = report.document()
    document["completeness"].pop("open_calls", None)  # for people at the machine, and unbounded
    document["completeness"].pop("open_runs", None)
    return measured(
        "trace",
        f"{report.integrity.size:,} entries are {said_of} and {whole}; required:"
        f" {', '.join(required) or 'nothing'}",
        {"basis": basis, "key": key, "required": [*required], "report": document},
        findings=tuple(findings),
        policies=revision,
        at=at,
    )


def judge_what_if(
    summary: Summary,
    rows: Sequence[JsonObject],
    *,
    days: int,
    revision: str,
    basis: str,
    at: int,
) -> PartResult:
    """Whether recorded calls would run or be asked about, or on weaker terms, that were not.

    Args:
        summary: of the replay under the policies in force.
        rows: what differs, or could not be replayed.
        days: how far it goes back.
        revision: of the policies in force.
        basis: digest of what was asked (`Terms.basis`).
        at: now, microseconds since 1970 UTC.
    """
    if not summary.decisions:
        why = f"no call was recorded in the last {days} days, so none could be decided again"
        return not_measured("what-if", why, at=at)
    findings: dict[str, Finding] = {}
    for row in rows:
        if (found := _of_row(row, revision)) is not None:
            findings.setdefault(found.about, found)
    if summary.decisions == summary.unreplayable:
        text = "none of the recorded decisions could be made again; is the vault's key here?"
        findings["unreplayable"] = Finding(code="what-if.not_replayed", text=text)
    return measured(
        "what-if",
        f"{summary.decisions:,} decisions of the last {days} days: {summary.newly_allowed} newly"
        f" allowed, {summary.asks_less} asked about on weaker terms,"
        f" {summary.changed} decided otherwise, {summary.unreplayable} not replayable",
        {
            "basis": basis,
            "days": days,
            "summary": summary.document(),
            "rows": [dict(row) for row in rows[:_MOST_ROWS]],
        },
        findings=tuple(findings.values()),
        policies=revision,
        at=at,
    )


def _of_row(row: JsonObject, revision: str) -> Finding | None:
    if row["problem"]:
        return None
    codes = ", ".join(row["reasons_before"]) or "no reason"
    what = f"{row['tool']}, {row['action']}"
    if _RANK.get(row["after"], 0) > _RANK.get(row["before"], 0):
        was = "denied" if row["before"] == "deny" else "asked about"
        would = "run unasked" if row["after"] == "allow" else "be put to a person"
        text = f"a recorded call ({what}) that was {was} ({codes}) would {would}"
        code, about = "what-if.newly_allowed", f"{what}: {was} ({codes}), would {would}"
    elif row["before"] == "ask" and row["terms"] == "weaker":
        text = f"a recorded call ({what}) would be asked about on weaker terms ({codes})"
        code, about = "what-if.weaker", f"{what}: weaker ({codes})"
    else:
        return None
    return Finding(
        code=code,
        text=shown(f"{text}, as {row['call']}; sign it off, or narrow the policies"),
        about=f"{about}, under {revision}",
    )
