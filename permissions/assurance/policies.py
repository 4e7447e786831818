"""The parts about policies: are they sound, tested, and what do they allow anew? Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING

from permissions.gathered import Finding, PartResult, measured
from permissions.pdp.regorus.parse import parse
from permissions.reasons import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from permissions.authoring.difference import Difference, Scope
    from permissions.pdp.bundle import PolicyBundle
    from permissions.pdp.policy_tests import TestResult, TestRun
    from permissions.pdp.rego.ast import Module

_AT = re.compile(r"^(?P<file>[^\s:]+):(?P<line>\d+):\d+: ")
_CODE = re.compile(r'"([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+)"')
_EXAMPLE = 300


def package_of(module: Module) -> str:
    """The name of a package in a register: `messaging`, `effects.changes`, `layers.git`."""
    return _named(module.package)


def _named(parts: Sequence[str]) -> str:
    rest = [*parts]
    for word in ("wardline", "policies"):
        if rest[:1] == [word]:
            del rest[0]
    return ".".join(rest)


def _tested(result: TestResult) -> str:
    """The package a test is about: by its own package, or a table's by its folder."""
    if result.path.endswith(".rego"):
        return _named(result.name.split(".")[1:-1]).removesuffix("_test")
    return _named(result.path.split("/")[:-1])


def rules_of(bundle: PolicyBundle) -> dict[str, set[tuple[str, int]]]:
    """The lines of each rule (`package/rule`), by its name and by each reason code it gives."""
    found: dict[str, set[tuple[str, int]]] = {}
    for path, text in bundle.modules.items():
        module = parse(path, text)
        package, lines = package_of(module), text.splitlines()
        starts = [rule.position.line for rule in module.rules]
        ends = [*starts[1:], len(lines) + 1]
        for rule, start, end in zip(module.rules, starts, ends, strict=True):
            span = {(path, line) for line in range(start, end)}
            said = _CODE.findall("\n".join(lines[start - 1 : end - 1]))
            for name in {rule.path[0], *said}:
                found.setdefault(f"{package}/{name}", set()).update(span)
    return found


def judge_check(
    findings: Sequence[str], asked: Sequence[str], *, revision: str, basis: str, at: int
) -> PartResult:
    """Whether the policies are sound.

    Args:
        findings: each as `file:line:column: code: what; fix`.
        asked: programs of others that were asked as well.
        revision: of the policies.
        basis: digest of what was asked (`Terms.basis`).
        at: now, microseconds since 1970 UTC.
    """
    said = f"{', '.join(asked)} asked as well" if asked else "nobody else's program asked"
    return measured(
        "policy-check",
        f"{len(findings)} finding(s) in the policies" if findings else f"sound; {said}",
        {"basis": basis, "findings": [*findings], "asked": [*asked]},
        findings=tuple(map(_sound, findings)),
        policies=revision,
        at=at,
    )


def _sound(text: str) -> Finding:
    found = _AT.match(text)
    code = "policy-check.unsound"
    if found is None:
        return Finding(code=code, text=shown(text))
    where, line = found["file"], max(1, int(found["line"]))
    return Finding(code=code, text=shown(text), file=where, line=line)


def judge_tests(
    bundle: PolicyBundle, runs: Sequence[TestRun], least: float, *, basis: str, at: int
) -> PartResult:
    """Whether the tests pass, and reach far enough.

    Args:
        bundle: the policies in force.
        runs: of the folders they are made of; what one of them covers is covered.
        least: share of the lines that have to be.
        basis: digest of what was asked (`Terms.basis`).
        at: now, microseconds since 1970 UTC.
    """
    results = [result for run in runs for result in run.results]
    covered: set[tuple[str, int]] = set()
    missed: set[tuple[str, int]] = set()
    for run in runs:
        for path, found in run.coverage.items():
            if path in bundle.modules:
                covered |= {(path, line) for line in found.covered}
                missed |= {(path, line) for line in found.missed}
    missed -= covered
    share = len(covered) / (len(covered) + len(missed)) if covered or missed else 0.0
    failed = [result for result in results if result.outcome != "pass"]
    findings = [
        Finding(
            code="policy-tests.failed",
            text=shown(f"the test {each.name} of {each.path}: {each.detail or 'is not true'}"),
            about=each.name,
            file=each.path,
            line=max(1, each.line),
        )
        for each in failed
    ]
    if not results:
        findings.append(
            Finding(code="policy-tests.none", text="the policies have no test; write one")
        )
    if share < least:
        findings.append(
            Finding(
                code="policy-tests.coverage",
                text=f"tests evaluate {share:.1%} of the lines; wanted at least {least:.1%}",
            )
        )
    return measured(
        "policy-tests",
        f"{len(results) - len(failed)} of {len(results)} tests pass, {share:.1%} of the lines"
        " evaluated",
        {
            "basis": basis,
            "tests": len(results),
            "failed": [{"test": each.name, "package": _tested(each)} for each in failed],
            "covered_share": round(share, 6),
            "packages": _packages(bundle, covered, missed),
            "rules": {
                name: bool(lines & covered) for name, lines in sorted(rules_of(bundle).items())
            },
        },
        findings=tuple(findings),
        policies=bundle.revision,
        at=at,
    )


def _packages(
    bundle: PolicyBundle, covered: set[tuple[str, int]], missed: set[tuple[str, int]]
) -> dict[str, dict[str, int]]:
    hit, not_hit = (Counter(path for path, _ in lines) for lines in (covered, missed))
    found: dict[str, dict[str, int]] = {}
    for path, text in sorted(bundle.modules.items()):
        each = found.setdefault(package_of(parse(path, text)), {"covered": 0, "missed": 0})
        each["covered"] += hit[path]
        each["missed"] += not_hit[path]
    return found


def judge_diff(
    differences: Sequence[Difference],
    scopes: Sequence[Scope],
    *,
    before: str,
    after: str,
    basis: str,
    at: int,
) -> PartResult:
    """Whether anything is newly allowed.

    A sign-off is for exactly these policies: what it is about names their revision.

    Args:
        differences: between the last release and the policies in force.
        scopes: how many calls were looked at.
        before: revision of the last release.
        after: of the policies in force.
        basis: digest of what was asked (`Terms.basis`).
        at: now, microseconds since 1970 UTC.
    """
    findings = [*_newly_allowed(differences, after)]
    whole = sum(scope.is_whole for scope in scopes)
    calls = sum(scope.asked for scope in scopes)
    said = f"{calls:,} calls of {len(scopes)} tools ({whole} of them whole)"
    return measured(
        "policy-diff",
        f"{len(findings)} of {len(differences)} differences allow more, in {said}"
        if differences
        else f"no difference to the last release, in {said}",
        {
            "basis": basis,
            "before": before,
            "after": after,
            "differences": [
                {
                    "tool": each.tool,
                    "before": {"verdict": each.before.verdict, "codes": [*each.before.codes]},
                    "after": {"verdict": each.after.verdict, "codes": [*each.after.codes]},
                    "wider": each.is_wider,
                    "example": json.dumps(each.arguments, sort_keys=True)[:_EXAMPLE],
                    "calls": each.count,
                }
                for each in differences
            ],
            "scopes": [
                {"tool": each.tool, "asked": each.asked, "all": str(each.all)}
                for each in scopes
            ],
        },
        findings=tuple(findings),
        policies=after,
        at=at,
    )


def _newly_allowed(differences: Sequence[Difference], revision: str) -> Iterator[Finding]:
    seen: Mapping[str, bool] = {}
    for each in differences:
        if not each.is_wider:
            continue
        codes = ", ".join(each.before.codes) or "no reason"
        about = f"{each.tool}: {each.before.verdict} ({codes}) to {each.after.verdict}"
        if about in seen:
            continue
        seen = {**seen, about: True}
        example = json.dumps(each.arguments, sort_keys=True)[:_EXAMPLE]
        verdict = {"allow": "runs unasked", "ask": "is put to a person"}[each.after.verdict]
        yield Finding(
            code="policy-diff.newly_allowed",
            text=shown(
                f"a call of {each.tool} now {verdict} that the last release"
                f" {'denied' if each.before.verdict == 'deny' else 'asked about'} ({codes}):"
                f" {example}; sign it off, or narrow the policies"
            ),
            about=f"{about}, under {revision}",
        )
