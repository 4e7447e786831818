"""Tools that work in an overlay of the workspace, and a broker that runs them for real.

Only the decision is scripted; the sandbox, the overlay and the commit are the real ones.
"""

from __future__ import annotations

import subprocess
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from permissions.execution.code import CodeStage
from permissions.execution.sandboxed import SandboxedExecutor
from permissions.sessions.open import open_session
from permissions.testing import memory_broker, permitted
from permissions.tools.call import ToolCall
from sandbox.backends.bubblewrap import BubblewrapSandbox
from wardline import FreeText, PathArg, tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from permissions.model import JsonObject, JsonValue
    from permissions.run.state import RunState
    from permissions.testing import MemoryBroker
    from sandbox import Sandbox


@tool(effect="execute", impact="low", sandbox="process", workspace="overlay", output="trusted")
def change(script: Annotated[str, FreeText()]) -> str:
    """Runs a shell script in the workspace; raises when it fails."""
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout


@tool(effect="write", impact="low", sandbox="process", workspace="overlay", output="trusted")
def note(path: Annotated[str, PathArg("write")], text: Annotated[str, FreeText()]) -> str:
    """Writes one file of the workspace."""
    Path(path).write_text(text)
    return path


@tool(
    effect="execute", impact="low", sandbox="container", workspace="overlay", output="trusted"
)
def change_in_container(script: Annotated[str, FreeText()]) -> str:
    """The same behind a container's limits."""
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout


TOOLS = (change, note, change_in_container)


def on_effects(answer: JsonObject | Callable[[JsonObject], JsonValue]) -> Any:
    """Permits each call, and answers like this about what it would change."""

    def decide(document: JsonObject) -> JsonValue:
        if document["action"]["name"] == "tools/call":
            return permitted()
        return answer(document) if callable(answer) else answer

    return decide


@asynccontextmanager
async def editor(
    workspace: Path,
    code: Path,
    *,
    effects: Any = None,
    sandbox: Sandbox | None = None,
    **options: Any,
) -> AsyncIterator[tuple[MemoryBroker, RunState]]:
    """A broker over a real sandbox, with one session on this workspace.

    Args:
        workspace: the folder.
        code: where copies of the tools' code and the journals of commits are kept.
        effects: what policy answers about change sets; permits by default.
        sandbox: the backend; bubblewrap by default.
        options: of `memory_broker`.
    """
    code.mkdir(exist_ok=True)
    code.chmod(0o755)
    backend = sandbox or BubblewrapSandbox()
    executor = SandboxedExecutor(
        backend,
        stage=CodeStage(code),
        profiles={},
        private=(workspace / ".wardline",),
        journals=code / "commits",
    )
    async with (
        memory_broker(
            TOOLS,
            decide=on_effects(permitted() if effects is None else effects),
            workspace=workspace,
            executors={backend.isolation: executor},
            **options,
        ) as broker,
        open_session(broker, user="alice", agent="bot", workspace=workspace) as session,
    ):
        yield broker, session
    if sandbox is None:
        await backend.aclose()


def script(text: str, *, key: str | None = None, tool: str = "change") -> ToolCall:
    """The call that runs this script."""
    return ToolCall(tool, {"script": text}, key=key)
