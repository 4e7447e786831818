"""What came of a run in a sandbox, in the words of the broker and its record.

It has run: whatever fails on this side, what was seen of it (its output, its connections, the
limits it had) is in the outcome.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from permissions.errors import ToolFailedError
from permissions.execution.base import ObservedEffect, Outcome
from permissions.execution.carried import decoded, is_binary
from permissions.execution.file_copy import HIDDEN, LeftOut, paths_of, put_back

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from permissions.execution.base import Execution, Status
    from permissions.execution.file_copy import Inputs
    from permissions.execution.pending_changes import PendingChanges
    from permissions.execution.secret_files import SecretFiles
    from permissions.model import JsonObject
    from sandbox import ExecResult, SandboxError
    from sandbox.egress import EgressReport


def failed(err: SandboxError, *, verdict: str) -> Outcome:
    """No run. The error may quote a file's name or what a program said: it is sealed."""
    return Outcome(
        "provider_failed",
        detail=type(err).__name__,
        verdict=verdict,
        streams={"fault": str(err).encode(errors="backslashreplace")},
    )


def outcome_of(
    execution: Execution,
    result: ExecResult,
    changed: PendingChanges | None = None,
    *,
    copied: Copied | None = None,
    hidden: Sequence[str] = (),
) -> Outcome:
    """How a run ended. What it gives back by copy is in the workspace then.

    Args:
        execution: what was to be run.
        result: as its supervisor saw it.
        changed: what it did to its overlay, if it worked on one.
        copied: what went in by copy, if it did not.
        hidden: paths that it did not get to see for their secrets.
    """
    status: Status = "stopped"
    error: Exception | None = None
    value = None
    detail = ", ".join(result.limits_hit)
    left_out = tuple(LeftOut(path, HIDDEN) for path in hidden)
    if copied is not None:
        left_out += copied.inputs.left_out
    is_command = execution.definition.options.command is not None
    if result.error is None and (
        result.verdict == "ok" or (is_command and result.verdict == "exit")
    ):
        try:
            given = _said(result) if is_command else result.value
            if is_binary(execution.definition):
                given = decoded(given)
            value = execution.definition.output_adapter.validate_python(given)
        except Exception:  # noqa: BLE001 - a type may look at the value with code of its own
            status, detail = "provider_failed", "the value is not of the tool's return type"
        else:
            status, fault, lost = _given_back(execution, result, copied)
            detail, left_out = fault or detail, (*left_out, *lost)
    elif result.error is not None:
        name = result.error.type  # text from inside
        status, detail = "error", name if name.isidentifier() and name.isascii() else "raised"
        hint = "; name its folder in [sandbox] code_roots" if _is_missing(name) else ""
        if changed is not None and changed.changes is not None:
            hint += "; what it changed in the workspace was discarded"
        if left_out:
            hint += f"; not in its sandbox: {', '.join(_said_of(left_out))}"
        error = ToolFailedError(f"{name}: {result.error.message}{hint}")
    return Outcome(
        status,
        value=value if status == "ok" else None,
        error=error,
        detail=detail,
        verdict=result.verdict,
        streams={"stdout": result.stdout, "stderr": result.stderr},
        enforced=_exact(dict(result.enforced)),
        effects=(
            *(_connection(report) for report in result.egress),
            *([_files(left_out)] if left_out else []),
        ),
        notes=_said_of(left_out),
        pending=changed,
    )


@dataclass(frozen=True, slots=True)
class Copied:
    """What went into a run by copy.

    Attributes:
        contents: of the inputs, as the run got them.
        hidden: which files hold secrets.
    """

    inputs: Inputs
    contents: Mapping[str, bytes]
    hidden: SecretFiles | None = None


def _given_back(
    execution: Execution, result: ExecResult, copied: Copied | None
) -> tuple[Status, str, tuple[LeftOut, ...]]:
    """Files of a run by copy; what was done to an overlay is not decided here."""
    if copied is None:
        return "ok", "", ()
    lost = tuple(LeftOut(entry.path, entry.reason) for entry in result.refused)
    named = {target["relative"] for target in paths_of(execution, "write")}
    if any(each.path in named for each in lost):
        return "provider_failed", "a file could not come out of the sandbox", lost
    try:
        lost += put_back(execution, result.files_out, copied.contents, copied.hidden)
    except OSError as err:
        return "provider_failed", f"a file could not be put back: {err.strerror}", lost
    return "ok", "", lost


def _files(left_out: Sequence[LeftOut]) -> ObservedEffect:
    """What was left out, for the record. Paths are the workspace's words: sealed."""
    listed = [{"path": each.path, "reason": each.reason} for each in left_out]
    return ObservedEffect(
        {"kind": "files", "left_out": len(left_out)},
        {"left_out": json.dumps(listed, sort_keys=True).encode("ascii")},
    )


NOTES = 20
"""Paths that a result names; the record has them all."""


def _said_of(left_out: Sequence[LeftOut]) -> tuple[str, ...]:
    # A path may hold line breaks and characters that turn a text round.
    notes = tuple(f"{repr(each.path)[1:-1]}: {each.reason}" for each in left_out[:NOTES])
    more = len(left_out) - NOTES
    return (*notes, f"and {more} more paths") if more > 0 else notes


def unreadable(execution: Execution, result: ExecResult, err: OSError) -> Outcome:
    """A run whose changes nobody can tell, so that none of it counts."""
    said = f"what it changed cannot be read: {err.strerror}"
    ended = outcome_of(execution, result)
    return replace(ended, status="provider_failed", value=None, error=None, detail=said)


def _said(result: ExecResult) -> JsonObject:
    """How a command ended and what it said; bytes that are no text show as U+FFFD."""
    return {
        "exit_code": result.exit_code,
        "stdout": result.stdout.decode("utf-8", "replace"),
        "stderr": result.stderr.decode("utf-8", "replace"),
    }


def _is_missing(error: str) -> bool:
    return error == ModuleNotFoundError.__name__


def _connection(report: EgressReport) -> ObservedEffect:
    """One connection for the record. Its host and path are the tool's words: sealed."""
    asked = None if report.request is None else asdict(report.request)
    if asked and asked["path"]:
        asked["path"] = asked["path"][:2048]
    return ObservedEffect(
        {
            "kind": "connection",
            "connection": report.number,
            "permitted": report.permitted,
            "reason": report.reason,
            "end": report.end,
            "address": report.address,
            "bytes_out": report.bytes_out,
            "bytes_in": report.bytes_in,
            "duration_us": int(report.seconds * 1_000_000),
        },
        {"request": json.dumps(asked, sort_keys=True).encode("ascii")},
    )


def _exact(value: Any) -> Any:
    """Fractions as text: the record holds no floats."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return {str(key): _exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(item) for item in value]
    return value
