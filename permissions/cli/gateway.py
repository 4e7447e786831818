"""`wardline gateway`: MCP servers behind the broker."""

from __future__ import annotations

import getpass
import json
import sys
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from permissions.errors import ConfigError
from permissions.setup.config import BrokerConfig
from permissions.setup.layout import StateLayout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.gateway.offered import Offered
    from permissions.gateway.pinned import Pins, Row

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=__doc__)

_ONE = Annotated[
    str | None, typer.Argument(metavar="[UPSTREAM]", help="One server; all without it.")
]


@app.command()
def run(
    *,
    http: Annotated[
        str | None,
        typer.Option(
            "--http", metavar="ADDRESS", help="Serve over HTTP there (127.0.0.1:8183) instead."
        ),
    ] = None,
) -> None:
    """Serve one MCP client on stdin and stdout, or many over HTTP.

    Its tools are those of the servers in the settings that were approved (`wardline gateway
    pin`), named SERVER__TOOL. Each call is decided, recorded, and may wait for a person.

    \b
    Examples:
      $ wardline gateway run
      $ claude mcp add wardline -- wardline gateway run
      $ wardline gateway run --http 127.0.0.1:8183
    """
    config = BrokerConfig.load()
    gateway = library()
    if http is not None:
        _serve_http(gateway, config, http)
        return
    anyio.run(
        lambda: gateway.serve_stdio(config, user=getpass.getuser(), version=version("wardline"))
    )


@app.command()
def pin(
    upstream: _ONE = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Approve without being asked.")] = False,
) -> None:
    """Show what servers offer, and approve it as it is now.

    A tool that was approved and changed is shown as a diff. What is approved gets a row in the
    pins file with the most suspicious reading of it: edit effect, impact and marks there.

    \b
    Examples:
      $ wardline gateway pin files
      $ wardline gateway pin --yes
    """
    config = BrokerConfig.load()
    gateway = library()
    StateLayout(config.state).make(config.workspace)
    pins, definitions = gateway.approved_of(config)
    for server, tool, offered, row in _new(anyio.run(_offers, config, upstream), pins):
        typer.echo(
            _shown(server, offered, None if row is None else definitions.get(row.definition))
        )
        if yes or _approved():
            digest = definitions.put(offered)
            pins = pins.with_row(server, tool, _row(offered, digest, row))
            pins.save(config.gateway.pins)
            typer.echo(f"approved: {server}__{tool}")
        else:
            typer.echo(f"left out: {server}__{tool}")
    typer.echo(f"{config.gateway.pins} has {sum(map(len, pins.rows.values()))} tools")


@app.command()
def describe(
    upstream: Annotated[str, typer.Argument(help="A server.")],
    tools: Annotated[
        list[str], typer.Argument(metavar="TOOL...", help="Its tools; `read_*` for several.")
    ],
    *,
    effect: Annotated[str, typer.Option(help="read, write, send, execute or irreversible.")],
    impact: Annotated[str, typer.Option(help="low, medium, high or critical.")],
    mark: Annotated[
        list[str] | None,
        typer.Option("--mark", metavar="ARGUMENT=MARK", help="What an argument points at."),
    ] = None,
) -> None:
    """Say what approved tools do, so that honest calls are not refused or asked about.

    The same can be written into the pins file by hand. Say less only where you know it to be
    true: what a server says of itself counts where it is worse.

    \b
    Examples:
      $ wardline gateway describe files 'read_*' list_directory --effect read --impact low
      $ wardline gateway describe mail send --effect send --impact medium --mark to=email
    """
    config = BrokerConfig.load()
    pins, definitions = library().approved_of(config)
    from permissions.gateway.describing import described, matching  # after the extra was sought

    marks = dict(_marks(mark or ()))
    found = matching(pins, upstream, tools)
    for name in found:
        row = described(
            pins.rows[upstream][name],
            definitions,
            f"{upstream}__{name}",
            effect=effect,
            impact=impact,
            marks=marks,
        )
        pins = pins.with_row(upstream, name, row)
    pins.save(config.gateway.pins)
    for name in found:
        row = pins.rows[upstream][name]
        said = ", ".join(f"{argument}: {each}" for argument, each in row.marks.items())
        typer.echo(f"{upstream}__{name}  {row.effect}, {row.impact}  {said or 'no marks'}")


def _marks(given: Iterable[str]) -> Iterator[tuple[str, str]]:
    for each in given:
        argument, is_pair, text = each.partition("=")
        if not is_pair:
            raise ConfigError(f"--mark {each[:60]}: write it as ARGUMENT=MARK, as in to=email")
        yield argument, text


@app.command("list")
def list_(
    upstream: _ONE = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the tools of servers, and whether they are what was approved.

    \b
    Examples:
      $ wardline gateway list
      $ wardline gateway list files --json
    """
    config = BrokerConfig.load()
    pins, _ = library().approved_of(config)
    rows = list(_compared(anyio.run(_offers, config, upstream), pins))
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for each in rows:
        how = f"{each['effect']}, {each['impact']}" if each["effect"] else ""
        if each["effect"] and not each["described"]:
            how += "  nobody described it: `wardline gateway describe`"
        typer.echo(f"{each['state']:<9} {each['upstream']}__{each['tool']}  {how}".rstrip())


def _serve_http(gateway: Any, config: BrokerConfig, address: str) -> None:
    def ready(url: str) -> None:
        typer.echo(f"serving MCP at {url}; Ctrl-C stops", err=True)

    with suppress(KeyboardInterrupt):
        anyio.run(
            lambda: gateway.serve_http(
                config, address, version=version("wardline"), ready=ready
            )
        )


def library() -> Any:
    """What runs a gateway, which is an extra.

    Raises:
        ConfigError: it is not there.
    """
    try:
        from permissions.gateway import run
    except ImportError as err:
        if (err.name or "").partition(".")[0] not in {"mcp", "mcp_types"}:
            raise
        raise ConfigError("the gateway needs `pip install 'wardline[gateway]'`") from err
    return run


async def _offers(config: BrokerConfig, wanted: str | None) -> dict[str, dict[str, Offered]]:
    gateway = library()
    named = config.gateway.upstream
    if wanted is not None and wanted not in named:
        raise ConfigError(f"{wanted!r} is no server of the settings: {', '.join(named)}")
    async with gateway.servers_of(config) as servers:
        return {
            name: dict(await each.list())
            for name, each in servers.upstreams.items()
            if wanted in {None, name}
        }


def _new(
    offers: dict[str, dict[str, Offered]], pins: Pins
) -> Iterator[tuple[str, str, Offered, Row | None]]:
    for server, tools in offers.items():
        for tool, offered in sorted(tools.items()):
            row = pins.rows.get(server, {}).get(tool)
            if row is None or row.definition != offered.digest:
                yield server, tool, offered, row


def _compared(
    offers: dict[str, dict[str, Offered]], pins: Pins
) -> Iterator[dict[str, str | bool | None]]:
    for server, tools in offers.items():
        rows = pins.rows.get(server, {})
        for tool in sorted(tools.keys() | rows.keys()):
            row, offered = rows.get(tool), tools.get(tool)
            if row is None:
                state = "new"
            elif offered is None:
                state = "gone"
            elif offered.digest != row.definition:
                state = "changed"
            else:
                state = "approved" if row.use == "offered" else "hidden"
            yield {
                "upstream": server,
                "tool": tool,
                "state": state,
                "effect": row.effect if row else None,
                "impact": row.impact if row else None,
                "described": row is not None and row.is_described,
            }


def _shown(server: str, offered: Offered, before: Offered | None) -> str:
    from permissions.gateway.offered import difference

    if before is not None:
        return f"\n{server}: {_inert(offered.name)} changed\n{difference(before, offered)}"
    said = json.dumps(offered.document, indent=2, ensure_ascii=True)
    return f"\n{server}: {_inert(offered.name)} is new\n{said}"


def _inert(text: str) -> str:
    return json.dumps(text)[1:-1]


def _approved() -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("nobody to ask here: answer on a terminal, or say --yes")
    return typer.confirm("Approve it?", default=False)


def _row(offered: Offered, digest: Any, before: Row | None) -> Row:
    from permissions.gateway.pinned import Row
    from permissions.tools.unmarked import suggested_mark

    if before is not None:
        return before.model_copy(update={"definition": digest})
    marks = {
        argument: mark
        for argument in offered.input_schema.get("properties", {})
        if (mark := suggested_mark(argument)) is not None
    }
    return Row(definition=digest, marks=marks)
