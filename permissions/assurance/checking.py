"""What is wrong with a register: owners, dates, mitigations, and tools that no risk covers. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.assurance.mitigations import SINGULAR, faults_of
from permissions.assurance.register import line_of
from permissions.gathered import Finding, PartResult, measured
from permissions.reasons import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from permissions.assurance.known import Known, KnownTool
    from permissions.assurance.register import Covers, Register, Risk

_ALIVE = ("open", "mitigated", "accepted")


def judge_register(
    register: Register, text: str, file: str, known: Known, *, today: date, basis: str, at: int
) -> PartResult:
    """Whether a register holds.

    Args:
        register: as it was read.
        text: of its file, for line numbers.
        file: its name, for messages.
        known: what it is held to.
        today: the day it is held to.
        basis: digest of what was asked (`Terms.basis`).
        at: now, microseconds since 1970 UTC.
    """
    findings = [
        finding.model_copy(update={"file": file, "line": line})
        for line, finding in _findings(register, text, known, today)
    ]
    alive = [risk for risk in register.risk if risk.status in _ALIVE]
    named = sum(1 for risk in alive for _ in risk.mitigations.all())
    tools = "no tools named" if known.tools is None else f"{len(known.tools)} tools"
    return measured(
        "register",
        f"{len(alive)} risks, {named} mitigations, {tools}: {len(findings)} finding(s)",
        {
            "basis": basis,
            "risks": [risk.model_dump(mode="json") for risk in register.risk],
            "tools": None if known.tools is None else [each.name for each in known.tools],
        },
        findings=tuple(findings),
        policies=known.revision,
        at=at,
    )


def _findings(
    register: Register, text: str, known: Known, today: date
) -> Iterator[tuple[int, Finding]]:
    if not any(risk.status in _ALIVE for risk in register.risk):
        yield 1, _finding("register.empty", "names no risk", "register")
    for risk in register.risk:
        line = line_of(text, risk.id)
        if risk.status in _ALIVE:
            for finding in (*_of_risk(risk, today), *_of_mitigations(risk, known)):
                yield line, finding
        yield from ((line, finding) for finding in _of_covers(risk, known))
    for finding in (*_resting(register, known), *_uncovered(register, known)):
        yield 1, finding


def _of_risk(risk: Risk, today: date) -> Iterator[Finding]:
    if not risk.owner.strip():
        yield _finding("register.no_owner", "has no owner; name who answers for it", risk.id)
    if risk.due is None:
        yield _finding("register.no_date", "says no day on which it is looked at", risk.id)
    elif risk.due < today:
        owner = risk.owner or "nobody"
        yield _finding("register.past_due", f"was due on {risk.due}; it is {owner}'s", risk.id)
    if risk.status == "mitigated" and not any(True for _ in risk.mitigations.all()):
        yield _finding("register.no_mitigation", "is mitigated, and names nothing", risk.id)
    if risk.status == "accepted" and not risk.residual.strip():
        what = "is accepted, and does not say what is left of it (residual)"
        yield _finding("register.no_residual", what, risk.id)


def _of_mitigations(risk: Risk, known: Known) -> Iterator[Finding]:
    for kind, name in risk.mitigations.all():
        for code, text, part in faults_of(kind, name, known):
            if part is None:
                said = f"risk {risk.id}: the {SINGULAR[kind]} {name} {text}"
                about = f"{risk.id}: {kind} {name}"
                yield Finding(code=code, text=shown(said), about=shown(about))


def _resting(register: Register, known: Known) -> Iterator[Finding]:
    """What was not measured, once for all that rests on it."""
    resting: dict[tuple[str, str, str], list[str]] = {}
    for risk in register.risk:
        for kind, name in risk.mitigations.all() if risk.status in _ALIVE else ():
            for code, text, part in faults_of(kind, name, known):
                if part is not None:
                    resting.setdefault((code, part, text), []).append(risk.id)
    for (code, part, text), risks in resting.items():
        named = ", ".join(dict.fromkeys(risks))
        said = f"{part} {text}; {len(risks)} mitigation(s) of {named} rest on it"
        yield Finding(code=code, text=shown(said), about=part)


def _of_covers(risk: Risk, known: Known) -> Iterator[Finding]:
    if known.tools is None:
        return
    names = {tool.name for tool in known.tools}
    for name in risk.covers.tools:
        if name not in names:
            said = f"covers the tool {name}, which is not registered"
            yield _finding("register.no_tool", said, risk.id)


def _finding(code: str, text: str, risk: str) -> Finding:
    subject = "the register" if risk == "register" else f"risk {risk}"
    return Finding(code=code, text=shown(f"{subject} {text}"), about=risk)


def _uncovered(register: Register, known: Known) -> Iterator[Finding]:
    covers = [risk.covers for risk in register.risk if risk.status in _ALIVE]
    if known.tools is None:
        said = "names no tools to cover; the thresholds say which (`tools = ...`)"
        yield _finding("register.no_tools", said, "register")
    for tool in known.tools or ():
        if any(tool.name in each.tools for each in covers):
            continue
        if missing := [*_unmet(tool, covers)]:
            yield Finding(
                code="register.uncovered",
                text=shown(
                    f"the tool {tool.name} is covered by no risk for {', '.join(missing)};"
                    " add it to the `covers` of one"
                ),
                about=f"{tool.name}: {', '.join(missing)}",
            )


def _unmet(tool: KnownTool, covers: list[Covers]) -> Iterator[str]:
    """What a tool declares that no risk is about."""
    if not any(tool.effect in each.effects for each in covers):
        yield f"its effect {tool.effect}"
    for mark in sorted(tool.marks):
        if not any(mark in each.marks for each in covers):
            yield f"its mark {mark}"
    if not any(tool.isolation in each.isolation for each in covers):
        yield f"its isolation {tool.isolation}"
