"""MCP servers in sandboxes of ours: how the settings describe them, and their tools' executor."""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from permissions.errors import ExecutionError, ToolFailedError
from permissions.execution.base import Outcome
from permissions.execution.file_copy import is_within, paths_of
from permissions.execution.hosted import HostedProgram, HostedWorkspace
from permissions.execution.secret_files import SecretFiles
from permissions.gateway.lines import messages
from permissions.gateway.told import PAUSE_SECONDS
from permissions.gateway.tools import caller
from permissions.gateway.upstream import Upstream
from permissions.service.tasks import beside
from permissions.setup.layout import StateLayout, control_plane
from permissions.setup.policies import load_policies
from permissions.setup.sandboxes import hosted_profile, sandbox_for
from permissions.tools.from_schema import run_by

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AsyncExitStack

    from anyio.abc import TaskGroup

    from permissions.execution.base import Execution
    from permissions.execution.pending_changes import PendingChanges
    from permissions.gateway.lines import Messages
    from permissions.model import JsonObject
    from permissions.setup.config import BrokerConfig, UpstreamConfig
    from sandbox import Sandbox, SandboxProfile

INSIDE = "/workspace"
"""Where a server finds the workspace."""
MOST = 32
"""Programs of one server at a time; for one more, the one called longest ago is ended."""


@dataclass(frozen=True, slots=True)
class HostedServer:
    """A server of the settings that runs in sandboxes of ours: for each run a program of its own.

    Attributes:
        name: of it, in the settings.
        sandbox: where its programs run; stays its owner's to close.
        command: argv, as it is found inside.
        profile: limits and isolation of each program, for its whole life.
        profile_name: of it, in the settings.
        overlay: the workspace as a program finds it, of the folder; None where it sees none.
    """

    name: str
    sandbox: Sandbox
    command: tuple[str, ...]
    profile: SandboxProfile
    profile_name: str | None
    overlay: Callable[[Path], HostedWorkspace] | None

    def program(self, folder: Path) -> HostedProgram:
        """One program of it, not started yet.

        Args:
            folder: the workspace, absolute, without links.
        """
        return HostedProgram(
            self.name,
            self.sandbox,
            self.command,
            self.profile,
            profile_name=self.profile_name,
            workspace=None if self.overlay is None else self.overlay(folder),
        )


async def hosted_server(
    config: BrokerConfig, name: str, server: UpstreamConfig, stack: AsyncExitStack
) -> HostedServer:
    """The server of that name, which is to run in a sandbox; nothing is started.

    Raises:
        ConfigError: there is no such boundary or profile, or it cannot be had as it is said.
    """
    environment = {each: os.environ[each] for each in server.environment if each in os.environ}
    profile = hosted_profile(
        config, server.profile, folder=server.folder, environment=environment
    )
    sandbox = await sandbox_for(config, server.sandbox, stack)
    overlay = partial(_workspace, config) if server.workspace == "overlay" else None
    return HostedServer(name, sandbox, server.command, profile, server.profile, overlay)


def _workspace(config: BrokerConfig, folder: Path) -> HostedWorkspace:
    return HostedWorkspace(
        folder=folder,
        private=control_plane(config),
        hidden=config.sandbox.hidden,
        secrets=partial(_secrets, config),
        journals=StateLayout(config.state).commits,
    )


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


@dataclass(eq=False)
class _Instance:
    """The program of one run, and the connection to it."""

    program: HostedProgram
    upstream: Upstream
    turn: anyio.Lock = field(default_factory=anyio.Lock)
    calls: int = 0
    over: anyio.Event = field(default_factory=anyio.Event)
    gone: anyio.Event = field(default_factory=anyio.Event)


class HostedTools:
    """A `ToolExecutor` of one server's tools: they run in its programs, and nowhere else.

    Each run has a program of its own, on the workspace of its session, which its first call
    starts and its end ends: nobody finds there what another run left. A call that changed
    something in the workspace ends the program, so that what is decided and committed is settled;
    the next call starts it again.

    Args:
        server: in the settings.
        upstream: stands for it; told what its programs offer.
        tools: by the name of each that is approved, its own name there, and the digest of its
            definition.
        tasks: where programs live.
    """

    def __init__(
        self,
        server: HostedServer,
        upstream: Upstream,
        tools: Mapping[str, tuple[str, str]],
        tasks: TaskGroup,
    ) -> None:
        self._server = server
        self._upstream = upstream
        self._tools = tools
        self._tasks = tasks
        self._instances: OrderedDict[str, _Instance] = OrderedDict()

    def enforces(self, execution: Execution) -> JsonObject:
        """See `ToolExecutor`."""
        program = self._server.program(execution.workspace)
        workspace, paths = program.workspace, paths_of(execution)
        if paths and workspace is None:
            raise ExecutionError(
                "the server of this tool sees no workspace, and an argument names a path of it;"
                ' say workspace = "overlay" of the server'
            )
        for target in paths:
            if not target["inside_workspace"] or target["relative"] is None:
                raise ExecutionError("a sandboxed tool's paths have to be in the workspace")
            own = () if workspace is None else tuple(p.resolve() for p in workspace.private)
            if is_within(Path(target["resolved"]), own):
                raise ExecutionError("a path is the broker's own, which no tool may be given")
        if execution.profile != program.profile_name:
            raise ExecutionError(
                "a policy asks for another sandbox profile than the server of this tool has"
            )
        return program.document()

    async def execute(self, execution: Execution) -> Outcome:
        """See `ToolExecutor`."""
        instance = self._of_run(execution)
        instance.calls += 1
        try:
            return await self._run(instance, execution)
        finally:
            instance.calls -= 1
            if instance.upstream.offered:
                self._upstream.note(instance.upstream.offered)

    async def _run(self, instance: _Instance, execution: Execution) -> Outcome:
        program = instance.program
        enforced = program.document()
        tool, approved = self._tools[execution.definition.name]
        # What one call changed is told from what another did: one at a time, with a workspace.
        turn = nullcontext() if program.workspace is None else instance.turn
        value: JsonObject | None = None
        error: Exception | None = None
        with anyio.move_on_after(execution.deadline_seconds) as scope:
            async with turn:
                try:
                    with program.gate.during(execution.gate):
                        call = caller(instance.upstream, tool, approved)
                        definition = run_by(execution.definition, call)
                        value = await definition.function(**_inside(execution))
                except ToolFailedError as err:
                    error = err
                except BaseException:
                    await _forget(instance)
                    raise
                pending = await _changed(instance)
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

    def _of_run(self, execution: Execution) -> _Instance:
        found = self._instances.get(execution.run)
        if found is None:
            self._make_room()
            program = self._server.program(execution.workspace)
            upstream = upstream_of(self._server.name, program)
            found = self._instances[execution.run] = _Instance(program, upstream)
            self._tasks.start_soon(self._live, found)
        self._instances.move_to_end(execution.run)
        return found

    def _make_room(self) -> None:
        """Ends the program that was called longest ago, where there are too many.

        Raises:
            ExecutionError: every one of them is in the middle of a call.
        """
        if len(self._instances) < MOST:
            return
        for run, each in self._instances.items():
            if not each.calls:
                del self._instances[run]
                each.over.set()
                return
        raise ExecutionError(f"{MOST} programs of this server have calls in hand")

    async def _live(self, instance: _Instance) -> None:
        """One program from its first call to the end of its run."""
        try:
            async with beside() as tasks:
                tasks.start_soon(instance.upstream.run)
                tasks.start_soon(self._note_changes, instance.upstream)
                await instance.over.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await instance.program.aclose()
            if not self._instances:
                self._upstream.note({})  # nobody knows what the next one will offer
            instance.gone.set()

    async def _note_changes(self, upstream: Upstream) -> None:
        changed = upstream.changed
        while True:
            await changed.wait()
            changed = upstream.changed  # before it is asked: what comes meanwhile counts
            await upstream.look_again()
            if upstream.offered:
                self._upstream.note(upstream.offered)
            await anyio.sleep(PAUSE_SECONDS)

    async def end_run(self, run: str) -> None:
        """See `ToolExecutor`: the program of the run ends with it."""
        if (instance := self._instances.pop(run, None)) is not None:
            instance.over.set()
            if not self._tasks.cancel_scope.cancel_called:  # else it ends with all others
                await instance.gone.wait()


def upstream_of(name: str, program: HostedProgram) -> Upstream:
    """The connection to one program of a server."""
    return Upstream(name, partial(hosted_messages, program), lambda: program.ended_by)


async def _changed(instance: _Instance) -> PendingChanges | None:
    program = instance.program
    if not await to_thread.run_sync(lambda: program.may_have_changes):
        return None
    await instance.upstream.end()
    return await program.changes()


async def _forget(instance: _Instance) -> None:
    """After a call that was given up in the middle: nobody decides what it changed."""
    if instance.program.workspace is not None:
        with anyio.CancelScope(shield=True):
            await instance.upstream.end()
            await instance.program.aclose()


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
