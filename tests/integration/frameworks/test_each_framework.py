"""What may become of a call, in each framework's real package: one table, no gaps.

An MCP client's is in `tests/integration/gateway`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import anyio
import framework_agents
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from framework_agents import AGENTS, CALLS_OF_A_MORTAL, run
from graphs import OLGA, Asked

from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # the frameworks take seconds to import

EACH = pytest.mark.parametrize("framework", AGENTS)
KEY = (
    Ed25519PrivateKey.from_private_bytes(b"o" * 32)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
"""Olga's, as `OLGA` has it."""
DELETE = Asked("delete", {"name": "x"}, "c1")


def ran(folder: Path) -> list[str]:
    file = folder / "effects"
    return file.read_text().splitlines() if file.exists() else []


def person(folder: Path, *said: str) -> None:
    """Olga answers the one open request, by a command in a process of her own."""
    settings = folder / "wardline.toml"
    settings.write_text(
        f'state = "{folder / "state"}"\n[approvers.olga]\ngroups = ["operators"]\n'
        f'public_key = "{OLGA.public}"\n'
    )
    env = {**os.environ, "WARDLINE_CONFIG": str(settings), "OLGA": KEY}
    command = [sys.executable, "-m", "permissions", "request"]
    listed = subprocess.run(
        [*command, "list", "--json"], check=True, capture_output=True, env=env, text=True
    )
    (asked,) = [json.loads(line) for line in listed.stdout.splitlines()]
    verb, *rest = said
    subprocess.run(
        [*command, verb, asked["id"], *rest, "--key", "env:OLGA"], check=True, env=env
    )


@EACH
async def test_allowed_and_denied(framework: str, tmp_path: Path) -> None:
    ended = await run(
        framework,
        tmp_path,
        Asked("note", {"text": "a"}, "c1"),
        Asked("read", {"path": "/etc/passwd"}, "c2"),
    )

    assert ended.told["c1"] == "noted a"
    assert json.loads(ended.told["c2"])["reasons"][0]["code"] == "filesystem.outside"
    assert ran(tmp_path) == ["note a"]
    assert verify_trace(tmp_path / "state/trace").completeness.is_whole


@EACH
async def test_held_and_approved_from_another_process(framework: str, tmp_path: Path) -> None:
    first = await run(framework, tmp_path, DELETE)
    still = await run(framework, tmp_path, DELETE)
    assert first.held
    assert still.held, "nobody has answered"

    await anyio.to_thread.run_sync(person, tmp_path, "approve")
    ended = await run(framework, tmp_path, DELETE)

    assert (ended.held, ended.told["c1"]) == (False, "deleted x")
    assert ran(tmp_path) == ["delete x"]


@EACH
async def test_held_and_edited_from_another_process(framework: str, tmp_path: Path) -> None:
    """What the person made of it is decided anew: here it asks them once more."""
    assert (await run(framework, tmp_path, DELETE)).held

    await anyio.to_thread.run_sync(person, tmp_path, "edit", 'name="y"')
    again = await run(framework, tmp_path, DELETE)
    assert again.held
    await anyio.to_thread.run_sync(person, tmp_path, "approve")
    ended = await run(framework, tmp_path, DELETE)

    assert ended.told["c1"].startswith("deleted y")
    assert ran(tmp_path) == ["delete y"]


@EACH
async def test_timed_out(framework: str, tmp_path: Path) -> None:
    ended = await run(framework, tmp_path, Asked("sleep", {"name": "s"}, "c1"), deadline=1)

    assert json.loads(ended.told["c1"])["reasons"][0]["code"] == "execution.stopped"
    assert ran(tmp_path) == ["sleep s"]


@EACH
async def test_cancelled(framework: str, tmp_path: Path) -> None:
    """Its caller gives up; that is recorded, and the call is not run again."""
    async with anyio.create_task_group() as group:
        group.start_soon(run, framework, tmp_path, Asked("sleep", {"name": "s"}, "c1"))
        while not ran(tmp_path):  # noqa: ASYNC110 - it says so by a file
            await anyio.sleep(0.01)
        group.cancel_scope.cancel()

    assert verify_trace(tmp_path / "state/trace").completeness.is_whole
    ended = await run(framework, tmp_path, Asked("sleep", {"name": "s"}, "c1"))
    # LangGraph cancels a task more than once, and may cut off the journal: in doubt, then.
    code = json.loads(ended.told["c1"])["reasons"][0]["code"]
    assert code in {"call.cancelled", "call.in_doubt"}
    assert ran(tmp_path) == ["sleep s"]


@EACH
async def test_killed_in_mid_call_and_resumed(framework: str, tmp_path: Path) -> None:
    died = await anyio.run_process(
        [sys.executable, framework_agents.__file__, framework, str(tmp_path)], check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]

    ended = await run(framework, tmp_path, *CALLS_OF_A_MORTAL)

    assert json.loads(ended.told["c1"])["status"] == "in_doubt"
    assert ran(tmp_path) == ["mortal ann"]


@EACH
@pytest.mark.parametrize("stream", [False, True], ids=["at once", "streamed"])
async def test_parallel_beside_one_that_waits(
    framework: str, tmp_path: Path, *, stream: bool
) -> None:
    """Those that ended do not run again when the one that waited goes on."""
    calls = [*(Asked("note", {"text": t}, f"n{t}") for t in "abc"), DELETE]

    assert (await run(framework, tmp_path, *calls, stream=stream)).held
    await anyio.to_thread.run_sync(person, tmp_path, "approve")
    ended = await run(framework, tmp_path, *calls)

    assert {**ended.told} == {
        "na": "noted a", "nb": "noted b", "nc": "noted c", "c1": "deleted x"
    }  # fmt: skip
    assert Counter(ran(tmp_path)) == Counter(["note a", "note b", "note c", "delete x"])
