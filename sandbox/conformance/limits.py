"""Every limit ends a run by its own name, and a run that is ended is gone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sandbox.conformance.harness import (
    attempt,
    call,
    cancelled_when_seen,
    check,
    ended,
    mark_of_ours,
    same,
    survivors,
    true,
)
from sandbox.job import CommandJob
from sandbox.profile import MEBIBYTE, SandboxProfile

if TYPE_CHECKING:
    from sandbox.protocol import Sandbox

KILL_SECONDS = 0.25
"""From the deadline to the whole tree being dead."""

TRIES = 5
"""Before a backend is called late: a busy machine delays one run, not five in a row."""

SLACK_SECONDS = 15.0
"""For a start and an end on a busy machine, where only the order of magnitude is looked at."""


@check
async def memory_over_the_limit_ends_in_oom(sandbox: Sandbox) -> None:
    """One process that touches more than the limit is killed, and memory is blamed."""
    result = await call(
        sandbox, "eat_memory", SandboxProfile(memory_bytes=64 * MEBIBYTE), total=512 * MEBIBYTE
    )

    if result.enforced.get("memory") == "per process":
        ended(result, "raised")
    else:
        ended(result, "oom")


@check
async def processes_share_the_memory_limit(sandbox: Sandbox) -> None:
    """Many processes below the limit cannot be over it together."""
    result = await call(
        sandbox,
        "eat_memory_together",
        SandboxProfile(memory_bytes=96 * MEBIBYTE, wall_seconds=20),
        processes=8,
        each=32 * MEBIBYTE,
    )

    if result.enforced.get("memory") != "per process":
        true("not all may live", result.verdict == "oom" or result.value != 8)
        true("memory is named", "oom" in result.limits_hit)


@check
async def a_fork_bomb_is_capped(sandbox: Sandbox) -> None:
    """Processes are limited together, and the limit is blamed."""
    result = await call(sandbox, "fork_for_ever", SandboxProfile(processes=24, wall_seconds=20))

    true("it did not end well", result.verdict in ("pids", "raised"))
    if result.enforced.get("processes", "group") == "group":
        ended(result, "pids")


@check
async def ended_orphans_do_not_use_up_the_process_limit(sandbox: Sandbox) -> None:
    """Process 1 reaps."""
    result = await call(sandbox, "orphans", SandboxProfile(processes=16), count=100)

    ended(result, "ok")


@check
async def processor_time_is_limited(sandbox: Sandbox) -> None:
    """A spinning process ends by its processor seconds, not by the wall clock."""
    result = await call(sandbox, "spin", SandboxProfile(cpu_seconds=1, wall_seconds=30))

    ended(result, "cpu")


@check
async def each_writable_folder_has_its_size(sandbox: Sandbox) -> None:
    """Writing stops at the folder's size, and the disk is blamed."""
    profile = SandboxProfile(work_bytes=4 * MEBIBYTE, tmp_bytes=2 * MEBIBYTE)
    for folder in ("/box", "/tmp"):  # noqa: S108 - inside
        result = await call(sandbox, "fill", profile, folder=folder)

        ended(result, "disk")


@check
async def file_entries_are_limited(sandbox: Sandbox) -> None:
    """A flood of empty files meets a limit, where the backend promises one."""
    result = await call(sandbox, "many_files", folder="/box", count=5000)

    ended(result, "ok")
    if result.enforced.get("files") != "not limited":
        true("there is a limit", result.value < SandboxProfile().files)


@check
async def descriptors_are_limited(sandbox: Sandbox) -> None:
    """Opening ends with EMFILE at the profile's number, and no limit can be raised."""
    result = await call(sandbox, "open_files", SandboxProfile(open_files=64))
    profile = SandboxProfile(open_files=64)
    promised = {"NOFILE": 64, "CORE": 0, "CPU": profile.cpu_seconds + 1}
    raised = await attempt(sandbox, "raise_limits", profile, promised=promised)

    ended(result, "ok")
    true("below the limit", 0 < result.value < 64)
    ended(raised, "ok")
    same("raised limits", raised.value, [])


@check
async def an_output_flood_ends_the_run(sandbox: Sandbox) -> None:
    """What fitted is kept; the run does not go on."""
    result = await call(sandbox, "flood", SandboxProfile(output_bytes=100_000))

    ended(result, "output")
    same("kept", result.stdout, b"x" * 100_000)
    true("it says so", result.truncated)


@check
async def a_value_that_is_too_large_ends_the_run(sandbox: Sandbox) -> None:
    """The value has its own bound."""
    result = await call(sandbox, "big_value", SandboxProfile(value_bytes=1000), size=2000)

    ended(result, "output")
    same("value", result.value, None)


@check
async def the_deadline_kills_the_whole_tree(sandbox: Sandbox) -> None:
    """Ignored SIGTERM, a new session and a grandchild change nothing; output so far is kept."""
    output, late = b"", 0.0
    for _ in range(TRIES):
        mark = mark_of_ours()
        script = (
            f"trap '' TERM; setsid sh -c \"trap '' TERM; sleep {mark}\" &"
            f" echo begun; sleep {mark}"
        )
        start = time.monotonic()
        result = await sandbox.run(
            CommandJob(("sh", "-c", script)), SandboxProfile(wall_seconds=1.0)
        )
        seconds = time.monotonic() - start

        ended(result, "timeout")
        same("survivors", survivors(mark), [])
        true(f"soon after it ({seconds:.2f} s)", seconds < 1.0 + SLACK_SECONDS)
        output, late = result.stdout, result.resources.wall_seconds - 1.0
        if output and late < KILL_SECONDS:
            break
    same("output", output, b"begun\n")
    true(f"near the deadline ({late:.2f} s late)", late < KILL_SECONDS)


@check
async def what_a_job_leaves_running_ends_with_it(sandbox: Sandbox) -> None:
    """A background process does not outlive the job, nor hold it up."""
    mark = mark_of_ours()
    script = f"setsid sleep {mark} & echo done"
    result = await sandbox.run(
        CommandJob(("sh", "-c", script)), SandboxProfile(wall_seconds=20)
    )

    ended(result, "ok")  # and not as `timeout`: it was not held up
    same("survivors", survivors(mark), [])


@check
async def cancelling_the_caller_kills_the_job(sandbox: Sandbox) -> None:
    """A cancelled run leaves nothing behind."""
    mark = mark_of_ours()
    job, profile = CommandJob(("sleep", mark)), SandboxProfile(wall_seconds=60)
    await cancelled_when_seen(lambda: sandbox.run(job, profile), mark)

    same("survivors", survivors(mark), [])
