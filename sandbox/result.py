"""How a run ended, as the supervisor saw it. The code that ran has no say in the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.network.decision import EgressReport

Isolation = Literal["process", "container", "kernel"]
"""Boundaries in rising order: one kernel shared by namespaces, by a container engine, or not
shared (gVisor, a virtual machine)."""

Verdict = Literal[
    "ok", "raised", "exit", "signal", "timeout", "cpu", "oom", "pids", "disk", "output"
]
"""`ok`: a value came back, or the command ended with 0. `raised`: the function raised (or the
command could not be started); see `error`. `exit` and `signal`: it ended that way. The others
name the limit that ended it: wall clock, processor time, memory, processes, disk, output."""


@dataclass(frozen=True, slots=True)
class RaisedError:
    """The exception of the sandboxed function: text from inside, not to be trusted.

    Attributes:
        type: name of its class.
        message: its text, 4,000 characters at most.
        traceback: where it came from and its own lines, the last 4,000 characters.
    """

    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """An entry of the out folder that did not come out, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Resources:
    """What the run used; None where the backend cannot tell."""

    wall_seconds: float
    cpu_seconds: float | None
    max_rss_bytes: int | None
    """Largest resident set of one process, not the sum of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """The end of one run.

    Attributes:
        verdict: how it ended.
        exit_code: of the job's first process, when it ended by itself.
        signal: number of the signal that ended it.
        value: what a Python job returned (JSON); None otherwise.
        error: the exception of a Python job.
        stdout: at most `output_bytes` together with stderr.
        stderr: likewise.
        truncated: True when output or value went over its limit and was cut.
        files_out: regular files of the out folder, by relative path.
        refused: entries of the out folder that were left behind.
        limits_hit: limits that were touched, also when the job went on.
        resources: time and memory used.
        enforced: the limits and isolation that applied, as plain JSON, for a signed record.
        egress: each connection out, in the order of their ends.
    """

    verdict: Verdict
    exit_code: int | None = None
    signal: int | None = None
    value: Any = None
    error: RaisedError | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    truncated: bool = False
    files_out: Mapping[str, bytes] = field(default_factory=dict)
    refused: tuple[RefusedFile, ...] = ()
    limits_hit: tuple[str, ...] = ()
    resources: Resources
    enforced: Mapping[str, Any]
    egress: tuple[EgressReport, ...] = ()
