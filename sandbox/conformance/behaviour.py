"""What a well-behaved job gets: its input, its value, its files, and nothing of others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio

from sandbox.conformance.harness import (
    NotConformantError,
    attempt,
    call,
    check,
    ended,
    filtered,
    same,
    true,
)
from sandbox.errors import ProfileError, SandboxUnavailableError
from sandbox.job import CommandJob, PythonJob
from sandbox.profile import SandboxProfile

if TYPE_CHECKING:
    from sandbox.protocol import Sandbox
    from sandbox.result import ExecResult


@check
async def a_python_function_gets_json_and_returns_json(sandbox: Sandbox) -> None:
    """Arguments and value cross the boundary unchanged, for functions and coroutine functions."""
    value: dict[str, Any] = {
        "text": "gr\u00fc\u00df \U0001f512\n\0",
        "numbers": [0, -1, 2**63, 1.5],
        "none": None,
    }
    for function in ("echo", "echo_later"):
        result = await call(sandbox, function, **value)

        ended(result, "ok")
        same("value", result.value, value)


@check
async def source_text_is_run_inside(sandbox: Sandbox) -> None:
    """A function of the text is called, whatever else stands in it; its own imports work."""
    source = (
        "import json\nfrom dataclasses import dataclass\n\n@dataclass\nclass Row:\n    n: int\n\n"
        "async def total(rows):\n    return [json.dumps(sum(Row(n).n for n in rows)), __name__]\n"
    )
    result = await sandbox.run(
        PythonJob("total", {"rows": [1, 2, 3]}, source=source), SandboxProfile()
    )

    ended(result, "ok")
    same("value", result.value, ["6", "__source__"])


@check
async def a_fault_in_source_text_is_told_with_its_lines(sandbox: Sandbox) -> None:
    """Type, message and a bounded traceback; nothing of it is compiled outside."""
    deep = "def f(n=900):\n    return f(n - 1) if n else [1][n + 3]\n"
    for source, kind, line in (
        ("def f():\n    return 1 / 0\n", "ZeroDivisionError", "return 1 / 0"),
        ("def f(:\n", "SyntaxError", "def f(:"),
        ("x = 1\n", "AttributeError", "no attribute 'f'"),
        ("raise LookupError('x' * 100000)\n", "LookupError", "xxxx"),
        (deep, "IndexError", "list index out of range"),
    ):
        result = await sandbox.run(PythonJob("f", source=source), SandboxProfile())

        ended(result, "raised")
        same("type", result.error and result.error.type, kind)
        trace = result.error.traceback if result.error else ""
        true(f"its line is in {trace!r}", line in trace and len(trace) <= 4000)


@check
async def a_requirement_that_is_not_met_is_refused_before_the_call(sandbox: Sandbox) -> None:
    """Nothing runs, and the message says what to do."""
    job = PythonJob("f", source="def f():\n    return 1\n", requires=("no-such-package>=2",))
    try:
        await sandbox.run(job, SandboxProfile())
    except SandboxUnavailableError as err:
        true(f"a remedy: {err}", err.remedy)
    else:
        raise NotConformantError("a job ran without what it requires")


@check
async def an_exception_is_reported_by_type_and_message(sandbox: Sandbox) -> None:
    """A raising function is `raised`, with its type and message."""
    result = await call(sandbox, "fail", message="no such thing")

    ended(result, "raised")
    same("error", (result.error and result.error.type), "LookupError")
    same("message", (result.error and result.error.message), "no such thing")


@check
async def a_command_gets_argv_and_input(sandbox: Sandbox) -> None:
    """Arguments are not read by a shell; standard input and bytes arrive as they are."""
    stdin = bytes(range(256)) * 512
    result = await sandbox.run(CommandJob(("cat",), stdin), SandboxProfile())
    quoted = await sandbox.run(CommandJob(("printf", "%s", "$(id) `id` ; *")), SandboxProfile())
    missing = await sandbox.run(CommandJob(("no-such-program",)), SandboxProfile())

    ended(result, "ok")
    same("output", result.stdout, stdin)
    same("argument", quoted.stdout, b"$(id) `id` ; *")
    ended(missing, "raised")


@check
async def files_go_in_and_come_out(sandbox: Sandbox) -> None:
    """Files are given by relative path and come back from the out folder byte for byte."""
    files = {"a.bin": bytes(range(256)) * 1024, "deep/er/b.txt": b"", "c d \u00e9.txt": b"x"}
    result = await call(sandbox, "copy_files", files=files)

    ended(result, "ok")
    same("files", dict(result.files_out), files)
    same("refused", result.refused, ())


@check
async def forbidden_file_names_are_refused_before_anything_runs(sandbox: Sandbox) -> None:
    """No absolute path, no parent, no control character, nothing in the out folder."""
    for name in ("/etc/x", "../x", "a/../../x", "a\nb", "", "out/x", "a//b", "./a", "x" * 300):
        try:
            await call(sandbox, "echo", files={name: b""})
        except ProfileError:
            continue
        raise NotConformantError(f"file name {name!r} was taken")


@check
async def output_bytes_are_kept_as_they_are(sandbox: Sandbox) -> None:
    """Output need not be text."""
    result = await call(sandbox, "speak", stdout_hex="00ff1b5b324a80", stderr_hex="c328")

    ended(result, "ok")
    same("stdout", result.stdout, bytes.fromhex("00ff1b5b324a80"))
    same("stderr", result.stderr, b"\xc3\x28")


@check
async def nothing_is_left_for_the_next_run(sandbox: Sandbox) -> None:
    """Two runs share no file and no variable."""
    first = await attempt(sandbox, "leave_state")
    second = await attempt(sandbox, "leave_state")
    variables = await attempt(sandbox, "environment")

    same("found", (first.value, second.value), ([], []))
    true("no variable", "MARK" not in variables.value["own"])


@check
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
        ended(result, "ok")
        same("files", dict(result.files_out), {"mine.txt": str(number).encode()})


@check
async def the_record_says_what_stood(sandbox: Sandbox) -> None:
    """`enforced` is plain JSON and names the limits."""
    profile = SandboxProfile(open_files=99)
    result = await attempt(sandbox, "identity", profile)

    said = json.loads(json.dumps(dict(result.enforced)))
    same("backend", said["backend"], sandbox.name)
    same("profile", said["profile"], profile.digest)
    same("limit", said["limits"]["open_files"], 99)
    filtered(said)
