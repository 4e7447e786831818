"""MCP servers in sandboxes of ours: how the settings describe them, and their tools' executor."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from permissions.errors import ConfigError, ExecutionError, ToolFailedError
from permissions.execution.base import Outcome
from permissions.execution.file_copy import is_within, paths_of
from permissions.execution.hosted import HostedProgram, HostedWorkspace
from permissions.execution.secret_files import SecretFiles
from permissions.gateway.lines import messages
from permissions.setup.layout import StateLayout, control_plane
from permissions.setup.policies import load_policies
from permissions.setup.sandboxes import hosted_profile, sandbox_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from permissions.execution.base import Execution
    from permissions.execution.pending_changes import PendingChanges
    from permissions.gateway.lines import Messages
    from permissions.model import JsonObject
    from permissions.setup.config import BrokerConfig, UpstreamConfig

INSIDE = "/workspace"
"""Where a server finds the workspace."""


async def hosted_program(
    config: BrokerConfig, name: str, server: UpstreamConfig, stack: AsyncExitStack
) -> HostedProgram:
    """The program of a server that is to run in a sandbox; not started yet.

    Raises:
        ConfigError: there is no such boundary or profile, or it cannot be had as it is said.
    """
    if config.broker and (server.workspace != "none" or server.profile is not None):
        raise ConfigError(
            f"gateway.upstream.{name}: with a daemon, a sandboxed server has neither a workspace"
            " nor a profile, because the daemon decides and does not see it run"
        )
    environment = {each: os.environ[each] for each in server.environment if each in os.environ}
    profile = hosted_profile(
        config, server.profile, folder=server.folder, environment=environment
    )
    workspace = None
    if server.workspace == "overlay":
        workspace = HostedWorkspace(
            folder=config.workspace.resolve(),
            private=control_plane(config),
            hidden=config.sandbox.hidden,
            secrets=partial(_secrets, config),
            journals=StateLayout(config.state).commits,
        )
    sandbox = await sandbox_for(config, server.sandbox, stack)
    program = HostedProgram(
        name, sandbox, server.command, profile, profile_name=server.profile, workspace=workspace
    )
    stack.push_async_callback(program.aclose)
    return program


def _secrets(config: BrokerConfig) -> SecretFiles:
    return SecretFiles.of(load_policies(config).bundle.data, config.sandbox.hidden)


@asynccontextmanager
async def hosted_messages(program: HostedProgram) -> AsyncIterator[Messages]:
    """Starts the program and gives the streams that the protocol's client wants."""
    async with (
        program.instance() as (heard, say),
        messages(heard, say.send) as streams,
    ):
        yield streams


class HostedTools:
    """A `ToolExecutor` of one server's tools: they run in its program, and nowhere else.

    A call that changed something in the workspace ends the program, so that what is decided and
    committed is settled; the next call starts it again.

    Args:
        program: of the server.
        end: ends the connection to it, and waits until the program is gone.
    """

    def __init__(self, program: HostedProgram, end: Callable[[], Awaitable[None]]) -> None:
        self._program = program
        self._end = end
        self._turn = anyio.Lock()

    def enforces(self, execution: Execution) -> JsonObject:
        """See `ToolExecutor`."""
        workspace = self._program.workspace
        paths = paths_of(execution)
        if paths and workspace is None:
            raise ExecutionError(
                "the server of this tool sees no workspace, and an argument names a path of it;"
                ' say workspace = "overlay" of the server'
            )
        if workspace is not None and execution.workspace.resolve() != workspace.folder:
            raise ExecutionError("the server of this tool works on another workspace")
        for target in paths:
            if not target["inside_workspace"] or target["relative"] is None:
                raise ExecutionError("a sandboxed tool's paths have to be in the workspace")
            own = () if workspace is None else tuple(p.resolve() for p in workspace.private)
            if is_within(Path(target["resolved"]), own):
                raise ExecutionError("a path is the broker's own, which no tool may be given")
        if execution.profile != self._program.profile_name:
            raise ExecutionError(
                "a policy asks for another sandbox profile than the server of this tool has"
            )
        return self._program.document()

    async def execute(self, execution: Execution) -> Outcome:
        """See `ToolExecutor`."""
        enforced = self._program.document()
        # What one call changed is told from what another did: one at a time, with a workspace.
        turn = nullcontext() if self._program.workspace is None else self._turn
        value: JsonObject | None = None
        error: Exception | None = None
        with anyio.move_on_after(execution.deadline_seconds) as scope:
            async with turn:
                try:
                    with self._program.gate.during(execution.gate):
                        value = await execution.definition.function(**_inside(execution))
                except ToolFailedError as err:
                    error = err
                except BaseException:
                    await self._forget()
                    raise
                pending = await self._changed()
        if scope.cancelled_caught:
            said = f"no end within {execution.deadline_seconds:g} s"
            return Outcome("stopped", detail=said, verdict="timeout", enforced=enforced)
        if error is not None or (value or {}).get("isError"):
            if pending is not None:  # a part of what it would have done
                await pending.discard()
            pending = None
        if error is not None:
            detail = type(error).__name__
            return Outcome("error", error=error, detail=detail, enforced=enforced)
        return Outcome("ok", value=value, enforced=enforced, pending=pending)

    async def _changed(self) -> PendingChanges | None:
        if not await to_thread.run_sync(lambda: self._program.may_have_changes):
            return None
        await self._end()
        return await self._program.changes()

    async def _forget(self) -> None:
        """After a call that was given up in the middle: nobody decides what it changed."""
        if self._program.workspace is not None:
            with anyio.CancelScope(shield=True):
                await self._end()
                await self._program.aclose()

    async def end_run(self, run: str) -> None:  # noqa: ARG002 - one client, one run
        """See `ToolExecutor`: what the run left in the program ends with it."""
        await self._end()


def _inside(execution: Execution) -> JsonObject:
    """The arguments with each path as the server finds it."""
    values = dict(execution.arguments.values)
    found: dict[str, list[str]] = {}
    for target in paths_of(execution):
        path = str(Path(INSIDE) / target["relative"])
        found.setdefault(target["argument"], []).append(path)
    for name, paths in found.items():
        if values[name] is not None:
            values[name] = paths if isinstance(values[name], list) else paths[0]
    return values
