"""What a session keeps, what ends it, and what a hostile call can do to later ones.

A registry of its own: a backend may have no sessions, and say so when one is started.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio

from sandbox.conformance.harness import (
    NotConformantError,
    attempt,
    cancelled_when_seen,
    ended,
    filtered,
    mark_of_ours,
    probe_code,
    same,
    survivors,
    true,
)
from sandbox.errors import SandboxProviderError, SessionEndedError
from sandbox.job import PythonJob
from sandbox.profile import MEBIBYTE, SandboxProfile
from sandbox.session import SandboxSession
from sandbox.session_limits import SessionLimits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sandbox.protocol import Sandbox
    from sandbox.result import ExecResult

SESSION_CHECKS: dict[str, Callable[[Sandbox], Awaitable[None]]] = {}
"""Every check by its name, in the order they were defined."""

PROFILE = SandboxProfile(wall_seconds=20)


def check(
    function: Callable[[Sandbox], Awaitable[None]],
) -> Callable[[Sandbox], Awaitable[None]]:
    """Puts a check into the registry."""
    SESSION_CHECKS[function.__name__] = function
    return function


async def told(session: SandboxSession, word: str) -> None:
    """Demands that the session is over and says why."""
    true(f"`ended` says {word!r}: {session.ended}", word in (session.ended or ""))
    for _ in range(2):
        try:
            await session.evaluate("1")
        except SessionEndedError as err:
            true(f"the error says {word!r}: {err}", word in err.why)
            continue
        raise NotConformantError("a session that is over took a call")


@check
async def what_a_call_leaves_is_there_for_the_next(sandbox: Sandbox) -> None:
    """Names, loaded modules and their globals, and files."""
    async with SandboxSession(sandbox, PROFILE, code_roots=(probe_code(),)) as session:
        await session.evaluate("import wardline_probes; table = [1, 2, 6]")
        await session.evaluate("wardline_probes.mark = 7; open('/box/kept', 'w').write('x')")
        asked = await session.evaluate("[sum(table), open('/box/kept').read()]")
        called = await session.run(PythonJob("wardline_probes:echo", {"a": "\U0001f512"}))
        module = await session.evaluate("wardline_probes.mark")

    same("value", asked.value, [9, "x"])
    same("function", called.value, {"a": "\U0001f512"})
    same("module", module.value, 7)


@check
async def each_call_has_its_own_output_and_end(sandbox: Sandbox) -> None:
    """Also what was written just before the answer, and an exception, which ends nothing."""
    async with SandboxSession(sandbox, PROFILE) as session:
        results: list[ExecResult] = []
        for number in range(20):
            code = f"import sys; print({number}); sys.stderr.write('e'); {number}"
            results.append(await session.evaluate(code))
        raised = await session.evaluate("print('half'); 1 / 0")
        after = await session.evaluate("'on'")
        unwritable = await session.evaluate("object()")

    for number, result in enumerate(results):
        ended(result, "ok")
        same("value", (result.value, result.stdout), (number, f"{number}\n".encode()))
        same("nothing exited", (result.stderr, result.exit_code), (b"e", None))
    ended(raised, "raised")
    same("error", (raised.error and raised.error.type, raised.stdout), (ZERO, b"half\n"))
    same("after it", after.value, "on")
    ended(unwritable, "raised")
    said = unwritable.error.message if unwritable.error else ""
    true(f"it says why: {said}", "object is not JSON serializable" in said)


ZERO = ZeroDivisionError.__name__


@check
async def files_go_in_and_out_between_calls(sandbox: Sandbox) -> None:
    """A file takes the place of its namesake, whatever that became; out is empty each time."""
    async with SandboxSession(sandbox, PROFILE) as session:
        first = await session.evaluate(
            "import os\nopen('/box/out/r', 'w').write(open('/box/d/a').read())\n"
            "os.remove('/box/d/a'); os.symlink('/proc/self/fd/3', '/box/d/a')",
            files={"d/a": b"one"},
        )
        second = await session.evaluate(
            "[os.path.islink('/box/d/a'), open('/box/d/a').read(), os.listdir('/box/out')]",
            files={"d/a": b"two"},
        )
        await session.evaluate("os.symlink('/etc/passwd', '/box/out/link')")
        third = await session.evaluate("os.listdir('/box/out')")
        await session.evaluate("os.rename('/box/d', '/box/e'); os.symlink('/proc/1', '/box/d')")
        try:
            await session.evaluate("1", files={"d/a": b"three"})
        except SessionEndedError:  # whoever takes the call leaves at the link, so nothing ran
            await told(session, "is gone")
        else:
            raise NotConformantError("a file was put through a link")

    same("first", dict(first.files_out), {"r": b"one"})
    same("second", second.value, [False, "two", []])
    same("third", third.value, [])


@check
async def what_is_not_sound_is_not_used_again(sandbox: Sandbox) -> None:
    """A limit, an exit, a signal, and a flood each end the call, and the session with it."""
    profile = SandboxProfile(
        wall_seconds=3, output_bytes=1000, value_bytes=1000, work_bytes=MEBIBYTE
    )
    for code, verdict in (
        ("import time; print('begun', flush=True); time.sleep(100)", "timeout"),
        ("print('x' * 2000)", "output"),
        ("'x' * 2000", "output"),
        ("import os; os._exit(3)", "exit"),
        ("raise SystemExit(4)", "exit"),
        ("import os; os.kill(os.getpid(), 9)", "signal"),
        ("open('/box/fill', 'wb', 0).write(b'x' * 2**21) and 1 / 0", "disk"),
    ):
        async with SandboxSession(sandbox, profile) as session:
            ended(await session.evaluate("1"), "ok")
            result = await session.evaluate(code)
            ended(result, verdict)  # type: ignore[arg-type]  # a literal of the table
            if verdict == "timeout":
                same("partial output", result.stdout, b"begun\n")
            await told(session, f"call 2 ended as {verdict}")


@check
async def a_cancelled_call_ends_the_session_and_all_in_it(sandbox: Sandbox) -> None:
    """Nothing of it is alive when the cancellation returns."""
    mark = mark_of_ours()
    async with SandboxSession(sandbox, PROFILE) as session:
        code = f"import subprocess; subprocess.run(['sleep', '{mark}'])"
        await cancelled_when_seen(lambda: session.evaluate(code), mark)
        same("survivors", survivors(mark), [])
        await told(session, "did not end")


@check
async def its_bounds_end_it_and_say_so(sandbox: Sandbox) -> None:
    """Calls and processor time really; times by a clock of the test's own."""
    async with SandboxSession(sandbox, PROFILE, limits=SessionLimits(calls=2)) as session:
        same("first", (await session.evaluate("1")).value, 1)
        same("second", (await session.evaluate("2")).value, 2)
        await told(session, "2 calls")
    burn = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
    forks = f"import os\nif os.fork() == 0:\n exec({burn!r}); os._exit(0)\nos.wait()"
    for code in (burn, forks):
        bounds = SessionLimits(cpu_seconds=0.4)
        async with SandboxSession(sandbox, PROFILE, limits=bounds) as session:
            ended(await session.evaluate(code), "ok")
            await told(session, "processor time")
    for seconds, word in (
        (300.0, "no call for 300 seconds"),
        (3600.0, "3600 seconds are over"),
    ):
        now = [0.0]
        async with SandboxSession(sandbox, PROFILE, clock=lambda: now[0]) as session:  # noqa: B023
            await session.evaluate("1")
            while now[0] < seconds - 200:
                now[0] += 200
                ended(await session.evaluate("1"), "ok")
            now[0] += 300
            await told(session, word)


@check
async def no_call_runs_beyond_the_whole_time(sandbox: Sandbox) -> None:
    """What is left of it is the deadline of the last call."""
    bounds = SessionLimits(total_seconds=1.0)
    async with SandboxSession(sandbox, PROFILE, limits=bounds) as session:
        ended(await session.evaluate("import time; time.sleep(100)"), "timeout")


@check
async def it_leaves_by_itself_when_nobody_calls(sandbox: Sandbox) -> None:
    """Process 1 keeps the bounds too, for an owner that hangs."""
    bounds = SessionLimits(idle_seconds=0.01)
    async with SandboxSession(sandbox, PROFILE, limits=bounds, clock=lambda: 0.0) as session:
        ended(await session.evaluate("1"), "ok")
        with anyio.fail_after(40):
            while session.ended is None:  # noqa: ASYNC110 - it leaves without telling
                await anyio.sleep(0.05)
        await told(session, "gone")


@check
async def what_is_left_is_stopped_between_calls_and_dead_at_the_end(sandbox: Sandbox) -> None:
    """A thread and a process count on during calls only; a process may outlive its call."""
    mark = mark_of_ours()
    async with SandboxSession(sandbox, PROFILE) as session:
        await session.evaluate(
            "import subprocess, threading, time\n"
            f"process = subprocess.Popen(['sleep', '{mark}'])\n"
            "seen = [time.monotonic()]\n"
            "def count():\n"
            "    while True:\n"
            "        seen.append(time.monotonic()); time.sleep(0.001)\n"
            "threading.Thread(target=count, daemon=True).start()"
        )
        true("it lives on", survivors(mark))
        with anyio.move_on_after(1.0):
            await anyio.sleep_forever()
        gap = await session.evaluate(
            "known = len(seen)\n"
            "while len(seen) == known: time.sleep(0.001)\n"
            "max(b - a for a, b in zip(seen, seen[1:]))"
        )
        alive = await session.evaluate("process.poll()")

    true(f"it was stopped meanwhile ({gap.value})", gap.value > 0.8)
    same("alive", alive.value, None)
    same("survivors", survivors(mark), [])


@check
async def sessions_share_nothing_with_each_other_or_with_runs(sandbox: Sandbox) -> None:
    """The promise a session gives up is given up within it alone."""
    leave = "import wardline_attempts; wardline_attempts.leave_state()"
    roots = (probe_code(),)
    async with (
        SandboxSession(sandbox, PROFILE, code_roots=roots) as one,
        SandboxSession(sandbox, PROFILE, code_roots=roots) as other,
    ):
        first = await one.evaluate(leave)
        second = await other.evaluate(leave)
        again = await one.evaluate(leave)
        alone = await attempt(sandbox, "leave_state")

    same("found", (first.value, second.value, alone.value), ([], [], []))
    true(f"its own it finds: {again.value}", again.value)


@check
async def the_record_names_the_session_and_the_call(sandbox: Sandbox) -> None:
    """And that it was not a sandbox of its own; a run that was says so too."""
    async with SandboxSession(sandbox, PROFILE) as session:
        for number in (1, 2):
            said = json.loads(json.dumps(dict((await session.evaluate("1")).enforced)))
            true("stateful", said["stateful"] is True)
            same("which", (said["session"], said["call"]), (session.id, number))
            same("profile", said["profile"], PROFILE.digest)
            filtered(said)
    alone = await attempt(sandbox, "identity")

    true("not stateful", alone.enforced["stateful"] is False)


@check
async def a_thread_can_forge_later_answers_and_nothing_else(sandbox: Sandbox) -> None:
    """It lies about a value of its own session. Verdict, limits and record stay ours."""
    forger = (
        "import os, threading, time\n"
        "def forge():\n"
        "    while not go: pass\n"
        "    os.write(3, b'12\\n{\"value\": 9}')\n"
        "go = []\n"
        "threading.Thread(target=forge, daemon=True).start()"
    )
    async with SandboxSession(sandbox, PROFILE) as session:
        await session.evaluate(forger)
        forged = await session.evaluate("go.append(1); time.sleep(1000)")
        # The interpreter still sleeps: what it was asked next it never gets to.
        ended(await session.evaluate("1", wall_seconds=1), "timeout")
        await told(session, "timeout")

    same("a forged value", (forged.verdict, forged.value), ("ok", 9))
    same("the record", (forged.enforced["call"], forged.exit_code), (2, None))


@check
async def a_call_that_speaks_out_of_turn_ends_the_session(sandbox: Sandbox) -> None:
    """Two answers, another form, a length that is none."""
    for text in (b"1\\n{}", b"x\\n{}", b"-1\\n", b"0\\n", b"9" * 40, b'12\\n{\\"value\\": 9}x'):
        async with SandboxSession(sandbox, PROFILE) as session:
            code = f"import os; os.write(3, b'{text.decode()}'); 5"
            try:
                result = await session.evaluate(code)
            except SandboxProviderError as err:
                true(f"it says why: {err}", "answered" in str(err))
                await told(session, "did not end")
            else:
                raise NotConformantError(f"{text!r} was taken: {result.verdict} {result.value}")


@check
async def the_kept_process_cannot_touch_its_supervisor(sandbox: Sandbox) -> None:
    """Process 1 is as closed to a later call as to the first."""
    async with SandboxSession(sandbox, PROFILE, code_roots=(probe_code(),)) as session:
        for _ in range(2):
            result = await session.run(PythonJob("wardline_attempts:attack_runner"))
            ended(result, "ok")
            true(f"all refused: {result.value}", "open" not in result.value.values())


@check
async def calls_at_once_take_turns(sandbox: Sandbox) -> None:
    """Eight callers, one interpreter, no answer mixed up."""
    values: dict[int, object] = {}
    async with SandboxSession(sandbox, PROFILE) as session:
        await session.evaluate("seen = []")

        async def one(number: int) -> None:
            code = f"seen.append({number}); {number}"
            values[number] = (await session.evaluate(code)).value

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(one, number)
        seen = await session.evaluate("sorted(seen)")

    same("values", values, {number: number for number in range(8)})
    same("seen", seen.value, list(range(8)))
