"""`wardline plan`: verify a declared plan, read it, and get the schema to write one.

Exit codes: 0 accepted, 1 not accepted or not a plan, 2 the question itself was wrong (no such
file, no such tools). Text of a plan is escaped before it reaches the terminal.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, assert_never

import typer

from permissions.cli.program import noun
from permissions.cli.request import As, Config, Dir, Id, Key, Note, answer
from permissions.errors import ApprovalError, BrokerError, PlanError
from permissions.plan.learned import learned_plan
from permissions.plan.model import (
    Hole,
    LiteralValue,
    Plan,
    Reference,
    UserValue,
    parse_plan,
    plan_from,
    plan_schema,
)
from permissions.plan.prompt import planning_prompt
from permissions.plan.steps import run_order
from permissions.plan.trim import trim_plan
from permissions.plan.verifier import verify_plan
from permissions.run.provenance import ProvenanceLedger
from permissions.run.state import AMEND_PLAN, APPROVE_PLAN

if TYPE_CHECKING:
    from permissions.approval.model import AccessRequest
    from permissions.model import JsonValue
    from permissions.plan.model import Argument, PlannedTool
    from permissions.plan.verdict import PlanVerdict

MAX_SHOWN = 120

app = noun("Verify and read declared plans.")

PlanFile = Annotated[
    Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True)
]


@app.command()
def verify(
    file: PlanFile,
    *,
    tools: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:ATTR",
            help="Where the tools are: a registry, a list of tools, or a mapping by name."
            " Without it every tool is unknown.",
        ),
    ] = None,
    prompt: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="What the person said; every `user` value must stand in it.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Verify that a plan may run.

    Each problem says how to mend it.

    \b
    Examples:
      $ wardline plan verify plan.json --tools my_agent.tools:TOOLS
    """
    known = {} if tools is None else _load_tools(tools)
    plan = _read(file)
    said = None
    if prompt is not None:
        ledger = ProvenanceLedger()
        ledger.add_user_text(prompt.read_text(encoding="utf-8", errors="replace"))
        said = ledger.said_by_user
    verdict = verify_plan(plan, known, now=time.time_ns() // 1000, said_by_user=said)
    typer.echo(json.dumps(verdict.document()) if as_json else _verdict_text(plan, verdict))
    if not verdict.accepted:
        raise typer.Exit(1)


@app.command()
def show(file: PlanFile) -> None:
    """Draw the steps of a plan in the order they can run."""
    plan = _read(file)
    typer.echo(plan_text(plan))


@app.command()
def schema() -> None:
    """Print the JSON Schema of a plan.

    Hand it to a model or an editor.
    """
    typer.echo(json.dumps(plan_schema(), indent=2))


@app.command()
def prompt(
    *,
    tools: Annotated[
        str, typer.Option(metavar="MODULE:ATTR", help="Where the tools are, as in `verify`.")
    ],
    agent: Annotated[str, typer.Option("--agent", help="Whose plan it is.")],
    user: Annotated[str | None, typer.Option("--user", help="For whom.")] = None,
    hours: Annotated[float, typer.Option("--hours", min=0.01, help="How long it holds.")] = 1,
) -> None:
    """Print the instructions that have a model write a plan: tools, rules, JSON Schema.

    Put the person's request after it; `wardline plan trim` and `verify` judge the answer.

    \b
    Examples:
      $ wardline plan prompt --tools my_agent.tools:TOOLS --agent clerk --user alice
    """
    text = planning_prompt(
        _load_tools(tools).values(),
        subject=f"agent:{agent}",
        on_behalf_of=None if user is None else f"user:{user}",
        expires_at=time.time_ns() // 1000 + int(hours * 3_600_000_000),
    )
    typer.echo(text, nl=False)


@app.command()
def trim(
    file: PlanFile,
    *,
    tools: Annotated[
        str, typer.Option(metavar="MODULE:ATTR", help="Where the tools are, as in `verify`.")
    ],
) -> None:
    """Print a plan less the steps whose tools are not there; says on stderr what it dropped.

    Without this, `verify` and a session refuse such a plan.

    \b
    Examples:
      $ wardline plan trim answer.json --tools my_agent.tools:TOOLS > plan.json
    """
    trimmed = trim_plan(_read(file), _load_tools(tools))
    for line in trimmed.dropped:
        typer.echo(f"dropped {_plain(line, 300)}", err=True)
    typer.echo(json.dumps(trimmed.plan.document(), indent=2))


@app.command()
def approve(
    request_id: Id,
    *,
    note: Note = "",
    key: Key = None,
    name: As = None,
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Approve a whole plan, or a change of one, signed with your key.

    The plan is drawn first, then the request whole: your signature covers all of it.

    \b
    Examples:
      $ wardline plan approve req-2f6c --key file:$HOME/.config/wardline/olga.pem
    """
    answer(
        request_id,
        "approve",
        note=note,
        key=key,
        name=name,
        folder=folder,
        config=config,
        before=_show_plan_of,
    )


@app.command()
def learn(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs that went well.")],
    *,
    goal: Annotated[str, typer.Option("--goal", help="What the plan is for.")] = "",
    folder: Dir = None,
    config: Config = None,
) -> None:
    """Draft a plan from recorded runs.

    What several runs share is pinned, the rest left open to trusted origins. Read the draft,
    and verify it like any other.

    \b
    Examples:
      $ wardline plan learn run-1f run-2c --goal "pay the monthly invoices" > plan.json
    """
    from permissions.cli.recorded_calls import recorded_calls  # reads a log: slow to import
    from permissions.cli.trace_source import TraceSource

    calls, subject = recorded_calls(TraceSource(folder, config), runs)
    learned = learned_plan(
        calls,
        goal=goal,
        subject=f"{subject['type']}:{subject['id']}",
        behalf=subject["properties"]["on_behalf_of"],
        now=time.time_ns() // 1000,
    )
    for note in learned.notes:
        typer.echo(_plain(note, 500), err=True)
    typer.echo(json.dumps(learned.plan.document(), indent=2))


def _show_plan_of(request: AccessRequest) -> None:
    arguments = json.loads(request.call.arguments)
    if request.call.tool == APPROVE_PLAN:
        typer.echo(plan_text(plan_from(arguments["plan"])), err=True)
    elif request.call.tool == AMEND_PLAN:
        for step in arguments["add"]:
            typer.echo(f"adds: {_value_text(step)}", err=True)
        for step in arguments["remove"] or ():
            typer.echo(f"removes: {_plain(str(step))}", err=True)
        typer.echo(f"calls: +{arguments['calls']}", err=True)
    else:
        raise ApprovalError(
            f"request {_plain(request.id)} is about {_plain(request.call.tool)} and no plan; use"
            " `wardline request approve`"
        )


def _read(file: Path) -> Plan:
    try:
        return parse_plan(file.read_bytes())
    except PlanError as err:
        raise PlanError(f"not accepted: {_plain(str(err), 2000)}") from err


def _load_tools(spelling: str) -> dict[str, PlannedTool]:
    module, _, attribute = spelling.partition(":")
    if not module or not attribute:
        raise typer.BadParameter("give MODULE:ATTR, for example my_agent.tools:registry")
    if "" not in sys.path:
        sys.path.insert(0, "")  # a console script does not look where the user stands
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, BrokerError) as err:
        raise typer.BadParameter(f"cannot load {spelling!r}: {err}") from err
    if isinstance(found, Mapping):
        found = found.values()
    if not isinstance(found, Iterable):
        raise typer.BadParameter(f"{spelling!r} is no registry, list or mapping of tools")
    known: dict[str, PlannedTool] = {}
    for each in found:
        tool = _definition(each)
        if tool is None:
            raise typer.BadParameter(f"{spelling!r} holds something that is no tool")
        known[tool.name] = tool
    return known


def _definition(candidate: object) -> PlannedTool | None:
    """A tool's definition, given itself or as the `guard` of a decorated function."""
    guard = getattr(candidate, "guard", None)
    for each in (candidate, getattr(guard, "definition", None)):
        if all(hasattr(each, member) for member in ("name", "schema", "digest", "control")):
            return each  # type: ignore[return-value] # checked by its members just above
    return None


def _verdict_text(plan: Plan, verdict: PlanVerdict) -> str:
    said = "accepted" if verdict.accepted else "not accepted"
    effects = ", ".join(f"{n} {effect}" for effect, n in verdict.worst_case.by_effect.items())
    most = f"at most {verdict.worst_case.calls} calls ({effects})"
    lines = [
        f"{said}: plan {plan.id} ({verdict.plan[:19]}...)",
        f"{most}, budget {plan.budget.calls}",
    ]
    for problem in verdict.problems:
        where = f"step {problem.step}" if problem.step else "plan"
        lines.append(f"  {where}: {_plain(problem.text, 500)} [{problem.code}]")
        lines.append(f"    to mend: {_plain(problem.fix, 500)}")
    if verdict.accepted and verdict.approvals_needed:
        lines.append(f"a person should approve: {', '.join(verdict.approvals_needed)}")
    return "\n".join(lines)


def plan_text(plan: Plan) -> str:
    """A plan as lines for people: its steps in the order in which they can run."""
    behalf = f" for {_plain(plan.on_behalf_of)}" if plan.on_behalf_of else ""
    lines = [
        f"plan {plan.id} by {_plain(plan.subject)}{behalf}",
        f"goal: {_plain(plan.goal, 400)}",
    ]
    ordered = run_order(plan)
    if ordered is None:
        lines.append("the steps need each other in a circle; in the order they are written:")
    for number, step in enumerate(ordered or plan.steps, start=1):
        times = f" x{step.uses}" if step.uses > 1 else ""
        after = f"  after {', '.join(step.needs)}" if step.needs else ""
        lines.append(f"{number:>3}. {step.id}: {_plain(step.tool)}{times}{after}")
        lines += [
            f"       {_plain(name)} = {_argument_text(argument)}"
            for name, argument in step.arguments.items()
        ]
    if plan.read_scope:
        lines.append(f"may also read with: {', '.join(map(_plain, plan.read_scope))}")
    return "\n".join(lines)


def _argument_text(argument: Argument) -> str:
    match argument:
        case LiteralValue(literal=value):
            return _value_text(value)
        case UserValue(user=value):
            return f"{_value_text(value)}  (said by the person)"
        case Reference(extract=extract):
            through = f"  through {_value_text(extract)}" if extract is not None else ""
            return f"{_reference_text(argument)} of {argument.step}{through}"
        case Hole(hole=accepts, kind=kind, sources=sources):
            words = kind.replace("_", " ")
            return f"open, {words} {_value_text(accepts)}  from {', '.join(sources)}"
        case _:
            assert_never(argument)


def _reference_text(reference: Reference) -> str:
    field = _plain(reference.pointer) or "all"
    if reference.any:
        return "any field"
    if reference.select is None:
        return field
    by = "" if reference.by is None else f" by {_plain(reference.by)}"
    where = f" where {_value_text(reference.where)}" if reference.where else ""
    records = f" in {_plain(reference.records)}" if reference.records else ""
    return f"{field} of the {reference.select}{by}{where}{records}"


def _value_text(value: JsonValue) -> str:
    return _plain(json.dumps(value, ensure_ascii=False))


def _plain(text: str, limit: int = MAX_SHOWN) -> str:
    """Text of others for a terminal: nothing but printable characters, and not too many."""
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:limit])
    return shown + ("..." if len(text) > limit else "")
