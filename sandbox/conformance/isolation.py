"""What a job must not reach, must not change, and must not be able to pretend."""

from __future__ import annotations

import json
import os
import secrets
from typing import TYPE_CHECKING

from sandbox.conformance.harness import (
    attempt,
    call,
    check,
    ended,
    same,
    true,
)
from sandbox.profile import SandboxProfile

if TYPE_CHECKING:
    from sandbox.protocol import Sandbox


@check
async def there_is_no_network(sandbox: Sandbox) -> None:
    """A loopback interface, no route, no names."""
    result = await attempt(sandbox, "network")

    ended(result, "ok")
    same("network", result.value, {"reached": [], "resolved": False, "interfaces": ["lo"]})


@check
async def the_environment_is_the_profiles_own(sandbox: Sandbox) -> None:
    """Nothing of the caller's environment is inside, not even in process 1."""
    canary = secrets.token_hex(16)
    os.environ["WARDLINE_CANARY"] = canary
    try:
        result = await attempt(
            sandbox, "environment", SandboxProfile(environment={"ANSWER": "42"})
        )
    finally:
        del os.environ["WARDLINE_CANARY"]

    ended(result, "ok")
    own = {"PATH", "HOME", "TMPDIR", "LANG", "PYTHONDONTWRITEBYTECODE", "ANSWER"}
    same("variables", set(result.value["own"]), own)
    true("no canary", canary not in json.dumps(result.value))


@check
async def only_its_own_folders_are_writable(sandbox: Sandbox) -> None:
    """Files can be made below /box and /tmp and nowhere else."""
    result = await attempt(sandbox, "writable_anywhere")

    ended(result, "ok")
    same(
        "writable",
        [path for path in result.value if not path.startswith(("/box", "/tmp"))],  # noqa: S108
        [],
    )


@check
async def only_regular_files_come_out(sandbox: Sandbox) -> None:
    """Links, pipes, sockets, sparse giants and odd names stay behind, each with a reason."""
    result = await attempt(sandbox, "plant")

    ended(result, "ok")
    same("files", dict(result.files_out), {"good.txt": b"good"})
    refused = {entry.path for entry in result.refused}
    wanted = {"link", "folder-link", "dangling", "fifo", "socket", "first-name", "second-name"}
    true(f"refused {sorted(refused)}", wanted | {"sparse", "closed"} <= refused)
    true("odd names are escaped", all(path.isprintable() for path in refused))
    true("all are named", len(refused) == 12)


@check
async def an_out_folder_that_became_a_link_is_not_followed(sandbox: Sandbox) -> None:
    """Nothing comes out, and that is said."""
    result = await attempt(sandbox, "replace_out_folder")

    same("files", dict(result.files_out), {})
    true("refused", len(result.refused) == 1)


@check
async def the_job_cannot_pretend(sandbox: Sandbox) -> None:
    """Exit codes, signals and forged answers do not become another verdict."""
    for code in (1, 124, 137, 255):
        for hard in (False, True):
            result = await call(sandbox, "leave", code=code, hard=hard)
            ended(result, "exit")
            same("code", result.exit_code, code)
    ended(await call(sandbox, "leave", code=0, hard=True), "exit")
    killed = await call(sandbox, "die", number=9)
    ended(killed, "signal")
    same("signal", killed.signal, 9)
    ended(await call(sandbox, "die", number=11), "signal")
    for text in ("no json", "[]", '{"value": NaN}', '{"value": 1, "x": 2}', "[" * 60000):
        ended(await attempt(sandbox, "forge", text=text), "raised")


@check
async def the_job_cannot_touch_its_supervisor(sandbox: Sandbox) -> None:
    """Process 1 inside is closed to the job and deaf to its signals."""
    result = await attempt(sandbox, "attack_runner")

    ended(result, "ok")
    true(f"all refused: {result.value}", "open" not in result.value.values())
