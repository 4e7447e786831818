"""`wardline trace rerun`: what a recorded call does when it is run again."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from permissions.approval.text import visible
from permissions.cli.tools_of import definitions_in
from permissions.cli.trace_source import TraceSource
from permissions.errors import ArgumentsError, ConfigError
from permissions.inquiry.contents import Closed
from permissions.replay.rerun import Observed, compared
from permissions.setup.config import BrokerConfig
from permissions.setup.rerun import RecordedCall, files_of, run_again, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.inquiry.call_record import CallRecord
    from permissions.replay.rerun import Comparison
    from permissions.setup.rerun import Again
    from permissions.tools.definition import ToolDefinition
    from permissions.trace.reader import RecordedEntry

_REPLACED = "the record replaced secrets in it"
_DIVERGED = 1
_SHOWN = 20


def rerun(
    call: Annotated[
        str, typer.Argument(help="The call's id, as `wardline trace list` has it.")
    ],
    *,
    tools: Annotated[str, typer.Option("--tools", help="Module that holds the tool.")],
    workspace: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Start from this folder, which is not written to, instead of the recorded files.",
        ),
    ] = None,
    runs: Annotated[
        int, typer.Option(min=1, max=20, help="How often; what differs between runs is noise.")
    ] = 3,
    current_code: Annotated[
        bool, typer.Option("--current-code", help="Run the tool's code of today.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
    folder: Annotated[Path | None, typer.Option("--dir", help="State folder.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings; wardline.toml by default.")
    ] = None,
) -> None:
    """Run a recorded call again and compare what it does.

    In a fresh sandbox, without a network, from the recorded arguments, code and files (set
    `trace.inputs` to have these). Nothing is written to the workspace, no policy is asked and
    nothing is recorded. The exit code is 1 when it does something else than the record says.

    \b
    Examples:
      $ wardline trace rerun call-4f1c --tools myapp.tools
      $ wardline trace rerun call-4f1c --tools myapp.tools --workspace checkout --runs 5
    """
    settings = BrokerConfig.load(config, **({} if folder is None else {"state": folder}))
    record = TraceSource(folder, config).inquiry().call(call)
    recorded = recorded_call(record, {each.name: each for each in definitions_in(tools)})
    before, closed = recorded_run(record)

    def told(number: int) -> None:
        if runs > 1 and not as_json:
            typer.echo(f"run {number} of {runs}", err=True)

    async def again() -> Again:
        return await run_again(
            settings,
            recorded,
            times=runs,
            workspace=workspace,
            current_code=current_code,
            on_run=told,
        )

    found = anyio.run(again)
    found.notes += differences_of_definition(record, recorded.definition)
    if made := connections_of(record):
        found.notes.append(f"it had {made} connections then, and none now")
    comparison = compared(before, found.runs, closed=closed)
    if as_json:
        said = {"call": call, "tool": record.tool, "backend": found.backend, "runs": runs}
        typer.echo(json.dumps({**said, **comparison.document(), "notes": found.notes}))
    else:
        for line in _text(record, found, comparison):
            typer.echo(line)
    if comparison.verdict == "diverged":
        raise typer.Exit(_DIVERGED)


def recorded_call(record: CallRecord, known: dict[str, ToolDefinition]) -> RecordedCall:
    """What is needed to run a call again, from its entries.

    Raises:
        ConfigError: it cannot be run again; the text says why.
    """
    start = record.start
    if start is None:
        raise ConfigError(f"the call {record.call} never ran: nothing is to be run again")
    enforced = start.body.get("enforced") or {}
    if start.body.get("isolation") == "none":
        raise ConfigError(
            "it ran in the program's own process and not in a sandbox, so that it may have had any"
            " effect; only a call in a sandbox is run again"
        )
    if enforced.get("stateful"):
        raise ConfigError(
            "it ran in a stateful session, after other calls that made its state; those cannot be"
            " run again alone"
        )
    if record.tool not in known:
        raise ConfigError(
            f"--tools: there is no tool {record.tool!r}; there are {sorted(known)}"
        )
    definition = known[record.tool]
    if isinstance(record.arguments, Closed):
        raise ConfigError(f"its arguments cannot be read: {record.arguments.reason}")
    if isinstance(record.question, Closed):
        raise ConfigError(f"what its paths led to cannot be read: {record.question.reason}")
    try:
        arguments = definition.validate(record.arguments)
    except ArgumentsError as err:
        raise ConfigError(f"its arguments do not fit the tool of today: {err}") from err
    inputs = None
    for each in _effects(record, "inputs"):
        found = record.contents.json(each, "inputs") if "inputs" in each.digests else None
        inputs = None if isinstance(found, Closed) else found
    profile = str(enforced.get("profile", "default"))
    return RecordedCall(
        definition=definition,
        arguments=arguments,
        targets=tuple(record.targets),
        boundary=str(enforced.get("boundary")),
        profile=None if profile == "default" else profile,
        code=enforced.get("code"),
        inputs=inputs,
    )


def recorded_run(record: CallRecord) -> tuple[Observed, dict[str, str]]:
    """What a call came to by its entries, and which parts of that cannot be compared and why.

    Raises:
        ConfigError: nothing says how it ended.
    """
    last = record.last
    if last is None or last.type != "outcome":
        raise ConfigError("nothing says how it ended, so that there is nothing to compare with")
    closed: dict[str, str] = {}
    parts: dict[str, Any] = {"value": None, "error": "", "stdout": "", "stderr": ""}
    replaced, oversize = last.body.get("redacted", ()), last.body.get("oversize", ())
    for part in parts:
        name = "result" if part == "value" else part
        if name in oversize:
            closed[part] = "it was too large to be recorded"
        elif name in replaced:
            closed[part] = _REPLACED
        elif name in last.digests:
            data = record.contents.data(last, name)
            if isinstance(data, Closed):
                closed[part] = data.reason
            else:
                parts[part] = json.loads(data) if part == "value" else text_of(data)
    files = _files(record, closed)
    status = str(last.body.get("status"))
    streams = {name: parts[name] for name in ("stdout", "stderr") if parts[name]}
    return (
        Observed(
            status="ok" if status == "discarded" else status,
            verdict=str(last.body.get("verdict")),
            value=parts["value"],
            error=parts["error"],
            streams=streams,
            files=files,
        ),
        closed,
    )


def _files(record: CallRecord, closed: dict[str, str]) -> dict[str, str]:
    start = record.start
    by_overlay = start is not None and start.body["enforced"].get("workspace") == "overlay"
    kind, name = ("changes", "changes") if by_overlay else ("inputs", "outputs")
    entries = _effects(record, kind)
    if not entries and not by_overlay:
        closed["files"] = "they were not recorded; set `trace.inputs` for calls to come"
    for each in entries:
        if name not in each.digests:
            continue
        found = record.contents.json(each, name)
        if isinstance(found, Closed):
            closed["files"] = found.reason
        elif name in each.body.get("redacted", ()):
            closed["files"] = _REPLACED
        elif by_overlay and not found["complete"]:
            closed["files"] = "there were more changes than are listed"
        else:
            return files_of(found) if by_overlay else dict(found)
    return {}


def _effects(record: CallRecord, kind: str) -> list[RecordedEntry]:
    return [
        each
        for each in record.entries
        if each.type == "effect" and each.body.get("kind") == kind
    ]


def connections_of(record: CallRecord) -> int:
    """How many connections it was let make."""
    return sum(bool(each.body.get("permitted")) for each in _effects(record, "connection"))


def differences_of_definition(record: CallRecord, definition: ToolDefinition) -> list[str]:
    """Whether the tool was defined otherwise then."""
    if record.intent.body.get("tool_digest") == definition.digest:
        return []
    return ["the tool's definition (its source, schema or options) is another than it was"]


def _text(record: CallRecord, found: Again, comparison: Comparison) -> Iterator[str]:
    runs = len(found.runs)
    yield f"{record.call} {record.tool}: run again {runs} times by {found.backend}"
    match comparison.verdict:
        case "identical":
            yield "identical: each run did what the record says"
        case "equal":
            yield "equal: each run did what the record says, but for what differs between the runs"
        case "diverged":
            yield "diverged: the record says something else than all runs"
    for each in comparison.differences[:_SHOWN]:
        yield f"  {visible(each.where)}"
        yield f"    recorded  {visible(each.recorded)}"
        yield f"    again     {visible(each.again)}"
    yield from _more(len(comparison.differences))
    if comparison.noise:
        yield f"  differs between the runs: {', '.join(map(visible, comparison.noise[:_SHOWN]))}"
        yield from _more(len(comparison.noise))
    for said in comparison.left_out:
        yield f"  not compared: {visible(said)}"
    for note in found.notes:
        yield f"  note: {visible(note)}"


def _more(number: int) -> Iterator[str]:
    if number > _SHOWN:
        yield f"    and {number - _SHOWN} more; --json has all"
