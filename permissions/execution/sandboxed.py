"""Runs a tool in a disposable sandbox. Of the stages only this package imports `sandbox`.

A tool with `workspace="copy"` gets files by copy: whatever the call's `path` targets name, also
those of access `write`. Files come out by declaration: only a `write` target of the call, a file
or all files of a folder, is put back into the workspace, after the run, each in one step.
Anything else the tool wrote is gone with the sandbox. One with `workspace="overlay"` works in an overlay of the whole workspace, and what it
changed there is handed to the broker (`overlay`); nothing is in the workspace yet.

What a profile with egress lists, the run's gate decides again, connection by connection.
"""

from __future__ import annotations

from copy import copy
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from anyio import to_thread

from permissions.errors import ExecutionError, ExecutionUnavailableError, StateLostError
from permissions.execution.base import Outcome
from permissions.execution.code import import_path
from permissions.execution.file_copy import (
    inputs_of,
    is_within,
    paths_of,
    relocated,
)
from permissions.execution.outcome import Copied, failed, outcome_of, unreadable
from permissions.execution.overlay import hidden_names, opened_overlay, pending_in
from permissions.execution.recorded_inputs import of_copies, of_workspace, with_inputs
from permissions.execution.session_pool import SessionPool, StartedFor
from permissions.tools.command import argv_of
from sandbox import (
    CommandJob,
    ProfileError,
    PythonJob,
    SandboxError,
    SandboxProfile,
    SandboxSession,
    SandboxUnavailableError,
    SessionEndedError,
)
from sandbox.egress import EgressDecision
from sandbox.isolation.mounts import checked_source

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from permissions.execution.base import ConnectionGate, Execution
    from permissions.execution.code import CodeStage
    from permissions.execution.secret_files import SecretFiles
    from permissions.model import JsonObject
    from sandbox import (
        ExecResult,
        Job,
        Sandbox,
        SessionLimits,
    )
    from sandbox.egress import EgressRequest
    from sandbox.workspace import WorkspaceOverlay

ENTRY = "permissions.execution.guest_entry:run_tool"

FILES = "files"
"""Where a Python tool's files lie inside: apart from the sandbox's own `out`."""


class SandboxedExecutor:
    """A `ToolExecutor` over one sandbox backend.

    Args:
        sandbox: the backend; whoever opened it closes it.
        stage: where copies of the tools' code are kept.
        profiles: by name; the tightest one needs no name.
        code_roots: further folders that sandboxed tools may import from.
        unusable: profiles that were looked at beforehand, and what is wrong with each.
        sessions: of stateful tools, of this executor and of others.
        limits: of each session.
        private: paths of the broker's own, which go into no sandbox.
        hidden: names at the top of a workspace that no overlay of it shows either.
        journals: folder for what undoes a commit that is killed; never in the workspace.
        secrets: which files hold secrets; no folder, no overlay and no copy of code shows them.
        records_inputs: whether the files that a run starts from go into its record.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        stage: CodeStage,
        profiles: Mapping[str, SandboxProfile],
        code_roots: tuple[Path, ...] = (),
        unusable: Mapping[str, str] = MappingProxyType({}),
        sessions: SessionPool | None = None,
        limits: SessionLimits | None = None,
        private: tuple[Path, ...] = (),
        hidden: tuple[str, ...] = (),
        journals: Path | None = None,
        secrets: SecretFiles | None = None,
        records_inputs: bool = False,
    ) -> None:
        self._sandbox = sandbox
        self._stage = stage
        self._profiles: dict[str | None, SandboxProfile] = {None: SandboxProfile()}
        self._profiles.update(profiles)
        self._code_roots = code_roots
        self._unusable = unusable
        self._sessions = sessions or SessionPool()
        self._limits = limits
        self._private = private
        self._own = tuple(path.resolve() for path in private)
        self._hidden = hidden
        self._journals = journals
        self._secrets = secrets
        self._records_inputs = records_inputs

    def with_secrets(self, secrets: SecretFiles | None) -> Self:
        """The same, over the same sandboxes and sessions, by other names of secrets."""
        other = copy(self)
        other._secrets = secrets  # noqa: SLF001 - of the same class
        return other

    def enforces(self, execution: Execution) -> JsonObject:
        """Backend, profile and digest of the code, or why it cannot run here.

        For a stateful tool, which session that is.
        """
        if execution.profile not in self._profiles:
            raise ExecutionUnavailableError(
                f"there is no sandbox profile {execution.profile!r}; describe it in the"
                " settings, under [sandbox.profiles]"
            )
        if (wrong := self._unusable.get(execution.profile or "")) is not None:
            raise ExecutionUnavailableError(f"sandbox profile {execution.profile!r}: {wrong}")
        if execution.definition.injected:
            raise ExecutionError("arguments a framework injects cannot go into a sandbox")
        code = None
        if execution.definition.options.command is None:
            module, _ = import_path(execution.definition.function)
            code = self._stage.stage(module, self._secrets)[0].name
        for target in paths_of(execution):
            if not target["inside_workspace"] or target["relative"] is None:
                raise ExecutionError("a sandboxed tool's paths have to be in the workspace")
            if is_within(Path(target["resolved"]), self._own):
                raise ExecutionError("a path is the broker's own, which no tool may be given")
            if execution.definition.options.command and target["relative"].startswith("out/"):
                raise ExecutionError(
                    "a command's files cannot lie in a folder named `out`, which is the"
                    " sandbox's own; use another folder, or workspace='overlay'"
                )
        if execution.definition.workspace == "overlay":
            self._check_overlay(execution)
        else:
            most = self._profiles[execution.profile].files // 2
            inputs_of(execution, self._own, self._secrets, most=most)
        session = self._session(execution) if execution.definition.options.stateful else None
        return {
            "boundary": self._sandbox.isolation,
            "backend": self._sandbox.name,
            "profile": execution.profile or "default",
            "code": code,
            "stateful": session is not None,
            "session": None if session is None else session.id,
            "workspace": execution.definition.workspace,
        }

    def _check_overlay(self, execution: Execution) -> None:
        hidden_names(execution.workspace, self._private)
        if self._profiles[execution.profile].secret_files:
            raise ExecutionError(
                "a tool that works on the workspace cannot be given secrets as files there; use"
                " another profile"
            )
        try:
            checked_source(execution.workspace)
        except ProfileError as err:
            raise ExecutionError(f"the workspace cannot be overlaid: {err}") from err

    async def execute(self, execution: Execution) -> Outcome:
        """Runs the tool once, in a sandbox of its own or in its session."""
        profile = self._profiles[execution.profile]
        seconds = min(profile.wall_seconds, execution.deadline_seconds)
        profile = replace(profile, wall_seconds=seconds)
        try:
            if execution.definition.workspace == "overlay":
                return await self._on_overlay(execution, profile)
            return await self._on_copies(execution, profile)
        except StateLostError as err:
            return Outcome("state_lost", detail=str(err), verdict="state_lost")
        except ProfileError as err:
            return failed(err, verdict="profile")
        except SandboxUnavailableError as err:
            return Outcome("unavailable", detail=str(err)[:500], verdict="unavailable")
        except SandboxError as err:
            return failed(err, verdict="provider_error")

    async def _on_copies(self, execution: Execution, profile: SandboxProfile) -> Outcome:
        copied = await to_thread.run_sync(self._copied, execution, profile.files // 2)
        files = {
            _in_working_directory(execution, name): data
            for name, data in copied.contents.items()
        }
        stateful = execution.definition.options.stateful
        if stateful:
            result = await self._run_in_session(execution, files, profile.wall_seconds)
        else:
            secrets = {
                _in_working_directory(execution, name): handle
                for name, handle in profile.secret_files.items()
            }
            result = await self._run(
                execution, replace(profile, secret_files=secrets), files=files
            )
        hidden = self._not_in_its_code(execution, result)
        ended = await to_thread.run_sync(
            partial(outcome_of, execution, result, copied=copied, hidden=hidden)
        )
        if stateful or not self._records_inputs:
            return ended
        return with_inputs(ended, of_copies(copied.contents), result.files_out)

    def _copied(self, execution: Execution, most: int) -> Copied:
        inputs = inputs_of(execution, self._own, self._secrets, most=most)
        return Copied(inputs, inputs.contents(), self._secrets)

    async def _on_overlay(self, execution: Execution, profile: SandboxProfile) -> Outcome:
        workspace = execution.workspace
        secret: tuple[str, ...] = ()
        if self._secrets is not None:
            secret = await to_thread.run_sync(self._secrets.below, workspace)
        own = (*hidden_names(workspace, self._private), *self._hidden)
        hidden = tuple(dict.fromkeys((*own, *secret)))
        result, inputs = None, None
        try:
            async with opened_overlay(workspace, hidden, self._journals) as overlay:
                if self._records_inputs:
                    inputs = await to_thread.run_sync(of_workspace, workspace, hidden)
                result = await self._run(execution, profile, workspace=overlay)
                pending = await pending_in(overlay)
                unseen = (*secret, *self._not_in_its_code(execution, result))
                ended = outcome_of(execution, result, pending, hidden=unseen)
                return with_inputs(ended, inputs) if self._records_inputs else ended
        except OSError as err:
            if result is None:
                raise
            return unreadable(execution, result, err)

    def _job(self, execution: Execution) -> Job:
        options = execution.definition.options
        if options.command is None:
            return self._python_job(execution)
        argv = argv_of(options.command, relocated(execution), shell=options.shell)
        return CommandJob(tuple(argv))

    def _python_job(self, execution: Execution) -> PythonJob:
        module, qualname = import_path(execution.definition.function)
        outputs = [target["relative"] for target in paths_of(execution, "write")]
        by_copy = execution.definition.workspace == "copy"
        return PythonJob(
            ENTRY,
            {
                "module": module,
                "qualname": qualname,
                "arguments": relocated(execution),
                "folder": FILES if by_copy else None,
                "outputs": outputs if by_copy else [],
            },
            self._roots(module),
            _preload(module, qualname, is_async=execution.definition.is_async),
            requires=execution.definition.options.requires,
        )

    def _roots(self, module: str) -> tuple[Path, ...]:
        return (*self._stage.stage(module, self._secrets), *self._code_roots)

    def _not_in_its_code(self, execution: Execution, result: ExecResult) -> tuple[str, ...]:
        """Files of its own package that a tool did not find there; of one that failed."""
        if result.error is None or execution.definition.options.command is not None:
            return ()
        module, _ = import_path(execution.definition.function)
        return self._stage.left_out(module, self._secrets)

    async def _run_in_session(
        self, execution: Execution, files: Mapping[str, bytes], seconds: float
    ) -> ExecResult:
        await self._sessions.clear()
        session = self._session(execution)
        try:
            job = self._python_job(execution)
            within = execution.deadline_seconds
            return await session.run(job, files=files, wall_seconds=seconds, within=within)
        except SessionEndedError as err:
            # Since the decision. With this the caller is told, so it is not told again.
            self._sessions.forget(session)
            raise StateLostError(str(err)) from err

    def _session(self, execution: Execution) -> SandboxSession:
        """The session of this run's tool.

        Raises:
            StateLostError: it is over.
            ExecutionError: there can be none.
        """
        definition, profile = execution.definition, self._profiles[execution.profile]
        if profile.network != "none" or profile.secret_files:
            raise ExecutionError(
                "a sandbox with egress or secrets cannot be stateful; declare the"
                " tool stateful=False, or a profile without them"
            )
        module, qualname = import_path(definition.function)
        roots = self._roots(module)
        return self._sessions.find(
            execution.run,
            definition.name,
            StartedFor(self._sandbox.name, self._sandbox.isolation, execution.profile, roots),
            lambda: SandboxSession(
                self._sandbox,
                profile,
                code_roots=roots,
                preload=_preload(module, qualname, is_async=definition.is_async),
                limits=self._limits,
            ),
        )

    async def end_run(self, run: str) -> None:
        """See `ToolExecutor`."""
        await self._sessions.end_run(run)

    async def _run(
        self,
        execution: Execution,
        profile: SandboxProfile,
        *,
        files: Mapping[str, bytes] | None = None,
        workspace: WorkspaceOverlay | None = None,
    ) -> ExecResult:
        """Never with egress that nobody decides."""
        gate = None if profile.network == "none" else _Gate(execution.gate)
        return await self._sandbox.run(
            self._job(execution),
            profile,
            files=files,
            workspace=workspace,
            gate=gate,
            seconds=execution.deadline_seconds,
        )


class _Gate:
    """The run's own gate, in the words of the sandbox. None lets nothing through."""

    def __init__(self, gate: ConnectionGate | None) -> None:
        self._gate = gate

    async def decide(self, request: EgressRequest) -> EgressDecision:
        """See `sandbox.egress.Gate`."""
        if self._gate is None:
            return EgressDecision(permitted=False, reason="egress.undecided")
        answer = await self._gate.decide(asdict(request))
        return EgressDecision(
            permitted=answer.permitted, reason=answer.code, number=answer.number
        )


def _in_working_directory(execution: Execution, name: str) -> str:
    """Where a file has to lie that the tool finds as `name`: a command starts at the top."""
    return f"{FILES}/{name}" if execution.definition.options.command is None else name


def _preload(module: str, qualname: str, *, is_async: bool) -> tuple[str, ...]:
    """What each call needs and none changes: the tool's schema, and for some an event loop."""
    definition = f"{module}:{qualname}.guard.definition"
    return (definition, "anyio._backends._asyncio") if is_async else (definition,)
