"""A program of somebody else that lives long in a sandbox, and is spoken with: a server.

It is started when it is first needed and again after each end, behind the same limits. What it
may reach is decided connection by connection, by the policies and for the calls that are in hand:
between calls it reaches nothing. With a workspace it works in an overlay: the end of the program
comes before anything it changed is decided, so that nobody changes it meanwhile.

Not protected from: what one call leaves in the program for the next ones.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from permissions.errors import ExecutionError
from permissions.execution.overlay import hidden_names, opened_overlay, pending_in
from permissions.logs import get_logger
from sandbox import CommandJob, Conversation, SandboxError
from sandbox.egress import EgressDecision

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from permissions.execution.base import ConnectionGate
    from permissions.execution.pending_changes import PendingChanges
    from permissions.execution.secret_files import SecretFiles
    from permissions.vocabulary import Isolation
    from sandbox import ExecResult, Sandbox, SandboxProfile
    from sandbox.egress import EgressRequest
    from sandbox.workspace import WorkspaceOverlay

_log = get_logger("execution.hosted")

LEAVE_SECONDS = 2.0
"""For a program whose input has ended to leave by itself."""
SAID_BYTES = 2000
"""Of what it wrote to stderr, for the operator's log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedWorkspace:
    """The workspace that a program finds as an overlay.

    Attributes:
        folder: absolute, without links.
        private: paths of the broker's own, which it must not see.
        hidden: names, likewise.
        secrets: gives which files hold secrets, as the policies say now. Blocking.
        journals: folder for what undoes a commit that is killed.
    """

    folder: Path
    private: tuple[Path, ...]
    hidden: tuple[str, ...]
    secrets: Callable[[], SecretFiles]
    journals: Path

    def seen_not(self) -> tuple[str, ...]:
        """All that the program must not see. Blocking.

        Raises:
            ExecutionError: the workspace is one that must not be shown.
        """
        own = (*hidden_names(self.folder, self.private), *self.hidden)
        return tuple(dict.fromkeys((*own, *self.secrets().below(self.folder))))


class CallsInHand:
    """The sandbox's gate of a program: what every call in hand permits, and nothing without one."""

    def __init__(self) -> None:
        self._gates: list[ConnectionGate | None] = []

    @contextmanager
    def during(self, gate: ConnectionGate | None) -> Iterator[None]:
        """Counts a call as in hand."""
        self._gates.append(gate)
        try:
            yield
        finally:
            # By identity of the list's entry: two calls may have equal gates.
            self._gates.remove(gate)

    async def decide(self, request: EgressRequest) -> EgressDecision:
        """See `sandbox.egress.Gate`. Whose call wants it cannot be told, so each has to permit it."""
        if not self._gates:
            return EgressDecision(permitted=False, reason="egress.undecided")
        decided: EgressDecision | None = None
        for gate in tuple(self._gates):
            if gate is None:
                return EgressDecision(permitted=False, reason="egress.undecided")
            answer = await gate.decide(asdict(request))
            decided = EgressDecision(
                permitted=answer.permitted, reason=answer.code, number=answer.number
            )
            if not decided.permitted:
                return decided
        return decided or EgressDecision(permitted=False, reason="egress.undecided")


class HostedProgram:
    """One program, of which at most one instance lives at a time.

    Args:
        name: for the log.
        sandbox: where it runs; stays its owner's to close.
        command: argv, as it is found inside.
        profile: its limits and isolation, for its whole life.
        profile_name: of it, in the settings.
        workspace: it works in an overlay of; none is seen without it.
    """

    def __init__(
        self,
        name: str,
        sandbox: Sandbox,
        command: tuple[str, ...],
        profile: SandboxProfile,
        *,
        profile_name: str | None = None,
        workspace: HostedWorkspace | None = None,
    ) -> None:
        self.name = name
        self.profile_name = profile_name
        self.workspace = workspace
        self.gate = CallsInHand()
        self.ended_by = ""
        """Why its last instance ended, when that was not asked for."""
        self._sandbox = sandbox
        self._command = command
        self._profile = profile
        self._overlay: WorkspaceOverlay | None = None
        self._is_running = False

    @property
    def isolation(self) -> Isolation:
        """The boundary around it."""
        return self._sandbox.isolation

    def document(self) -> dict[str, object]:
        """What holds it, for the record."""
        return {
            "boundary": self._sandbox.isolation,
            "backend": self._sandbox.name,
            "profile": self.profile_name or "default",
            "hosted": self.name,
            "workspace": None if self.workspace is None else "overlay",
        }

    @asynccontextmanager
    async def instance(
        self,
    ) -> AsyncIterator[tuple[MemoryObjectReceiveStream[bytes], MemoryObjectSendStream[bytes]]]:
        """Starts it; gives what it says and what is said to it, until the block ends.

        Raises:
            SandboxError: it cannot be started.
            ExecutionError: its workspace must not be shown.
        """
        say, said = anyio.create_memory_object_stream[bytes](0)
        hears, heard = anyio.create_memory_object_stream[bytes](0)
        self.ended_by = ""
        await self._discard()
        async with heard, anyio.create_task_group() as tasks:
            is_over = anyio.Event()
            overlay = await self._opened()
            tasks.start_soon(self._run, Conversation(said, hears), overlay, is_over)
            try:
                async with say:
                    yield heard, say
            finally:
                with anyio.CancelScope(shield=True):
                    heard.close()  # from here on nobody listens, and nobody is held up
                    with anyio.move_on_after(LEAVE_SECONDS):
                        await is_over.wait()
                tasks.cancel_scope.cancel()

    async def _opened(self) -> WorkspaceOverlay | None:
        if self.workspace is None:
            return None
        hidden = await to_thread.run_sync(self.workspace.seen_not)
        async with opened_overlay(
            self.workspace.folder, hidden, self.workspace.journals
        ) as overlay:
            self._overlay = overlay
        return overlay

    async def _run(
        self, conversation: Conversation, overlay: WorkspaceOverlay | None, is_over: anyio.Event
    ) -> None:
        self._is_running = True
        try:
            result = await self._sandbox.run(
                CommandJob(self._command),
                self._profile,
                workspace=overlay,
                gate=None if self._profile.network == "none" else self.gate,
                conversation=conversation,
            )
            self.ended_by = self._said(result)
        except SandboxError as err:
            self.ended_by = f"its sandbox: {err}"[:400]
            _log.warning("program_not_hosted", program=self.name, fault=str(err)[:400])
        finally:
            self._is_running = False
            conversation.said.close()
            conversation.heard.close()
            is_over.set()

    def _said(self, result: ExecResult) -> str:
        if result.verdict == "ok":
            return ""
        _log.warning(
            "hosted_program_ended",
            program=self.name,
            verdict=result.verdict,
            exit_code=result.exit_code,
            said=result.stderr[-SAID_BYTES:].decode("ascii", "backslashreplace"),
        )
        return f"its sandbox ended it: {result.verdict}" + (
            f" {result.exit_code}" if result.verdict == "exit" else ""
        )

    @property
    def may_have_changes(self) -> bool:
        """Whether the living instance has written anything into its workspace. Blocking."""
        return self._overlay is not None and self._overlay.is_written

    async def changes(self) -> PendingChanges | None:
        """What the last instance changed; whoever takes them ends them.

        Raises:
            ExecutionError: it lives, and would go on changing them.
        """
        if self._is_running:
            raise ExecutionError(f"{self.name} lives, and what it changes is not settled")
        overlay, self._overlay = self._overlay, None
        return None if overlay is None else await pending_in(overlay)

    async def _discard(self) -> None:
        overlay, self._overlay = self._overlay, None
        if overlay is not None:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(overlay.discard)

    async def aclose(self) -> None:
        """Forgets what the last instance changed. Safe to call twice."""
        await self._discard()
