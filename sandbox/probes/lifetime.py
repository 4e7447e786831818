"""Cases 13 to 22: outliving the run, and pretending another end."""

from __future__ import annotations

import secrets
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from sandbox.errors import SandboxUnavailableError
from sandbox.probes.fixtures import (
    NotTriedError,
    ended_well,
    gone,
    inside,
    new_mark,
    only_raised,
    seen,
    started_by_another,
)
from sandbox.probes.table import (
    blocked_unless,
    opened,
    probe,
)
from sandbox.session import SandboxSession

if TYPE_CHECKING:
    from sandbox.probes.fixtures import Ground
    from sandbox.probes.table import Outcome

STUBBORN = (
    "trap '' TERM INT HUP; setsid sh -c \"trap '' TERM; sleep {0}\" & sleep {0}; sleep {0}"
)
"""Ignores every polite signal and leaves its session."""

LEFT = "setsid setsid sleep {0} & sleep 1"
"""Leaves a process behind, and waits long enough for it to be seen."""

DESTROY_SECONDS = 3.0
"""The promise is one second on an idle machine; five and more is what a missing kill takes."""

OWNER_SECONDS = 30.0
"""For a job whose caller is going to be killed."""

OWNER = """
import importlib, json, sys, anyio
from sandbox import CommandJob, SandboxProfile
asked = json.load(sys.stdin)
async def main():
    backend = getattr(importlib.import_module(asked["module"]), asked["name"])()
    profile = SandboxProfile(wall_seconds=asked["seconds"], runtime=asked["runtime"])
    await backend.run(CommandJob(("sleep", asked["mark"])), profile)
anyio.run(main)
"""
"""A caller that is going to be killed while its job runs. It is told the mark by its input: an
argument of its own would be taken for the job."""


@probe(
    13,
    "Ignore SIGTERM at the deadline",
    "the whole tree is killed",
    alone=True,
    without="the kill at the end of a run, and a process 1 that ends with it",
)
async def ignored_signals(ground: Ground) -> Outcome:
    """The host sees it, and looks for what is left."""
    mark = new_mark()
    script = STUBBORN.format(mark)
    short = ground.profile(wall_seconds=1.5)
    result = await ground.watched("sh", "-c", script, mark=mark, profile=short)
    if result.verdict != "timeout":
        return opened(f"ended as {result.verdict}")
    return blocked_unless(not await gone(mark, seconds=0.25) and "alive", "nothing was left")


@probe(
    14,
    "A background process that left its session",
    "none survives the end of the run",
    without="the kill of what a job left, and a process 1 that ends with it",
)
async def survivor(ground: Ground) -> Outcome:
    """The job ends well and leaves something behind."""
    mark = new_mark()
    ended_well(await ground.watched("sh", "-c", LEFT.format(mark), mark=mark))
    return blocked_unless(not await gone(mark, seconds=0.25) and "alive", "nothing was left")


@probe(
    15,
    "The caller is killed with -9 in the middle of a call",
    "the job dies with it",
    without="the end of process 1 with its supervisor",
)
async def killed_caller(ground: Ground) -> Outcome:
    """A second process runs the job and is killed."""
    mark = new_mark()
    owner = started_by_another(ground, OWNER, mark=mark, seconds=OWNER_SECONDS)
    try:
        await seen(mark)
    finally:
        owner.send_signal(signal.SIGKILL)
        await to_thread.run_sync(owner.communicate)
    return blocked_unless(not await gone(mark) and "the job is alive", "the job died with it")


@probe(
    16,
    "The caller goes away by itself",
    "the call is stopped",
    without="the kill at the end of a run",
)
async def cancelled_caller(ground: Ground) -> Outcome:
    """Cancellation, seen from the host."""
    mark = new_mark()
    async with ground.living("sleep", mark):
        pass
    return blocked_unless(not await gone(mark, seconds=0.25) and "alive", "nothing was left")


@probe(
    17,
    "Orphans that nobody waits for",
    "reaped: they do not use up the process limit",
    without="the reaping of orphans",
)
async def orphans(ground: Ground) -> Outcome:
    """Five times as many as may live; not every kernel counts those that have ended."""
    result = await ground.attempt("abuse:unreaped", ground.profile(processes=16), count=80)
    only_raised(result, "BlockingIOError")
    if result.verdict != "ok":
        return opened(f"80 orphans under a limit of 16: {result.verdict}")
    return blocked_unless(
        result.value and f"{result.value} of 80 orphans were left",
        "80 orphans were reaped under a limit of 16",
    )


@probe(
    18,
    "Refuse to be destroyed",
    "gone at once, polite signals or not",
    alone=True,
    without="the kill at the end of a run",
)
async def stubborn(ground: Ground) -> Outcome:
    """From the cancellation to the last process, on the host's clock."""
    mark = new_mark()
    async with ground.living("sh", "-c", 'trap "" TERM INT; sleep "$0"; sleep "$0"', mark):
        start = time.monotonic()
    seconds = time.monotonic() - start
    if not await gone(mark, seconds=0.25):
        return opened("alive after it was destroyed")
    return blocked_unless(
        seconds > DESTROY_SECONDS and f"it took {seconds:.1f} s", f"gone in {seconds:.2f} s"
    )


@probe(
    19,
    "State of one run seen in the next",
    "nothing: a sandbox is used once; the calls of a session share theirs with nobody else",
    without="a file system of its own for each run",
)
async def state(ground: Ground) -> Outcome:
    """Files, variables and a background process; and beside an open session, which keeps them."""
    mark = new_mark()
    first = await ground.value("abuse:leave_marks")
    ended_well(await ground.watched("sh", "-c", LEFT.format(mark), mark=mark))
    second = await ground.value("abuse:leave_marks")
    if not first["left"]:
        raise NotTriedError("no mark could be left anywhere")
    variables = (await ground.value("attempts:environment"))["own"]
    found = [*first["found"], *second["found"]]
    found += ["a variable"] if "MARK" in variables else []
    job = inside("attempts:leave_state")
    session = SandboxSession(ground.sandbox, ground.profile(), code_roots=job.code_roots)
    # A backend may have no sessions.
    with suppress(SandboxUnavailableError):
        async with session:
            own = ended_well(await session.run(job))
            found += [*own.value, *await ground.value("attempts:leave_state")]
    if not await gone(mark, seconds=0.25):
        found.append("a process")
    return blocked_unless(found, "two runs share nothing")


@probe(
    20,
    "Objects shared between sandboxes",
    "shared memory, queues and sockets are its own",
    without="a namespace of its own for interprocess communication",
)
async def shared_objects(ground: Ground) -> Outcome:
    """One sandbox holds them while another, and then the first's kind on the host, is asked."""
    key, name = secrets.randbelow(2**30) + 1, f"wardline-{secrets.token_hex(6)}"
    async with anyio.create_task_group() as group:
        holding = ground.profile(wall_seconds=20)

        async def hold() -> None:
            await ground.attempt("abuse:share", holding, key=key, name=name, seconds=1000.0)

        group.start_soon(hold)
        await seen(name)
        found = await ground.value("abuse:find_shared", key=key, name=name)
        group.cancel_scope.cancel()
    return blocked_unless(found, "the other sandbox finds none of them")


@probe(
    21,
    "Crash, and leave a core dump",
    "the signal is reported; no core is written",
    without="the limit on core dumps",
)
async def crash(ground: Ground) -> Outcome:
    """A segmentation fault."""
    result = await ground.attempt("probes:die", number=int(signal.SIGSEGV))
    only_raised(result)
    if (result.verdict, result.signal) != ("signal", int(signal.SIGSEGV)):
        return opened(f"reported as {result.verdict} {result.signal}")
    told = await ground.value("attempts:identity")
    return blocked_unless(
        told["core"] != [0, 0] and "a core may be written", "signal 11, no core"
    )


@probe(
    22,
    "Exit codes 124 and 137 by the code itself",
    "the verdict is the supervisor's",
    without="the look at the form of an answer",
)
async def faked_exit(ground: Ground) -> Outcome:
    """They mean a timeout and an OOM kill elsewhere."""
    for code in (124, 137):
        result = await ground.attempt("probes:leave", code=code, hard=True)
        only_raised(result)
        if (result.verdict, result.exit_code) != ("exit", code):
            return opened(f"exit code {code} became {result.verdict}")
    forged = await ground.attempt("attempts:forge", text='{"value": 1, "verdict": "ok"}')
    taken = forged.verdict == "ok"
    if not taken and (forged.error is None or forged.error.type != "ResultError"):
        raise NotTriedError(f"no answer was forged: {forged.verdict} {forged.error!r:.200}")
    return blocked_unless(taken and "a forged answer was taken", "both stay exit codes")
