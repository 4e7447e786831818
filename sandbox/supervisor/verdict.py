"""From what the supervisor saw to a verdict. Pure, table-tested.

A limit is blamed only when the run did not end well: a job that met its process limit, coped
and returned a value is `ok`, with `pids` in `limits_hit`. The order of blame is the order of
certainty: what the supervisor did itself, then the kernel's counters, then the exit status.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sandbox.errors import FrameError, SandboxGoneError, SandboxProviderError
from sandbox.result import ExecResult, RaisedError, Resources
from sandbox.supervisor.wire import parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.result import Verdict
    from sandbox.supervisor.transcript import Transcript

Stopped = Literal["timeout", "output"]
"""Why the supervisor ended the run, when it did."""

SIGXFSZ = 25

COMPLAINT = 320
"""Characters of what a sandbox wrote about itself that go into a message."""


def complaint(diagnostics: str) -> str:
    """What a sandbox or its provider wrote about itself: one line, printable, and its end.

    A traceback names its cause last, and so does a runtime that gives up.
    """
    text = repr(" ".join(diagnostics.split()) or "it said nothing")[1:-1]
    return f"'{'...' * (len(text) > COMPLAINT)}{text[-COMPLAINT:]}'"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the provider counted outside the sandbox."""

    oom_kills: int = 0
    pids_denials: int = 0

    def since(self, before: Evidence) -> Evidence:
        """What was counted after `before`."""
        return Evidence(
            oom_kills=self.oom_kills - before.oom_kills,
            pids_denials=self.pids_denials - before.pids_denials,
        )


@dataclass(frozen=True, slots=True)
class Ending:
    """A run's end, ready for its `ExecResult`."""

    verdict: Verdict
    exit_code: int | None
    signal: int | None
    value: Any
    error: RaisedError | None
    limits_hit: tuple[str, ...]


def judge(
    transcript: Transcript,
    evidence: Evidence,
    *,
    stopped: Stopped | None,
    returns_value: bool,
    diagnostics: str = "",
) -> Ending:
    """How a run ended.

    Args:
        transcript: all the runner said.
        evidence: counters from outside.
        stopped: set when the supervisor killed it.
        returns_value: True for a Python job, which has to give a value.
        diagnostics: what the provider wrote, for the message of a failure.

    Raises:
        SandboxGoneError: the sandbox ended before it took the job, and no limit explains it.
        SandboxProviderError: it ended without a report, and no limit explains it.
    """
    report = transcript.report
    oom = evidence.oom_kills + (report.oom_kills if report else 0) > 0
    pids = evidence.pids_denials + (report.pids_denials if report else 0) > 0
    disk = report is not None and (report.disk_full or report.signal == SIGXFSZ)
    cpu = report is not None and report.cpu_limit
    hit = tuple(
        name
        for name, seen in (
            ("oom", oom),
            ("pids", pids),
            ("disk", disk),
            ("cpu", cpu),
            ("output", stopped == "output"),
            ("timeout", stopped == "timeout"),
        )
        if seen
    )
    if stopped is not None:
        return Ending(stopped, None, None, None, None, hit)
    if report is None:
        if oom:
            return Ending("oom", None, 9, None, None, hit)
        said = complaint(diagnostics)
        if not transcript.took_job:
            raise SandboxGoneError(f"the sandbox ended before it took its job: {said}")
        raise SandboxProviderError(f"the sandbox ended without a report: {said}")
    value, error, answered = _answer(bytes(transcript.value), returns_value=returns_value)
    ended = _by_itself(report.exit_code, answered=answered, returns_value=returns_value)
    if error is not None and ended == "ok":
        ended = "raised"
    if ended == "ok":
        return Ending("ok", report.exit_code, None, value, None, hit)
    blamed: Verdict = next(
        (limit for limit, seen in _blame(oom=oom, pids=pids, disk=disk, cpu=cpu) if seen), ended
    )
    return Ending(blamed, report.exit_code, report.signal, None, error, hit)


def _blame(*, oom: bool, pids: bool, disk: bool, cpu: bool) -> list[tuple[Verdict, bool]]:
    return [("oom", oom), ("cpu", cpu), ("pids", pids), ("disk", disk)]


def _by_itself(exit_code: int | None, *, answered: bool, returns_value: bool) -> Verdict:
    if exit_code is None:
        return "signal"
    # A Python job that leaves with 0 but without its value did not do what was asked.
    if exit_code != 0 or (returns_value and not answered):
        return "exit"
    return "ok"


def _answer(text: bytes, *, returns_value: bool) -> tuple[Any, RaisedError | None, bool]:
    """The value or the error in the job's answer, and whether there was one."""
    if not text:
        return None, None, False
    try:
        answer = parse_object(text)
    except FrameError:
        return None, RaisedError("ResultError", "the answer is not JSON"), True
    match answer:
        case {"value": value, **rest} if returns_value and not rest:
            return value, None, True
        case {"error": {"type": str(kind), "message": str(message), "traceback": str(trace)}}:
            return None, RaisedError(kind[:200], message[:4000], trace[-4000:]), True
        case _:
            return None, RaisedError("ResultError", "the answer has not the agreed form"), True


def execution_result(
    ending: Ending, transcript: Transcript, *, seconds: float, enforced: Mapping[str, object]
) -> ExecResult:
    """Ending, output and what was enforced, in one value."""
    report = transcript.report
    return ExecResult(
        verdict=ending.verdict,
        # Of a session that goes on nothing has exited.
        exit_code=None if transcript.awaits_next else ending.exit_code,
        signal=ending.signal,
        value=ending.value,
        error=ending.error,
        stdout=bytes(transcript.stdout),
        stderr=bytes(transcript.stderr),
        truncated=transcript.overflowed,
        files_out=transcript.files,
        refused=tuple(transcript.refused),
        limits_hit=ending.limits_hit,
        resources=Resources(
            wall_seconds=seconds,
            cpu_seconds=report.cpu_seconds if report else None,
            max_rss_bytes=report.max_rss_bytes if report else None,
        ),
        enforced={**enforced, "stateful": transcript.stateful},
    )
