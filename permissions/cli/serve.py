"""`wardline serve`: the broker as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from permissions.cli.gateway import library
from permissions.cli.tools_of import functions_in
from permissions.coding.desk import hook_desk
from permissions.errors import ConfigError
from permissions.setup.config import BrokerConfig
from permissions.setup.daemon import running, socket_of

if TYPE_CHECKING:
    from pathlib import Path


def serve(
    tools: Annotated[
        list[str] | None,
        typer.Option("--tools", metavar="MODULE", help="Module of guarded tools; repeat it."),
    ] = None,
) -> None:
    """Decide, record and run the calls of other processes.

    Listens on a unix socket until it is interrupted; who connects is told apart by user account
    (`[service.clients]`). Programs reach it by the setting `broker = "unix:PATH"` or by
    `Broker.connect`. Stopped by Ctrl-C or SIGTERM, it lets the calls in hand end, 30 s at most.

    Of the MCP servers of `[gateway.upstream]` it knows the tools that were approved when it
    starts. It runs those in a sandbox, a gateway the others.

    \b
    Examples:
      $ wardline serve --tools my_agent.tools
      $ WARDLINE_BROKER=unix:$PWD/.wardline/broker.sock python my_agent.py
    """
    config = BrokerConfig.load()
    if config.broker:
        raise ConfigError(
            "broker: a daemon is itself one; take the setting out, or its variable"
        )
    modules = (*config.service.tools, *(tools or ()))
    functions = [each for module in modules for each in functions_in(module)]
    anyio.run(_serve, config, functions, socket_of(config))


async def _serve(config: BrokerConfig, functions: list[object], path: Path) -> None:
    async with AsyncExitStack() as stack:
        more: dict[str, Any] = {}
        if config.gateway.upstream:
            ours = await stack.enter_async_context(library().daemon_tools(config))
            functions += ours.tools
            more = {"hosted": ours.hosted, "withheld": ours.withheld}
        if not functions:
            raise ConfigError('no tools: say --tools MODULE, or [service] tools = ["MODULE"]')
        daemon = await stack.enter_async_context(
            running(config, functions, desk=hook_desk, **more)
        )
        broker = daemon.broker
        known = ", ".join(sorted(each.name for each in broker.parts.registry))
        typer.echo(f"listening on unix:{path}")
        if daemon.network is not None:
            typer.echo(f"network   {daemon.network}")
        if daemon.url is not None:
            typer.echo(f"http      {daemon.url}")
        if config.service.url:
            typer.echo(f"console   {config.service.url}")
        typer.echo(f"tools     {known}")
        typer.echo(f"policy    {broker.parts.pdp.revision}")
        typer.echo(f"isolation {', '.join(broker.isolation)}")
        _notify("READY=1")
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                typer.echo("stopping: the calls in hand may end")
                _notify("STOPPING=1")
                return


def _notify(state: str) -> None:
    """Tells a service manager how it stands (sd_notify(3)); nothing without one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    where = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(state.encode(), where)
