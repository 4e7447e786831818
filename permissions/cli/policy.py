"""`wardline policy`: judge a policy folder, run its tests, explain one decision.

Exit codes: 0 sound, passed or permitted; 1 findings or failed tests; 2 wrong usage; 3 denied;
4 denied until a person approves; 6 the policy gave no clear answer.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from permissions.cli.program import noun
from permissions.cli.tools_of import unmarked_in
from permissions.errors import ConfigError, PolicyLoadError
from permissions.pdp.bundle import load_bundle

if TYPE_CHECKING:
    from permissions.model import Decision, JsonObject
    from permissions.pdp.bundle import PolicyBundle
    from permissions.pdp.policy_tests import LineCoverage, TestRun

app = noun("Check, test and explain policies.")

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="DIR", exists=True, file_okay=False, help="Default: the shipped ones."
    ),
]
OnTop = Annotated[
    bool, typer.Option("--on-top", help="Add DIR on top of the shipped policies.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Tools = Annotated[
    str | None,
    typer.Option(metavar="MODULE", help="Also say which arguments of its tools have no mark."),
]


@app.command()
def check(
    folder: Folder = None,
    *,
    on_top: OnTop = False,
    tools: Tools = None,
    as_json: AsJson = False,
) -> None:
    """Check whether a folder of policies may be served.

    Each finding says where it is and how to mend it.

    \b
    Examples:
      $ wardline policy check
      $ wardline policy check mine --on-top
      $ wardline policy check --tools my_agent.tools
    """
    from permissions.pdp.lint.bundle import check_bundle

    revision, left_out = None, []
    try:
        bundle = _load(folder, on_top=on_top)
        findings = [str(finding) for finding in check_bundle(bundle)]
        revision, left_out = bundle.revision, _left_out(bundle)
    except PolicyLoadError as err:
        findings = list(err.findings)
    findings += unmarked_in(tools) if tools is not None else []
    if as_json:
        answer: JsonObject = {"sound": not findings, "revision": revision}
        _print_json({**answer, "findings": findings, "left_out": left_out})
    else:
        for finding in findings:
            typer.echo(_shown(finding), err=True)
        if left_out:
            typer.echo(f"shipped, and not in this folder: {', '.join(left_out)}", err=True)
        typer.echo(f"{len(findings)} finding(s)" if findings else f"sound, revision {revision}")
    raise typer.Exit(1 if findings else 0)


@app.command("test")
def run_test_rules(
    folder: Folder = None,
    *,
    on_top: OnTop = False,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Show the lines no test evaluates.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the tests of a folder of policies.

    These are the rules `test_*` of the files `*_test.rego`, run by the engine that decides.

    \b
    Examples:
      $ wardline policy test mine --on-top --coverage
    """
    from permissions.pdp.policy_tests import run_tests

    bundle = _sound(folder, on_top=on_top)
    run = run_tests(bundle)
    if as_json:
        _print_json(_run_document(run))
    else:
        _print_run(run, coverage=coverage)
    raise typer.Exit(0 if run.passed else 1)


@app.command()
def explain(
    folder: Folder = None,
    *,
    request: Annotated[
        Path,
        typer.Option(
            "--input", exists=True, dir_okay=False, help="The evaluation request, JSON."
        ),
    ],
    on_top: OnTop = False,
    as_json: AsJson = False,
) -> None:
    """Explain what is decided for one request.

    Says which rules decided, and which lines of each file were evaluated.

    \b
    Examples:
      $ wardline policy explain --input request.json
    """
    bundle = _sound(folder, on_top=on_top)
    document = _read_request(request)
    decision, lines = _decide(bundle, document)
    if as_json:
        _print_json(
            {
                "response": decision.response,
                "revision": bundle.revision,
                "evaluated": {path: sorted(found.covered) for path, found in lines.items()},
            }
        )
    else:
        _print_decision(decision, lines)
    if decision.permitted:
        raise typer.Exit(0)
    raise typer.Exit(4 if decision.access_request else 3)


def _left_out(bundle: PolicyBundle) -> list[str]:
    """Shipped modules that the folder does without, which is its author's to decide."""
    return sorted(load_bundle().modules.keys() - bundle.modules.keys())


def _load(folder: Path | None, *, on_top: bool) -> PolicyBundle:
    if on_top and folder is None:
        raise ConfigError("--on-top needs a DIR")
    return load_bundle(overlay=folder) if on_top else load_bundle(folder)


def _sound(folder: Path | None, *, on_top: bool) -> PolicyBundle:
    from permissions.pdp.lint.bundle import require_sound

    bundle = _load(folder, on_top=on_top)
    require_sound(bundle)
    return bundle


def _read_request(path: Path) -> JsonObject:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as err:
        raise ConfigError(f"{path} is no JSON file: {err}") from err
    if not isinstance(document, dict):
        raise ConfigError(f"{path} is no JSON object")
    return document


def _decide(
    bundle: PolicyBundle, document: JsonObject
) -> tuple[Decision, dict[str, LineCoverage]]:
    from permissions.errors import PdpAnswerError, PdpUndefinedError
    from permissions.model import Decision
    from permissions.pdp.base import ENTRYPOINT
    from permissions.pdp.input_json import input_bytes
    from permissions.pdp.policy_tests import read_coverage
    from permissions.pdp.regorus.engine import UNDEFINED, Engine
    from permissions.pdp.regorus.errors import EngineError

    question = input_bytes(document).decode()
    engine = Engine(bundle.modules, json.dumps(bundle.data, ensure_ascii=False))
    engine.watch()
    try:
        answer = engine.ask(ENTRYPOINT, question)
    except EngineError as err:
        # Shown to whoever holds the input anyway, so with the values the engine quotes.
        raise PdpAnswerError(f"the policy failed: {err.text}") from err
    if answer == UNDEFINED:
        raise PdpUndefinedError(f"{ENTRYPOINT} has no value for this input")
    return Decision.from_response(json.loads(answer)), read_coverage(engine.coverage())


def _print_decision(decision: Decision, lines: dict[str, LineCoverage]) -> None:
    if decision.permitted:
        verdict = "permitted"
    elif decision.access_request:
        verdict = f"denied until approved by {', '.join(decision.access_request.approvers)}"
    else:
        verdict = "denied"
    typer.echo(_shown(verdict))
    for rule in decision.rules:
        typer.echo(f"  rule        {_shown(rule)}")
    for reason in decision.reasons:
        typer.echo(f"  reason      {reason.code}: {_shown(reason.agent)}")
        if reason.operator:
            typer.echo(f"              {_shown(reason.operator)}")
    for each in decision.obligations:
        typer.echo(f"  obligation  {_shown(each.id)} ({_shown(each.type)})")
    for path, found in sorted(lines.items()):
        if found.covered:
            typer.echo(f"  evaluated   {_shown(path)}: lines {_spans(found.covered)}")


def _print_run(run: TestRun, *, coverage: bool) -> None:
    for result in run.results:
        if result.outcome != "pass":
            at = f"{result.path}:{result.line}"
            typer.echo(f"{result.outcome.upper()} {_shown(result.name)} ({_shown(at)})")
            for line in (*result.prints, *result.detail.splitlines()):
                typer.echo(f"  {_shown(line)}")
    if coverage:
        for path, found in sorted(run.coverage.items()):
            missed = f" missed {_spans(found.missed)}" if found.missed else ""
            total = len(found.covered) + len(found.missed)
            typer.echo(f"{_shown(path)}: {len(found.covered)}/{total} lines{missed}")
        typer.echo(f"coverage {run.covered_share:.1%}")
    passed = sum(result.outcome == "pass" for result in run.results)
    typer.echo(f"{passed} of {len(run.results)} tests passed")


def _run_document(run: TestRun) -> JsonObject:
    return {
        "passed": run.passed,
        "results": [asdict(result) for result in run.results],
        "coverage": {
            path: {"covered": sorted(found.covered), "missed": sorted(found.missed)}
            for path, found in sorted(run.coverage.items())
        },
    }


def _spans(numbers: frozenset[int]) -> str:
    """Line numbers as `3-5, 9`."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans)


def _shown(text: str) -> str:
    """Text with what could steer a terminal written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _print_json(document: JsonObject) -> None:
    typer.echo(json.dumps(document, indent=2))
