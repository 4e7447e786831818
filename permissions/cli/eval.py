"""`wardline eval`: play attacks and honest work against the real broker, and report both.

Exit codes: 0 played, or every gate holds; 1 a gate fails; 2 the data or a setting cannot be used.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from permissions.cli import interrupt
from permissions.cli.program import noun

if TYPE_CHECKING:
    from permissions.evaluation.run_folder import RunFolder
    from permissions.evaluation.runner import RunOptions

app = noun("Measure attacks let through and honest work held up.")

DEFAULT_OUT = Path("wardline-eval")
Data = Annotated[
    Path | None,
    typer.Option(
        "--data", exists=True, file_okay=False, help="Data folder. Default: the shipped set."
    ),
]
Out = Annotated[Path, typer.Option("--out", file_okay=False, help="Folder of the run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Folder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]


@app.command()
def run(
    *,
    data: Data = None,
    out: Out = DEFAULT_OUT,
    suite: Annotated[
        list[str] | None, typer.Option("--suite", help="Play this suite only. Repeatable.")
    ] = None,
    variants: Annotated[
        str, typer.Option("--variants", help="What the broker gets, V0 to V6.")
    ] = "V0,V5,V6",
    kinds: Annotated[
        str, typer.Option("--kinds", help="Kinds of scenarios to play.")
    ] = "honest,attack,hijack,adaptive,run",
    policies: Annotated[
        Path | None,
        typer.Option(
            "--policies", exists=True, file_okay=False, help="Policies instead of the shipped."
        ),
    ] = None,
    overlay: Annotated[
        Path | None,
        typer.Option(
            "--overlay", exists=True, file_okay=False, help="Policies and tables added on top."
        ),
    ] = None,
    planner: Annotated[
        str | None, typer.Option("--planner", help="Declare the plans of this model only.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=0, help="Most tasks of each suite; 0 for all.")
    ] = 0,
    recorded: Annotated[
        bool,
        typer.Option("--recorded", help="Use recorded outputs, also where AgentDojo is there."),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of samples and carelessness.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Play every scenario, and write a report.

    A run that was interrupted goes on where it stopped when it is started again.

    \b
    Examples:
      $ wardline eval run
      $ wardline eval run --overlay policies --out before
      $ wardline eval run --data ../data --suite banking --variants V0,V5
    """
    from permissions.evaluation.run_folder import RunFolder
    from permissions.evaluation.runner import RunOptions, play_run, shipped_data

    options = RunOptions(
        data=data or shipped_data(),
        suites=tuple(suite or ()),
        variants=_words(variants),
        kinds=_kinds(kinds),
        policies=policies,
        overlay=overlay,
        planner=planner,
        limit=limit,
        recorded_only=recorded,
        seed=seed,
    )
    folder = RunFolder(out)
    interrupt.run(lambda: _play(options, folder, play_run))
    _write(folder, thresholds=None, as_json=as_json)


@app.command()
def report(
    folder: Folder = DEFAULT_OUT,
    *,
    thresholds: Annotated[
        Path | None,
        typer.Option(
            "--thresholds", exists=True, dir_okay=False, help="Gates the run must hold, JSON."
        ),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option("--junit", dir_okay=False, help="Write the gates as JUnit XML."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Report a run again: Markdown, JSON and HTML in its folder.

    With --thresholds it is a release gate, by its exit code.

    \b
    Examples:
      $ wardline eval report
      $ wardline eval report before --thresholds gates.json --junit gates.xml
    """
    from permissions.errors import ConfigError
    from permissions.evaluation.junit import junit as as_junit
    from permissions.evaluation.run_folder import RunFolder

    if junit is not None and thresholds is None:
        raise ConfigError("--junit writes gates; say with --thresholds which")
    holds, gates = _write(RunFolder(folder), thresholds=thresholds, as_json=as_json)
    if junit is not None:
        junit.write_text(as_junit(gates))
    if not holds:
        raise typer.Exit(1)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="FIRST", help="Folder of a run.")],
    second: Annotated[Path, typer.Argument(metavar="SECOND", help="Folder of another.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Compare two runs, scenario by scenario, by McNemar's exact test.

    \b
    Examples:
      $ wardline eval compare before after
    """
    from permissions.evaluation.run_folder import RunFolder
    from permissions.evaluation.summary import compare as compared

    found = compared(RunFolder(first).rows(), RunFolder(second).rows())
    if as_json:
        typer.echo(json.dumps({"compared": found}, indent=2))
        return
    for row in found:
        typer.echo(
            f"{row['variant']} {row['plan']}: {row['measure']}: {row['first']} then"
            f" {row['second']} of {row['scenarios']}; only first {row['only_first']}, only"
            f" second {row['only_second']}, p = {row['p']:.3g}"
        )


@app.command()
def shell(
    *,
    data: Annotated[
        Path, typer.Option("--data", exists=True, file_okay=False, help="Data folder.")
    ],
    as_json: AsJson = False,
) -> None:
    """Run a data folder's injected shell actions, with and without policies and sandbox.

    Exits with 1 when one was run through the policies, or when a canary came out of the sandbox.

    \b
    Examples:
      $ wardline eval shell --data ../data
    """
    from permissions.errors import ConfigError
    from permissions.evaluation.folder import shell_actions
    from permissions.evaluation.shell_actions import play_actions

    rows = shell_actions(data)
    if not rows:
        raise ConfigError(f"{data} holds no file `*_coding_agent.jsonl`")
    found = interrupt.run(lambda: play_actions(rows))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        typer.echo(
            f"{found['commands']} commands of {found['repositories']} repositories:"
            f" {found['refused']} refused by the policies"
        )
        typer.echo(f"canaries out of the sandbox: {_named(found['in_sandbox'])}")
        typer.echo(f"without policies and sandbox: {_named(found['unprotected'])}")
    if found["by_policy"] or found["in_sandbox"]:
        raise typer.Exit(1)


def _named(names: list[str]) -> str:
    return f"{len(names)} ({', '.join(names)})" if names else "none"


@app.command()
def airline(
    *,
    data: Annotated[
        Path, typer.Option("--data", exists=True, file_okay=False, help="Data folder.")
    ],
    as_json: AsJson = False,
) -> None:
    """Put an airline's expected and recorded writes to a policy with facts.

    Exits with 1 when an expected write of a corrected list (`tau2_*`) does not pass.

    \b
    Examples:
      $ wardline eval airline --data ../data
    """
    from permissions.errors import ConfigError
    from permissions.evaluation.airline import play_airline
    from permissions.evaluation.folder import airline_rows

    state, tasks, runs = airline_rows(data)
    if not state:
        raise ConfigError(f"{data} holds no file `*_airline_state.jsonl`")
    found = interrupt.run(lambda: play_airline(state, tasks, runs))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        for name, lists in found["expected"].items():
            typer.echo(
                f"{name}: {lists['passed']} of {lists['lists']} expected lists pass"
                f" ({lists['writes']} writes)"
            )
        for name in ("right_runs", "wrong_runs"):
            of = found[name]
            said = ", ".join(f"{code} {count}" for code, count in of["codes"].items())
            typer.echo(
                f"{name.replace('_', ' ')}: a write stopped or held in {of['stopped_or_held']}"
                f" of {of['runs']} ({said or 'nothing'})"
            )
    if any(e["refused"] for name, e in found["expected"].items() if name.startswith("tau2")):
        raise typer.Exit(1)


@app.command()
def schema(
    role: Annotated[str, typer.Argument(metavar="ROLE", help="Last word of a file's name.")],
) -> None:
    """Print the JSON Schema of one line of a data file.

    \b
    Examples:
      $ wardline eval schema calls
    """
    from permissions.errors import ConfigError
    from permissions.evaluation.rows import FILES

    if role not in FILES:
        raise ConfigError(f"{role!r:.40} is no role of a file; there are {', '.join(FILES)}")
    typer.echo(json.dumps(FILES[role].json_schema(), indent=2))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _kinds(text: str) -> Any:
    from permissions.errors import ConfigError
    from permissions.evaluation.jobs import KINDS

    found = _words(text)
    if unknown := [word for word in found if word not in KINDS]:
        raise ConfigError(f"--kinds: {unknown[0]!r:.40} is none of {', '.join(KINDS)}")
    return found


async def _play(options: RunOptions, folder: RunFolder, play: Any) -> None:
    await play(options, folder, Progress())


class Progress:
    """A line on stderr every second, over itself on a terminal."""

    def __init__(self) -> None:
        self._said = 0.0
        self._began = monotonic()

    def __call__(self, done: int, total: int, key: str) -> None:
        """One more scenario is played."""
        now = monotonic()
        is_last = done == total
        if now - self._said < (1 if sys.stderr.isatty() else 20) and not is_last:
            return
        self._said = now
        line = f"{done} of {total} scenarios, {now - self._began:.0f} s: {key}"[:110]
        if sys.stderr.isatty():
            sys.stderr.write("\r" + line.ljust(110) + ("\n" if is_last else ""))
            sys.stderr.flush()
        else:
            typer.echo(line, err=True)


def _write(
    folder: RunFolder, *, thresholds: Path | None, as_json: bool
) -> tuple[bool, list[Any]]:
    """Writes the three reports and says where; gives whether every gate holds, and the gates."""
    from permissions.evaluation.report import markdown
    from permissions.evaluation.report_html import html
    from permissions.evaluation.summary import summarize
    from permissions.evaluation.thresholds import judge, read_thresholds

    gates = None if thresholds is None else read_thresholds(thresholds)
    about = folder.about()
    figures = summarize(
        folder.rows(), planned=about.get("planned", {}), seconds=about.get("seconds", 0.0)
    )
    judged = [] if gates is None else judge(gates, figures)
    holds = all(gate["holds"] for gate in judged)
    document = {"about": about, "figures": figures, "gates": judged, "holds": holds}
    text = markdown(about, figures, judged)
    (folder.path / "report.json").write_text(json.dumps(document, indent=2) + "\n")
    (folder.path / "report.md").write_text(text)
    (folder.path / "report.html").write_text(html(about, figures, judged))
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return holds, judged
    typer.echo(text)
    typer.echo(f"written: {folder.path}/report.md, report.json, report.html", err=True)
    return holds, judged
