"""The program around all commands: help, errors, JSON, an output that is closed or full."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from permissions.cli import main, root
from permissions.cli.program import exit_code, noun
from permissions.errors import (
    ApproverRefusedError,
    ConfigError,
    PdpTimeoutError,
    PlanError,
    PolicyLoadError,
    RequestClosedError,
    TraceIntegrityError,
)
from sandbox import SandboxUnavailableError

if TYPE_CHECKING:
    import typer

HEAVY = {
    "anyio",
    "cryptography",
    "docker",
    "jsonschema",
    "pydantic",
    "regorus",
    "rich",
    "sandbox",
}
"""Nothing of this may be loaded for `wardline --help`."""


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def wardline(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "permissions", *arguments],
        text=True,
        check=False,
        timeout=150,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def test_the_version_is_the_distributions() -> None:
    done = CliRunner().invoke(root.app, ["--version"])

    assert done.stdout == f"wardline {version('wardline')}\n"


@pytest.mark.parametrize("name", root.NOUNS)
def test_every_noun_says_what_it_does_before_and_after_it_is_loaded(name: str) -> None:
    done = CliRunner().invoke(root.app, [name, "--help"])

    assert done.exit_code == 0
    assert root.NOUNS[name] in " ".join(done.stdout.split())
    assert root.NOUNS[name] in " ".join(CliRunner().invoke(root.app, ["--help"]).stdout.split())


def test_no_argument_is_wrong_usage_and_shows_the_help() -> None:
    done = CliRunner().invoke(root.app, [])

    assert done.exit_code == 2
    assert all(name in done.output for name in root.NOUNS)


def test_an_error_of_ours_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["init", "--name", "Not A Name"])

    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert said.err.startswith("wardline: 'Not A Name' is no approver's name")
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("request", "list"),
        ("request", "show", "req-1"),
        ("trace", "list"),
        ("trace", "show", "call-1"),
        ("trace", "verify"),
        ("trace", "replay"),
        ("plan", "verify", "plan.json"),
        ("policy", "explain", "--input", "plan.json"),
        ("trust",),
    ],
    ids=" ".join,
)
def test_an_error_under_json_is_json(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{")

    done = CliRunner().invoke(root.app, [*arguments, "--json"])

    error = json.loads(done.stdout)["error"]
    assert done.exit_code == error["exit_code"] > 0
    assert error["message"]
    assert error["type"]
    assert done.stderr == ""


@pytest.mark.parametrize(
    "arguments", [("trace", "list", "--nothing"), ("nothing",), ("plan", "verify", "gone.json")]
)
def test_wrong_usage_is_2_in_text_and_in_json(arguments: tuple[str, ...]) -> None:
    text = CliRunner().invoke(root.app, arguments)
    asked = CliRunner().invoke(root.app, [*arguments, "--json"])

    assert (text.exit_code, text.stdout) == (2, "")
    assert "Usage: " in text.stderr
    assert (asked.exit_code, asked.stderr) == (2, "")
    assert json.loads(asked.stdout)["error"]["exit_code"] == 2


def test_what_may_steer_a_terminal_is_written_out() -> None:
    said = CliRunner().invoke(root.app, ["trust", "no\x1b[2Jfile"])

    assert said.exit_code == 2
    assert "\x1b" not in said.stderr


CODES = [
    (ConfigError("x"), 2),
    (ApproverRefusedError("x"), 3),
    (RequestClosedError("x"), 4),
    (TraceIntegrityError("x"), 5),
    (PdpTimeoutError("x"), 6),
    (SandboxUnavailableError("nothing", remedy="apt"), 6),
    (PolicyLoadError(["a.rego:1:1: wrong"]), 1),
    (PlanError("x"), 1),
]


@pytest.mark.parametrize(("err", "code"), CODES, ids=lambda each: type(each).__name__)
def test_each_error_has_its_exit_code(err: Exception, code: int) -> None:
    assert exit_code(err) == code


def program(err: Exception) -> typer.Typer:
    app = noun("Fail.")

    @app.command()
    def fail(*, json: bool = False) -> None:
        raise err

    @app.command()
    def other() -> None: ...

    return app


def test_an_error_of_a_task_group_is_the_error_in_it() -> None:
    grouped = ExceptionGroup("group", [ExceptionGroup("group", [ConfigError("no such key")])])

    done = CliRunner().invoke(program(grouped), ["fail"])

    assert (done.exit_code, done.stderr) == (2, "wardline: no such key\n")


def test_a_fault_of_ours_is_not_hidden() -> None:
    done = CliRunner().invoke(program(ZeroDivisionError()), ["fail"])

    assert isinstance(done.exception, ZeroDivisionError)


def test_a_file_that_cannot_be_read_is_a_sentence() -> None:
    err = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/secret")

    done = CliRunner().invoke(program(err), ["fail"])

    assert (done.exit_code, done.stderr) == (1, "wardline: /secret: Permission denied\n")


@pytest.mark.parametrize(
    "arguments", [("--help",), ("plan", "schema"), ("policy", "check", "--no-outside")]
)
def test_a_full_output_is_a_sentence(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = wardline(*arguments, stdout=full)

    assert (done.returncode, done.stderr) == (1, "wardline: No space left on device\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [("--help",), ("plan", "schema"), ("policy", "check", "--no-outside")]
)
def test_an_output_nobody_reads_is_a_sentence(arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = wardline(*arguments, stdout=writer)
    finally:
        os.close(writer)

    assert done.returncode == 1
    assert done.stderr == "wardline: nobody reads standard output any more\n"


def test_a_closed_output_is_a_sentence() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -P -m permissions plan schema >&-', sys.executable],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )

    assert done.returncode == 1
    assert done.stderr == "wardline: standard output is closed; nothing was done\n"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from permissions.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )

    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=150,
    )

    assert not HEAVY & set(eval(done.stderr))  # noqa: S307 - a list this test printed


def test_a_shell_completes_nouns_and_verbs() -> None:
    def completed(words: str) -> list[str]:
        done = wardline(
            env={
                **os.environ,
                "_WARDLINE_COMPLETE": "complete_bash",
                "COMP_WORDS": words,
                "COMP_CWORD": str(len(words.split())),
            }
        )
        return done.stdout.split()

    assert "request" in completed("wardline ")
    assert {"approve", "deny", "list"} <= set(completed("wardline request "))
