"""A decision in words: the verdict, who may lift it, the rules, and the lines they hang on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from permissions.approval.text import compared
from permissions.authoring.why import fired_rules, nearly_allowed
from permissions.cli.policy.folder import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from permissions.authoring.why import Line, Traced
    from permissions.model import Decision, JsonObject
    from permissions.pdp.bundle import PolicyBundle

_WORDS = {"allow": "permitted", "ask": "denied until a person approves", "deny": "denied"}


def traced(
    bundle: PolicyBundle, question: JsonObject, decided: Decision
) -> tuple[list[Traced], list[Traced]]:
    """The rules that denied or ask, and those that nearly allowed what nothing allows."""
    codes = [each.code for each in decided.reasons]
    fired = fired_rules(bundle, question, codes)
    silent = "main.nothing_allows" in codes
    return fired, nearly_allowed(bundle, question) if silent else []


def print_verdict(
    decided: Decision,
    fired: Sequence[Traced],
    near: Sequence[Traced],
    allowed: JsonObject | None,
    shadow: str | None = None,
) -> None:
    """What is decided and why, for people."""
    typer.echo(_WORDS[decided.verdict])
    if (terms := decided.access_request) is not None:
        said = ", then ".join(
            f"{each.quorum} {'person' if each.quorum == 1 else 'people'}"
            f" of {' or '.join(each.approvers)}"
            for each in terms.order
        )
        apart = ", and not who asks" if terms.separation_of_duties else ""
        typer.echo(shown(f"  approve     {said}{apart}"))
    for line in _reasons(decided):
        typer.echo(line)
    if allowed is not None:
        typer.echo(shown(f"  allowed     {json.dumps(allowed)}"))
    for each in decided.obligations:
        properties = json.dumps(each.properties)
        typer.echo(shown(f"  obligation  {each.id}: {each.type} {properties}"))
    if decided.rules:
        typer.echo(shown(f"  rules       {', '.join(decided.rules)}"))
    if shadow is not None:
        typer.echo(shown(f"  in shadow   {shadow}"))
    for rule in (*fired, *near):
        for line in _rule(rule):
            typer.echo(shown(line))


def _reasons(decided: Decision) -> Iterator[str]:
    for reason in decided.reasons:
        yield shown(f"  reason      {reason.code}: {reason.agent}")
        if reason.operator:
            yield shown(f"              {reason.operator}")
        if reason.values:
            yield f"              compared: {compared(reason.values)}"
        if reason.nearest is not None:
            yield shown(f"              nearest: {json.dumps(reason.nearest)}")


def _rule(rule: Traced) -> Iterator[str]:
    word = "because" if rule.failed is None else "no allow by"
    yield f"  {word:<11} {rule.code} ({rule.path}:{rule.line})"
    for line in rule.held if rule.failed is None else ():
        yield from _line(line, " ")
    if rule.failed is not None:
        yield from _line(rule.failed, "✗")


def _line(line: Line, sign: str) -> Iterator[str]:
    text = " ".join(line.text.split())
    yield f"       {line.number:>4} {sign} {text[:100]}"
    for name, value in line.values:
        said = json.dumps(value, ensure_ascii=False)
        yield f"                {name} is {said if len(said) <= 160 else said[:157] + '...'}"


def shadow_of(bundle: PolicyBundle, question: JsonObject, decided: Decision) -> str | None:
    """What packages in the shadow would make of it, in words; None without any."""
    from permissions.authoring.trial import Judge
    from permissions.errors import PdpError
    from permissions.model import ShadowAnswer
    from permissions.pdp.shadow_marks import shadow_paths

    if not shadow_paths(bundle.modules):
        return None
    try:
        would = Judge(bundle, with_shadow=True).decide(question)
    except PdpError as err:
        return f"no clear answer: {err}"
    codes = ShadowAnswer.beside(decided, would).codes
    return f"{_WORDS[would.verdict]}, by {', '.join(codes)}" if codes else "nothing to say"


def document_of(
    bundle: PolicyBundle,
    decided: Decision,
    fired: Sequence[Traced],
    near: Sequence[Traced],
    allowed: JsonObject | None,
) -> JsonObject:
    """The same as JSON."""
    return {
        "verdict": decided.verdict,
        "response": decided.response,
        "revision": bundle.revision,
        "because": [_traced_document(each) for each in fired],
        "nearly": [_traced_document(each) for each in near],
        "allowed": allowed,
    }


def _traced_document(rule: Traced) -> JsonObject:
    return {
        "code": rule.code,
        "rule": rule.name,
        "path": rule.path,
        "line": rule.line,
        "held": [_line_document(each) for each in rule.held],
        "failed": None if rule.failed is None else _line_document(rule.failed),
    }


def _line_document(line: Line) -> JsonObject:
    values = [{"reference": name, "value": value} for name, value in line.values]
    return {"line": line.number, "text": line.text, "values": values}


def exit_code(decided: Decision) -> int:
    """0 permitted, 4 until a person approves, 3 denied."""
    return {"allow": 0, "ask": 4, "deny": 3}[decided.verdict]
