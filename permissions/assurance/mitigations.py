"""Whether a named mitigation is there, in force, tested, and held in its last run. Pure.

Each kind looks in its own way; what they give is a code and the end of a sentence that begins
with the mitigation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from permissions.assurance.known import DEFAULT_PROFILE, DRILL_PART

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from permissions.assurance.known import Known
    from permissions.gathered import PartResult


class Fault(NamedTuple):
    """What is wrong with a mitigation.

    Attributes:
        part: what was not measured, or not since; then `text` is of it, and the same for every
            mitigation that rests on it.
    """

    code: str
    text: str
    part: str | None = None


def faults_of(kind: str, name: str, known: Known) -> Iterator[Fault]:
    """What is wrong with one mitigation; nothing when it holds."""
    yield from _KINDS[kind](name, known)


def _policy(name: str, known: Known) -> Iterator[Fault]:
    package, _, rule = name.partition("/")
    if package in known.idle:
        why = "is there and decides nothing: switch it on, or take it out of the shadow"
        yield Fault("register.not_loaded", why)
        return
    if package not in known.packages:
        yield Fault("register.missing", "is no package of the policies in force")
        return
    if rule and name not in known.rules:
        yield Fault("register.missing", f"is no rule or reason code of the package {package}")
        return
    result, faults = _result("policy-tests", known)
    yield from faults
    if result is None:
        return
    rules = result.evidence["rules"]
    names = [name] if rule else [each for each in rules if each.startswith(f"{package}/")]
    if not any(rules.get(each) for each in names):
        yield Fault("register.untested", "has no test that evaluates it")
    tests = [each["test"] for each in result.evidence["failed"] if each["package"] == package]
    if tests:
        yield Fault("register.failed", f"failed in its last run: {tests[0]}")


def _plan(name: str, known: Known) -> Iterator[Fault]:
    if problem := known.plans.get(name, "is no file"):
        yield Fault("register.missing", problem)


def _profile(name: str, known: Known) -> Iterator[Fault]:
    if name != DEFAULT_PROFILE and name not in known.profiles:
        yield Fault("register.missing", "is no sandbox profile of the settings")
        return
    used = {each.profile or DEFAULT_PROFILE for each in known.tools or ()}
    if known.tools is not None and name not in used:
        yield Fault("register.not_loaded", "is the profile of no registered tool")
    result, faults = _result("probe", known)
    yield from faults
    if result is not None and result.outcome == "failed":
        yield Fault("register.failed", "failed in its last run: a promised boundary is open")


def _probe(name: str, known: Known) -> Iterator[Fault]:
    if int(name) not in known.probes:
        yield Fault("register.missing", "is no case of wardline sandbox probe")
        return
    result, faults = _result("probe", known)
    yield from faults
    if result is None:
        return
    columns = result.evidence["rows"].get(name)
    if columns is None:
        yield Fault("register.untested", "was not among the cases that were attempted")
        return
    for column, found in sorted(columns.items()):
        if found["promised"] and found["status"] in ("open", "not_tried"):
            what = "open" if found["status"] == "open" else "not tried"
            yield Fault("register.failed", f"failed in its last run: {what} on {column}")


def _evaluation(name: str, known: Known) -> Iterator[Fault]:
    result, faults = _result("evaluation", known)
    yield from faults
    if result is None:
        return
    variant, _, figure = name.partition("/")
    gates = [
        each
        for each in result.evidence["gates"]
        if (each["variant"], each["figure"]) == (variant, figure)
    ]
    if not gates:
        yield Fault("register.missing", "is no figure that the thresholds hold")
    for each in gates:
        if not each["holds"]:
            found = "not measured" if each["found"] is None else f"{each['found']:.4g}"
            what = f"failed in its last run: {found}, plan {each['plan']}"
            yield Fault("register.failed", what)


def _alert(name: str, known: Known) -> Iterator[Fault]:
    if name not in known.alerts:
        yield Fault("register.missing", "is no alert of the rule files ([alerts] rules)")
    elif name not in known.tested_alerts:
        yield Fault(
            "register.untested", "has no test in the rule files' tests ([alerts] tests)"
        )


def _drill(name: str, known: Known) -> Iterator[Fault]:
    result, faults = _result(f"{DRILL_PART}{name}", known, run=f"wardline drill {name}")
    yield from faults
    if result is not None and result.outcome == "failed":
        yield Fault("register.failed", f"failed in its last run: {result.sentence}")


def _result(
    part: str, known: Known, *, run: str | None = None
) -> tuple[PartResult | None, list[Fault]]:
    """The last result of a part, and what makes it unfit to speak for a mitigation."""
    command = run or f"wardline assure gate --only {part}"
    result = known.results.get(part)
    if result is None or result.outcome == "not_measured":
        return None, [Fault("register.unmeasured", f"was never measured; {command}", part)]
    if result.policies is not None and result.policies != known.revision:
        why = f"was last measured under other policies than those in force; {command}"
        return result, [Fault("register.outdated", why, part)]
    return result, []


_KINDS: Mapping[str, Callable[[str, Known], Iterator[Fault]]] = {
    "policies": _policy,
    "plans": _plan,
    "profiles": _profile,
    "probes": _probe,
    "evaluations": _evaluation,
    "alerts": _alert,
    "drills": _drill,
}
SINGULAR = {
    "policies": "policy",
    "plans": "plan",
    "profiles": "sandbox profile",
    "probes": "probe",
    "evaluations": "evaluation",
    "alerts": "alert",
    "drills": "drill",
}
