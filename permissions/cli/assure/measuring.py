"""Measures the parts of the gate, with what is behind the commands that do it one by one.

What cannot be measured is a result of its own, with the reason, and never ends the gate: the
other parts are measured all the same.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from permissions.assurance.exemption import day_of
from permissions.assurance.measured_parts import (
    judge_evaluation,
    judge_probe,
    judge_trace,
    judge_what_if,
)
from permissions.assurance.policies import judge_check, judge_diff, judge_tests
from permissions.broker.ports import now_us
from permissions.errors import BrokerError, ConfigError
from permissions.gathered import not_measured
from permissions.pdp.bundle import load_bundle, shipped_folder
from permissions.reasons import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

    from permissions.assurance.terms import EvaluationTerms
    from permissions.cli.assure.scene import Scene
    from permissions.evaluation.run_folder import RunFolder
    from permissions.gathered import PartResult

_DAY = 24 * 3_600_000_000
RUNS = "evaluation-runs"
"""Folder of what was played, one for each data, policies and settings: a run goes on there."""


def measure(part: str, scene: Scene, *, today: date | None = None) -> PartResult:
    """Measures one part; what stands in the way of it is its result.

    Args:
        part: one of `permissions.assurance.terms.PARTS`.
        scene: what is measured.
        today: the day the register is held to; by the clock when not given.
    """
    from sandbox.errors import SandboxError

    measures: Mapping[str, Callable[[Scene], PartResult]] = {
        "policy-check": _check,
        "policy-tests": _tests,
        "policy-diff": _diff,
        "evaluation": _evaluation,
        "probe": _probe,
        "trace": _trace,
        "what-if": _what_if,
        "register": partial(measure_register, today=today),
    }
    try:
        return measures[part](scene)
    except (BrokerError, SandboxError) as err:
        return not_measured(part, shown(str(err).partition("\n")[0])[:500], at=now_us())


def _check(scene: Scene) -> PartResult:
    from permissions.cli.policy.check import checked
    from permissions.setup.policies import load_policies

    found = checked(
        lambda: load_policies(scene.settings).bundle,
        tools=scene.terms.tools,
        config=scene.config,
    )
    return judge_check(
        found.findings,
        found.asked,
        revision=scene.revision,
        basis=scene.basis("policy-check"),
        at=now_us(),
    )


def _folders(scene: Scene) -> tuple[Path | None, Path | None]:
    """The folder of policies and the overlay that the settings name.

    Raises:
        ConfigError: they name an archive, which holds no tests and cannot be played.
    """
    pdp = scene.settings.pdp
    if pdp.policies is not None and pdp.policies.is_file():
        raise ConfigError(
            f"the settings name the archive {pdp.policies}; name the folder it was built from in"
            " settings of the gate's own (--config)"
        )
    return pdp.policies, pdp.overlay


def _tests(scene: Scene) -> PartResult:
    from permissions.cli.policy.tests import results_of

    folder, overlay = _folders(scene)
    base = folder or shipped_folder()
    runs = [results_of(load_bundle(base), base)]
    if overlay is not None:
        runs.append(results_of(scene.bundle(), overlay))
    return judge_tests(
        scene.bundle(),
        runs,
        scene.terms.tests.coverage,
        basis=scene.basis("policy-tests"),
        at=now_us(),
    )


def _diff(scene: Scene) -> PartResult:
    from permissions.authoring.difference import compare, possible_calls
    from permissions.authoring.trial import Circumstances, Judge

    if scene.tools is None:
        raise ConfigError("name the module of the tools (`tools = ...`) whose calls to compare")
    after, release = scene.bundle(), scene.terms.release
    before = (
        load_bundle()
        if release is None
        else load_bundle(release.policies, overlay=release.overlay)
    )
    scopes, calls = possible_calls(
        scene.tools, [before, after], Circumstances(), most=scene.terms.diff.calls
    )
    is_same = before.revision == after.revision
    return judge_diff(
        [] if is_same else compare(Judge(before), Judge(after), calls),
        scopes,
        before=str(before.revision),
        after=str(after.revision),
        basis=scene.basis("policy-diff"),
        at=now_us(),
    )


def _evaluation(scene: Scene) -> PartResult:
    from permissions.evaluation.run_folder import RunFolder
    from permissions.evaluation.summary import compare, summarize
    from permissions.evaluation.thresholds import Thresholds, judge

    terms, release = scene.terms.evaluation, scene.terms.release
    if terms is None:
        raise ConfigError("the thresholds have no [evaluation]: say what it has to reach")
    folder, overlay = _folders(scene)
    run = _played(scene, terms, folder, overlay)
    compared = None
    if release is not None:
        last = (
            _played(scene, terms, release.policies, release.overlay)
            if release.evaluation is None
            else RunFolder(release.evaluation)
        )
        compared = compare(last.rows(), run.rows())
    about = run.about()
    figures = summarize(
        run.rows(), planned=about.get("planned", {}), seconds=about.get("seconds", 0.0)
    )
    return judge_evaluation(
        about,
        figures,
        judge(Thresholds(gates=[*terms.gates]), figures),
        compared,
        chance=terms.chance,
        revision=scene.revision,
        basis=scene.basis("evaluation"),
        at=now_us(),
    )


def _played(
    scene: Scene, terms: EvaluationTerms, policies: Path | None, overlay: Path | None
) -> RunFolder:
    """A run over the data, played as far as it is not yet."""
    from permissions.cli import interrupt
    from permissions.cli.eval import Progress
    from permissions.evaluation.run_folder import RunFolder
    from permissions.evaluation.runner import RunOptions, play_run, shipped_data
    from permissions.signing.canonical import digest_of

    options = RunOptions(
        data=terms.data or shipped_data(),
        suites=terms.suites,
        variants=terms.variants,
        kinds=terms.kinds,
        policies=policies,
        overlay=overlay,
        planner=terms.planner,
        limit=terms.limit,
    )
    revision = load_bundle(policies, overlay=overlay).revision
    name = digest_of(options.document(revision)).removeprefix("sha256:")[:16]
    folder = RunFolder(scene.gathered.folder / RUNS / name)
    interrupt.run(lambda: play_run(options, folder, Progress()))
    return folder


def _probe(scene: Scene) -> PartResult:
    from permissions.cli.sandbox_probe import probed
    from sandbox.probes import COLUMNS, PROBES

    asked = scene.terms.probe
    if unknown := sorted(set(asked.backends) - set(COLUMNS)):
        raise ConfigError(f"[probe]: {unknown[0]!r} is none of {', '.join(COLUMNS)}")
    if absent := sorted(set(asked.cases) - PROBES.keys()):
        raise ConfigError(f"[probe]: {absent[0]} is none of the cases 1 to {max(PROBES)}")
    found, missing = anyio.run(probed, [*asked.backends], [*asked.cases])
    return judge_probe(
        found,
        missing,
        {number: row.title for number, row in PROBES.items()},
        revision=scene.revision,
        basis=scene.basis("probe"),
        at=now_us(),
    )


def _trace(scene: Scene) -> PartResult:
    from permissions.cli.trace_source import TraceSource, remember
    from permissions.cli.trace_verified import verified

    asked = scene.terms.trace
    source = TraceSource(asked.folder, scene.config, may_be_gone=True)
    remembered = os.environ.get("WARDLINE_KNOWN_CHECKPOINTS")
    report, pin, known, _ = verified(
        source,
        key=asked.key,
        checkpoints=asked.checkpoints,
        known_checkpoints=None if not remembered else Path(remembered),
        witnesses=asked.witnesses,
    )
    if report.is_intact:
        [*remember(known, source, report, pin)]
    return judge_trace(
        report,
        asked.require,
        pin.source,
        revision=scene.revision,
        basis=scene.basis("trace"),
        at=now_us(),
    )


def _what_if(scene: Scene) -> PartResult:
    from permissions.cli.trace_replay import replayed
    from permissions.cli.trace_source import TraceSource

    days = scene.terms.what_if.days
    source = TraceSource(scene.terms.trace.folder, scene.config)
    summary, rows = replayed(source, scene.bundle(), since=now_us() - days * _DAY)
    return judge_what_if(
        summary,
        rows,
        days=days,
        revision=scene.revision,
        basis=scene.basis("what-if"),
        at=now_us(),
    )


def measure_register(scene: Scene, *, today: date | None = None) -> PartResult:
    """Holds the register to what there is, and to what the other parts came to.

    Raises:
        ConfigError: the register, or a file it is held to, cannot be read.
    """
    from permissions.assurance.checking import judge_register
    from permissions.assurance.register import read_register
    from permissions.cli.assure.scene import known_in

    path = scene.terms.risks
    register = read_register(path)
    now = now_us()
    return judge_register(
        register,
        path.read_text(),
        str(path),
        known_in(scene, register, scene.gathered.all()),
        today=today or day_of(now),
        basis=scene.basis("register"),
        at=now,
    )
