"""Joins the commands of every noun into one program, and loads a noun when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.main import get_command

from permissions.cli.program import Program

if TYPE_CHECKING:
    from collections.abc import Callable


NOUNS = {
    "init": "Write wardline.toml and create your approver key.",
    "trust": "Trust a settings file, so that it is obeyed when it is found.",
    "doctor": "Check the settings, keys and isolation of this machine.",
    "demo": "Watch an agent do a job while it is attacked.",
    "serve": "Decide, record and run the calls of other processes.",
    "witness": "Cosign the logs of other machines.",
    "service": "Who may use the daemon over the network.",
    "gateway": "MCP servers behind the broker.",
    "hook": "Decide the call that a coding agent is about to make.",
    "reload": "Reload the approvers, clients and policies of a running broker.",
    "stop": "Stop a run, an agent, a tool or everything.",
    "resume": "Lift a stop.",
    "tools": "List tools, and check what policies can see of them.",
    "policy": "Check, test, try and release policies.",
    "plan": "Verify and read declared plans.",
    "request": "Read and answer access requests.",
    "approver": "See who may answer access requests, and their passkeys.",
    "grant": "See what was approved for a while, and take it back.",
    "call": "Resolve calls in doubt.",
    "console": "Let people in to the console, and out of it.",
    "delegation": "List sub-agents, and stop them.",
    "trace": "Read, verify and replay what was recorded.",
    "eval": "Measure attacks let through and honest work held up.",
    "sandbox": "Build, list, probe and clean up sandboxes.",
    "assure": "Risk register, release gate, system card and evidence packet.",
    "drill": "Play an incident against a copy, and time the runbook.",
}
"""What `wardline --help` says of each noun; its module says the same."""

_EXAMPLES = """\
\b
Examples:
  $ wardline init
  $ wardline doctor
  $ wardline request list
  $ wardline request approve req-2f6c --key file:$HOME/.config/wardline/alice.pem
  $ wardline trace verify
"""


class _Root(Program):
    """Has a stand-in for each noun until that noun is used."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] in NOUNS:
            self.commands[args[0]] = load(args[0])
        return super().resolve_command(ctx, args)


def load(noun: str) -> Any:
    """The command or group of one noun, with its module imported."""
    module = import_module(f"permissions.cli.{noun}")
    part = getattr(module, "app", None)
    if part is None:
        part = typer.Typer(rich_markup_mode=None, add_completion=False)
        part.command(noun)(getattr(module, noun))
    command = get_command(part)
    command.name = noun
    return command


app = typer.Typer(
    name="wardline",
    cls=_Root,
    help=f"The permission broker between AI agents and their tools.\n\n{_EXAMPLES}",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with a value
    from importlib.metadata import version

    if wanted:
        typer.echo(f"wardline {version('wardline')}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


def _stand_in() -> Callable[[], None]:
    def unused() -> None:
        raise AssertionError("a noun is loaded before it runs")

    return unused


for _name, _words in NOUNS.items():
    app.command(_name, help=_words)(_stand_in())
