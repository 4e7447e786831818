"""How the runner gets inside, and what it has in place of modules that cost too much."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import tempfile
import termios
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_values import json_values

from sandbox.backends.bubblewrap.launch import _is_open
from sandbox.guest.job import understood
from sandbox.guest.output import written
from sandbox.supervisor.bootstrap import python_arguments, runner_program

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSAL = "runner: only ever process 1 of a sandbox"


def start(sent: bytes) -> subprocess.CompletedProcess[bytes]:
    """A Python that is to become the runner, and to notice that it is in no sandbox."""
    return subprocess.run(
        [sys.executable, *python_arguments()],
        input=sent,
        capture_output=True,
        check=False,
        timeout=150,
    )


def test_the_compiled_runner_runs() -> None:
    """It is never compiled again: without its source it says the same."""
    program = runner_program()
    source = program.index(b"from __future__")

    ended = start(program[: source - 4] + (0).to_bytes(4, "big"))

    assert REFUSAL in ended.stderr.decode()


def test_a_python_with_another_byte_code_compiles_the_runner() -> None:
    program = runner_program()
    other = program[:4] + b"\0\0\r\n" + program[8:]

    ended = start(other)

    assert REFUSAL in ended.stderr.decode()


def test_a_channel_that_does_not_wait_is_made_to() -> None:
    """As gVisor hands it on: a read before there is something would end the sandbox."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)  # noqa: FBT003 - the socket module's signature
        ended = subprocess.Popen(
            [sys.executable, *python_arguments()],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.PIPE,
        )
        theirs.close()
        program = runner_program()
        ours.sendall(program[:100])
        while any(fcntl.ioctl(ours, termios.TIOCOUTQ, bytes(4))):  # until it was read
            os.sched_yield()
        ours.sendall(program[100:])
        _, said = ended.communicate(timeout=150)

    assert REFUSAL in said.decode()


@pytest.mark.parametrize("size", [0, 3, 8, 5000])
def test_a_runner_whose_supervisor_is_gone_leaves_quietly(size: int) -> None:
    ended = start(runner_program()[:size])

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


@given(st.dictionaries(st.text(max_size=20), json_values(), max_size=4))
def test_the_runner_writes_and_reads_what_json_does(document: dict[str, Any]) -> None:
    text = json.dumps(document, allow_nan=False)

    assert written(document) == text
    assert understood(text.encode()) == document


def circle() -> dict[str, Any]:
    document: dict[str, Any] = {}
    document["again"] = document
    return document


@pytest.mark.parametrize(
    ("document", "error"),
    [
        pytest.param({"value": float("nan")}, ValueError, id="NaN"),
        pytest.param({"value": float("-inf")}, ValueError, id="infinity"),
        pytest.param(circle(), ValueError, id="a circle"),
        pytest.param({"value": object()}, TypeError, id="an object"),
        pytest.param({"value": {(1, 2): 3}}, TypeError, id="a key that is none"),
    ],
)
def test_the_runner_refuses_what_json_refuses(
    document: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as by_json:
        json.dumps(document, allow_nan=False)
    with pytest.raises(error) as by_runner:
        written(document)

    assert str(by_runner.value) == str(by_json.value)


@pytest.fixture
def passable() -> Iterator[Path]:
    """A folder of this test's own that everybody may pass through, which pytest's are not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_a_source_in_a_closed_directory_needs_the_stage(passable: Path) -> None:
    closed = passable / "closed"
    (closed / "code").mkdir(parents=True)
    closed.chmod(0o755)
    (passable / "link").symlink_to(closed / "code")
    before = _is_open(closed / "code"), _is_open(passable / "link")
    closed.chmod(0o750)

    assert before == (True, True)
    assert not _is_open(closed / "code")
    assert not _is_open(passable / "link")
