"""The suite every backend has to pass, as plain functions: the port's contract, executable.

`CHECKS` maps a name to `async (sandbox) -> None`; a check returns or raises `NotConformantError`.
They need no test framework, so that a backend of somebody else's can be held to them, too.
Each check runs real jobs with the probes in `sandbox/_probes`.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from sandbox.errors import ProfileError
from sandbox.job import CommandJob, PythonJob
from sandbox.profile import MEBIBYTE, SandboxProfile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sandbox.base import Sandbox
    from sandbox.result import ExecResult, Verdict

KILL_SECONDS = 0.25
"""From the deadline to the whole tree being dead."""

SLACK_SECONDS = 2.0
"""For tearing down on a busy machine, where only the order of magnitude is looked at."""


class NotConformantError(AssertionError):
    """A backend that does not keep the contract."""


CHECKS: dict[str, Callable[[Sandbox], Awaitable[None]]] = {}


def probe_code() -> Path:
    """The directory of the probes: a code root for jobs `wardline_probes:<function>`."""
    return Path(str(resources.files("sandbox").joinpath("_probes")))


async def call(
    sandbox: Sandbox,
    function: str,
    profile: SandboxProfile | None = None,
    *,
    files: Mapping[str, bytes] | None = None,
    **arguments: Any,
) -> ExecResult:
    """Runs one of the probes."""
    job = PythonJob(f"wardline_probes:{function}", arguments, (probe_code(),))
    return await sandbox.run(job, profile or SandboxProfile(), files=files)


def _check(
    function: Callable[[Sandbox], Awaitable[None]],
) -> Callable[[Sandbox], Awaitable[None]]:
    CHECKS[function.__name__] = function
    return function


def _same(what: str, seen: object, wanted: object) -> None:
    if seen != wanted:
        raise NotConformantError(f"{what}: wanted {wanted!r:.300}, saw {seen!r:.600}")


def _true(what: str, seen: object) -> None:
    if not seen:
        raise NotConformantError(f"{what}: {seen!r:.600}")


def _verdict(result: ExecResult, wanted: Verdict) -> None:
    if result.verdict != wanted:
        raise NotConformantError(
            f"verdict: wanted {wanted}, saw {result.verdict} (exit {result.exit_code}, signal"
            f" {result.signal}, {result.error}, stderr {result.stderr[-400:]!r})"
        )


@_check
async def a_python_function_gets_json_and_returns_json(sandbox: Sandbox) -> None:
    """Arguments and value cross the wall unchanged, for functions and coroutine functions."""
    value: dict[str, Any] = {
        "text": "gr\u00fc\u00df \U0001f512\n\0",
        "numbers": [0, -1, 2**63, 1.5],
        "none": None,
    }
    for function in ("echo", "echo_later"):
        result = await call(sandbox, function, **value)

        _verdict(result, "ok")
        _same("value", result.value, value)


@_check
async def an_exception_is_reported_by_type_and_message(sandbox: Sandbox) -> None:
    """A raising function is `raised`, with its type and message."""
    result = await call(sandbox, "fail", message="no such thing")

    _verdict(result, "raised")
    _same("error", (result.error and result.error.type), "LookupError")
    _same("message", (result.error and result.error.message), "no such thing")


@_check
async def a_command_gets_argv_and_input(sandbox: Sandbox) -> None:
    """Arguments are not read by a shell; standard input and bytes arrive as they are."""
    stdin = bytes(range(256)) * 512
    result = await sandbox.run(CommandJob(("cat",), stdin), SandboxProfile())
    quoted = await sandbox.run(CommandJob(("printf", "%s", "$(id) `id` ; *")), SandboxProfile())
    missing = await sandbox.run(CommandJob(("no-such-program",)), SandboxProfile())

    _verdict(result, "ok")
    _same("output", result.stdout, stdin)
    _same("argument", quoted.stdout, b"$(id) `id` ; *")
    _verdict(missing, "raised")


@_check
async def files_go_in_and_come_out(sandbox: Sandbox) -> None:
    """Files are given by relative path and come back from the out folder byte for byte."""
    files = {"a.bin": bytes(range(256)) * 1024, "deep/er/b.txt": b"", "c d \u00e9.txt": b"x"}
    result = await call(sandbox, "copy_files", files=files)

    _verdict(result, "ok")
    _same("files", dict(result.files_out), files)
    _same("refused", result.refused, ())


@_check
async def forbidden_file_names_are_refused_before_anything_runs(sandbox: Sandbox) -> None:
    """No absolute path, no parent, no control character, nothing in the out folder."""
    for name in ("/etc/x", "../x", "a/../../x", "a\nb", "", "out/x", "a//b", "./a", "x" * 300):
        try:
            await call(sandbox, "echo", files={name: b""})
        except ProfileError:
            continue
        raise NotConformantError(f"file name {name!r} was taken")


@_check
async def output_bytes_are_kept_as_they_are(sandbox: Sandbox) -> None:
    """Output need not be text."""
    result = await call(sandbox, "speak", stdout_hex="00ff1b5b324a80", stderr_hex="c328")

    _verdict(result, "ok")
    _same("stdout", result.stdout, bytes.fromhex("00ff1b5b324a80"))
    _same("stderr", result.stderr, b"\xc3\x28")


@_check
async def memory_over_the_limit_ends_in_oom(sandbox: Sandbox) -> None:
    """One process that touches more than the limit is killed, and memory is blamed."""
    result = await call(
        sandbox, "eat_memory", SandboxProfile(memory_bytes=64 * MEBIBYTE), total=512 * MEBIBYTE
    )

    if result.enforced.get("memory") == "per process":
        _verdict(result, "raised")
    else:
        _verdict(result, "oom")


@_check
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
        _true("not all may live", result.verdict == "oom" or result.value != 8)
        _true("memory is named", "oom" in result.limits_hit)


@_check
async def a_fork_bomb_is_capped(sandbox: Sandbox) -> None:
    """Processes are limited together, and the limit is blamed."""
    result = await call(sandbox, "fork_for_ever", SandboxProfile(processes=24, wall_seconds=20))

    _true("it did not end well", result.verdict in ("pids", "raised"))
    if result.enforced.get("processes", "group") == "group":
        _verdict(result, "pids")


@_check
async def ended_orphans_do_not_use_up_the_process_limit(sandbox: Sandbox) -> None:
    """Process 1 reaps."""
    result = await call(sandbox, "orphans", SandboxProfile(processes=16), count=100)

    _verdict(result, "ok")


@_check
async def processor_time_is_limited(sandbox: Sandbox) -> None:
    """A spinning process ends by its processor seconds, not by the wall clock."""
    result = await call(sandbox, "spin", SandboxProfile(cpu_seconds=1, wall_seconds=30))

    _verdict(result, "cpu")


@_check
async def each_writable_folder_has_its_size(sandbox: Sandbox) -> None:
    """Writing stops at the folder's size, and the disk is blamed."""
    profile = SandboxProfile(work_bytes=4 * MEBIBYTE, tmp_bytes=2 * MEBIBYTE)
    for folder in ("/work", "/tmp"):  # noqa: S108 - inside
        result = await call(sandbox, "fill", profile, folder=folder)

        _verdict(result, "disk")


@_check
async def file_entries_are_limited(sandbox: Sandbox) -> None:
    """A flood of empty files meets a limit, where the backend promises one."""
    result = await call(sandbox, "many_files", folder="/work", count=5000)

    _verdict(result, "ok")
    if result.enforced.get("files") != "not limited":
        _true("there is a limit", result.value < SandboxProfile().files)


@_check
async def descriptors_are_limited(sandbox: Sandbox) -> None:
    """Opening ends with EMFILE at the profile's number, and no limit can be raised."""
    result = await call(sandbox, "open_files", SandboxProfile(open_files=64))
    raised = await call(sandbox, "raise_limits")

    _verdict(result, "ok")
    _true("below the limit", 0 < result.value < 64)
    _same("raised limits", raised.value, [])


@_check
async def an_output_flood_ends_the_run(sandbox: Sandbox) -> None:
    """What fitted is kept; the run does not go on."""
    start = time.monotonic()
    result = await call(sandbox, "flood", SandboxProfile(output_bytes=100_000))

    _verdict(result, "output")
    _same("kept", result.stdout, b"x" * 100_000)
    _true("it says so", result.truncated)
    _true("soon", time.monotonic() - start < 10)


@_check
async def a_value_that_is_too_large_ends_the_run(sandbox: Sandbox) -> None:
    """The value has its own bound."""
    result = await call(sandbox, "big_value", SandboxProfile(value_bytes=1000), size=2000)

    _verdict(result, "output")
    _same("value", result.value, None)


@_check
async def the_deadline_kills_the_whole_tree(sandbox: Sandbox) -> None:
    """Ignored SIGTERM, a new session and a grandchild change nothing; output so far is kept."""
    mark = _mark()
    script = (
        f"trap '' TERM; setsid sh -c \"trap '' TERM; sleep {mark}\" & echo begun; sleep {mark}"
    )
    start = time.monotonic()
    result = await sandbox.run(
        CommandJob(("sh", "-c", script)), SandboxProfile(wall_seconds=1.0)
    )
    seconds = time.monotonic() - start

    _verdict(result, "timeout")
    _same("output", result.stdout, b"begun\n")
    _same("survivors", survivors(mark), [])
    _true("near the deadline", result.resources.wall_seconds < 1.0 + KILL_SECONDS)
    _true(f"soon after it ({seconds:.2f} s)", seconds < 1.0 + SLACK_SECONDS)


@_check
async def what_a_job_leaves_running_ends_with_it(sandbox: Sandbox) -> None:
    """A background process does not outlive the job, nor hold it up."""
    mark = _mark()
    script = f"setsid sleep {mark} & echo done"
    result = await sandbox.run(
        CommandJob(("sh", "-c", script)), SandboxProfile(wall_seconds=10)
    )

    _verdict(result, "ok")
    _same("survivors", survivors(mark), [])
    _true("not held up", result.resources.wall_seconds < 5)


@_check
async def cancelling_the_caller_kills_the_job(sandbox: Sandbox) -> None:
    """A cancelled run leaves nothing behind."""
    mark = _mark()
    with anyio.move_on_after(1.0) as scope:
        await sandbox.run(CommandJob(("sleep", mark)), SandboxProfile(wall_seconds=60))

    _true("cancelled", scope.cancelled_caught)
    _same("survivors", survivors(mark), [])


@_check
async def there_is_no_network(sandbox: Sandbox) -> None:
    """A loopback interface, no route, no names."""
    result = await call(sandbox, "network")

    _verdict(result, "ok")
    _same("network", result.value, {"reached": [], "resolved": False, "interfaces": ["lo"]})


@_check
async def the_environment_is_the_profiles_own(sandbox: Sandbox) -> None:
    """Nothing of the caller's environment is inside, not even in process 1."""
    canary = secrets.token_hex(16)
    os.environ["WARDLINE_CANARY"] = canary
    try:
        result = await call(
            sandbox, "environment", SandboxProfile(environment={"ANSWER": "42"})
        )
    finally:
        del os.environ["WARDLINE_CANARY"]

    _verdict(result, "ok")
    own = {"PATH", "HOME", "TMPDIR", "LANG", "ANSWER"}
    _same("variables", set(result.value["own"]), own)
    _true("no canary", canary not in json.dumps(result.value))


@_check
async def only_its_own_folders_are_writable(sandbox: Sandbox) -> None:
    """Files can be made below /work and /tmp and nowhere else."""
    result = await call(sandbox, "writable_anywhere")

    _verdict(result, "ok")
    _same(
        "writable",
        [place for place in result.value if not place.startswith(("/work", "/tmp"))],  # noqa: S108
        [],
    )


@_check
async def only_regular_files_come_out(sandbox: Sandbox) -> None:
    """Links, pipes, sockets, sparse giants and odd names stay behind, each with a reason."""
    result = await call(sandbox, "plant")

    _verdict(result, "ok")
    _same("files", dict(result.files_out), {"good.txt": b"good"})
    refused = {entry.path for entry in result.refused}
    wanted = {"link", "folder-link", "dangling", "fifo", "socket", "first-name", "second-name"}
    _true(f"refused {sorted(refused)}", wanted | {"sparse", "closed"} <= refused)
    _true("odd names are escaped", all(path.isprintable() for path in refused))
    _true("all are named", len(refused) == 12)


@_check
async def an_out_folder_that_became_a_link_is_not_followed(sandbox: Sandbox) -> None:
    """Nothing comes out, and that is said."""
    result = await call(sandbox, "replace_out_folder")

    _same("files", dict(result.files_out), {})
    _true("refused", len(result.refused) == 1)


@_check
async def the_job_cannot_pretend(sandbox: Sandbox) -> None:
    """Exit codes, signals and forged answers do not become another verdict."""
    for code in (1, 124, 137, 255):
        for hard in (False, True):
            result = await call(sandbox, "leave", code=code, hard=hard)
            _verdict(result, "exit")
            _same("code", result.exit_code, code)
    _verdict(await call(sandbox, "leave", code=0, hard=True), "exit")
    killed = await call(sandbox, "die", number=9)
    _verdict(killed, "signal")
    _same("signal", killed.signal, 9)
    _verdict(await call(sandbox, "die", number=11), "signal")
    for text in ("no json", "[]", '{"value": NaN}', '{"value": 1, "x": 2}', "[" * 60000):
        _verdict(await call(sandbox, "forge", text=text), "raised")


@_check
async def the_job_cannot_touch_its_supervisor(sandbox: Sandbox) -> None:
    """Process 1 inside is closed to the job and deaf to its signals."""
    result = await call(sandbox, "attack_runner")

    _verdict(result, "ok")
    _true(f"all refused: {result.value}", "open" not in result.value.values())


@_check
async def nothing_is_left_for_the_next_run(sandbox: Sandbox) -> None:
    """Two runs share no file and no variable."""
    first = await call(sandbox, "leave_state")
    second = await call(sandbox, "leave_state")
    variables = await call(sandbox, "environment")

    _same("found", (first.value, second.value), ([], []))
    _true("no variable", "MARK" not in variables.value["own"])


@_check
async def runs_side_by_side_do_not_mix(sandbox: Sandbox) -> None:
    """Eight at once, each with its own answer and files."""
    results: dict[int, ExecResult] = {}

    async def one(number: int) -> None:
        files = {"mine.txt": str(number).encode()}
        results[number] = await call(sandbox, "copy_files", files=files)

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(one, number)

    for number, result in results.items():
        _verdict(result, "ok")
        _same("files", dict(result.files_out), {"mine.txt": str(number).encode()})


@_check
async def the_record_says_what_stood(sandbox: Sandbox) -> None:
    """`enforced` is plain JSON and names the walls."""
    profile = SandboxProfile(open_files=99)
    result = await call(sandbox, "identity", profile)

    said = json.loads(json.dumps(dict(result.enforced)))
    _same("backend", said["backend"], sandbox.name)
    _same("profile", said["profile"], profile.digest)
    _same("limit", said["limits"]["open_files"], 99)
    _true("system calls", said["seccomp"].startswith("sha256:"))


def survivors(mark: str) -> list[int]:
    """Processes of this machine whose command line has `mark`, which only the job knew."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = place.read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in arguments:
            found.append(int(place.parent.name))
    return found


def _mark() -> str:
    """A number of seconds nobody else sleeps."""
    return f"1000.{secrets.randbelow(10**12):012d}"
