"""The system card: one JSON document, made from what was gathered and what is in force. Pure.

Nothing in it is written by hand. A section that nothing was measured for holds
`{"not_measured": WHY}` and nothing else, so that a reader never takes silence for a good result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from permissions.assurance.card_changes import changes
from permissions.assurance.policy_facts import policy_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from permissions.gathered import PartResult
    from permissions.pdp.bundle import PolicyBundle
    from permissions.setup.config import BrokerConfig
    from permissions.tools.definition import ToolDefinition
    from permissions.vocabulary import JsonObject

FORM: Final = "wardline-system-card/1"
_FIGURES: Final = ("attacks", "hijack", "honest")


def card(
    *,
    made: str,
    build: JsonObject,
    settings: BrokerConfig,
    policies: PolicyBundle,
    tools: Sequence[ToolDefinition] | None,
    results: Mapping[str, PartResult],
    recorded: JsonObject | None,
    limits: JsonObject,
    since: JsonObject | None = None,
) -> JsonObject:
    """The card.

    Args:
        made: when, in UTC (ISO 8601).
        build: versions of what this runs on.
        settings: in force.
        policies: in force.
        tools: that are registered; None when nobody said which.
        results: the newest of each part.
        recorded: what was counted in the log (`export.card`); None where there is none.
        limits: of the threat model.
        since: the last card.
    """
    revision = str(policies.revision)
    said: JsonObject = {
        "form": FORM,
        "made": made,
        "build": build,
        "environment": settings.environment,
        "tools": _tools(tools, settings),
        "policies": {
            **policy_facts(policies),
            "tests": _part(results, "policy-tests", revision, _tests),
            "differences": _part(results, "policy-diff", revision, _sentence),
        },
        "approvals": _approvals(settings, policies),
        "isolation": _part(results, "probe", revision, _isolation),
        "evaluation": _part(results, "evaluation", revision, _evaluation),
        "record": _part(results, "trace", revision, _sentence),
        "what_if": _part(results, "what-if", revision, _sentence),
        "recorded": recorded or not_measured("no log was read"),
        "drills": _drills(results, revision),
        "risks": _part(results, "register", revision, _risks),
        "gate": _part(results, "gate", revision, _gate),
        "exemptions": _exemptions(results.get("gate")),
        "limits": limits,
    }
    said["changes"] = not_measured("no earlier card was given (--since)")
    if since is not None:
        said["changes"] = {"since": since.get("made"), "what": changes(since, said)}
    return said


def not_measured(why: str) -> JsonObject:
    """A section of which nothing is known."""
    return {"not_measured": why}


def _part(
    results: Mapping[str, PartResult], part: str, revision: str, shape: Any
) -> JsonObject:
    """A part as it was measured, with its date and whether that was under these policies."""
    result = results.get(part)
    if result is None:
        return not_measured(f"{part} was never measured")
    if result.outcome == "not_measured":
        return not_measured(result.sentence)
    return {
        "outcome": result.outcome,
        "sentence": result.sentence,
        "measured_at": result.measured_at,
        "same_policies": result.policies == revision,
        "findings": [each.text for each in result.findings],
        "evidence_digest": result.evidence_digest,
        **shape(result.evidence),
    }


def _sentence(_: JsonObject) -> JsonObject:
    return {}


def _tools(tools: Sequence[ToolDefinition] | None, settings: BrokerConfig) -> JsonObject:
    if tools is None:
        return not_measured(
            "no module of tools was named (`tools` in the gate's file, --tools)"
        )
    return {
        "deadline_seconds": settings.call_deadline_seconds,
        "list": [
            {
                "name": tool.name,
                "effect": tool.effect,
                "impact": tool.impact,
                "isolation": tool.isolation,
                "profile": tool.options.profile,
                "output": tool.output,
                "stateful": tool.options.stateful,
                "marks": dict(sorted(tool.marks.items())),
                "unmarked": sorted(tool.unmarked),
                "digest": str(tool.digest),
            }
            for tool in sorted(tools, key=lambda each: each.name)
        ],
    }


def _tests(evidence: JsonObject) -> JsonObject:
    packages = evidence.get("packages", {})
    return {
        "tests": evidence.get("tests"),
        "covered_share": evidence.get("covered_share"),
        "untested_rules": [n for n, tested in evidence.get("rules", {}).items() if not tested],
        "packages": {
            name: lines["covered"] / total if (total := sum(lines.values())) else None
            for name, lines in packages.items()
        },
    }


def _approvals(settings: BrokerConfig, policies: PolicyBundle) -> JsonObject:
    """Who may answer, on whose terms, and who lifts a stop."""
    table: Any = policies.data
    for name in ("wardline", "tables", "approval"):
        table = table.get(name, {}) if isinstance(table, dict) else {}
    return {
        "approvers": [
            {"name": name, "groups": sorted(who.groups), "file_key": who.public_key is not None}
            for name, who in sorted(settings.approvers.items())
        ],
        "terms": table.get("terms", {}),
        "always_ask": table.get("always_ask", []),
        "never": table.get("never", []),
        "stop": {
            "agreement_for": list(settings.stop.agreement_for),
            "approvers": list(settings.stop.approvers),
            "quorum": settings.stop.quorum,
        },
    }


def _isolation(evidence: JsonObject) -> JsonObject:
    rows = evidence.get("rows", {})
    columns = evidence.get("columns", [])
    return {
        "backends": {
            column: _counted(row[column]["status"] for row in rows.values() if column in row)
            for column in columns
        },
        "missing": evidence.get("missing", {}),
        "open": [
            f"case {number} on {column}"
            for number, row in rows.items()
            for column, found in row.items()
            if found.get("promised") and found.get("status") in ("open", "not_tried")
        ],
    }


def _evaluation(evidence: JsonObject) -> JsonObject:
    """Each figure with its 95% Wilson interval, as the evaluation counted it."""
    rows = []
    for figures in evidence.get("figures", []):
        for name, found in _shares(figures):
            rows.append(
                {
                    "variant": figures["variant"],
                    "plan": figures["plan"],
                    "suite": figures["suite"],
                    "figure": name,
                    "share": found["share"],
                    "wilson": found["wilson"],
                }
            )
    return {"figures": rows, "gates": evidence.get("gates", [])}


def _shares(figures: JsonObject) -> Iterable[tuple[str, JsonObject]]:
    for name in _FIGURES:
        found = figures.get(name)
        for at, each in (("", found), *((found or {}).items())):
            if isinstance(each, dict) and "wilson" in each:
                yield f"{name}/{at}".rstrip("/"), each
    for name, each in (figures.get("rates") or {}).items():
        if isinstance(each, dict):
            yield f"rates/{name}", each


def _drills(results: Mapping[str, PartResult], revision: str) -> JsonObject:
    prefix = "drill-"
    played = {
        name.removeprefix(prefix): _part(results, name, revision, _drill)
        for name in sorted(results)
        if name.startswith(prefix)
    }
    return played or not_measured("no drill was played (`wardline drill list`)")


def _drill(evidence: JsonObject) -> JsonObject:
    return {
        name: evidence.get(name)
        for name in ("happened", "prevented", "seconds", "runbook", "worked")
    }


def _risks(evidence: JsonObject) -> JsonObject:
    return {"list": evidence.get("risks", [])}


def _gate(evidence: JsonObject) -> JsonObject:
    parts = evidence.get("parts", [])
    return {
        "parts": [{k: each.get(k) for k in ("part", "holds", "sentence")} for each in parts]
    }


def _exemptions(gate: PartResult | None) -> JsonObject:
    if gate is None:
        return not_measured("the release gate was never asked")
    parts = gate.evidence.get("parts", [])
    held = [each for part in parts for each in part.get("exempted", [])]
    return {"in_force": held, "refused": gate.evidence.get("refused", [])}


def _counted(words: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return found
