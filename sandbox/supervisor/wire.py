"""The wire between the supervisor and the runner inside: typed, length-prefixed frames.

A frame is one kind byte, a 32-bit big-endian length, and the payload. Into the sandbox: `S`
the setup as JSON (what is known before the job), then `J` the job as JSON, `F` file bytes in
the order the job lists them, `I` standard input, `E` end; in a conversation further `I`
follow, and an empty one closes the input. Out of it: `H` hello, `A` (the setup
is done and the job may come), `j` (the job is there whole, and starts now), then `o` stdout, `e`
stderr and `v` value chunks, then `f` a file (path and size) with its `d` chunks or `r` a
refusal, and last `z` the report; or in a session `c`, the same after one job of several, and the
next may come. Without a `j` nothing of a job has run.

What comes out is read as hostile input, although the sandboxed code has no handle on the
channel: the grammar, every length and every path are checked before anything is kept.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.errors import FrameError, ProfileError
from sandbox.job import CommandJob, PythonJob, checked_path
from sandbox.supervisor.bootstrap import JOB_ENVIRONMENT, guest_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sandbox.conversation import Conversation
    from sandbox.job import Job
    from sandbox.profile import SandboxProfile
    from sandbox.session_limits import SessionLimits

HEADER = struct.Struct(">cI")
CHUNK = 65536
MAX_FRAME = CHUNK
GRACE_SECONDS = 5.0
"""Beyond a limit of time, after which a runner leaves whatever the supervisor does."""
KINDS_OUT = frozenset(b"HAjoevfdrzc")


class FrameReader:
    """Cuts a byte stream into `(kind, payload)`; holds at most one frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """The frames completed by `data`.

        Raises:
            FrameError: an unknown kind or a length over `MAX_FRAME`.
        """
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            kind, size = HEADER.unpack_from(self._buffer)
            if kind[0] not in KINDS_OUT:
                raise FrameError(f"the sandbox sent a frame of unknown kind {kind!r}")
            if size > MAX_FRAME:
                raise FrameError(
                    f"the sandbox sent a frame of {size} bytes; {MAX_FRAME} is most"
                )
            end = HEADER.size + size
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[HEADER.size : end])
            del self._buffer[:end]
            yield kind.decode("ascii"), payload

    @property
    def is_between_frames(self) -> bool:
        """True when the stream may end here."""
        return not self._buffer


def frame(kind: str, payload: bytes) -> bytes:
    """One frame."""
    return HEADER.pack(kind.encode("ascii"), len(payload)) + payload


def encode_setup(
    profile: SandboxProfile,
    *,
    code_roots: int,
    directory: str,
    preload: Sequence[str],
    rlimits: Mapping[str, int | None],
    session: SessionLimits | None = None,
    is_conversation: bool = False,
) -> Iterator[bytes]:
    """The frames that make a runner ready for a job of this profile.

    Args:
        profile: the limits.
        code_roots: how many of them are mounted below `/code`.
        directory: what the job starts in.
        preload: `module` or `module:attribute.path`, looked up before the job comes.
        rlimits: resource limits the runner sets on the job; None leaves one alone.
        session: limits of a session, whose interpreter lives on after a job.
        is_conversation: whether the job is spoken with while it runs.
    """
    document: dict[str, Any] = {
        "environment": {**JOB_ENVIRONMENT, **profile.environment},
        "rlimits": dict(rlimits),
        "files_out": profile.files,
        "files_out_bytes": profile.files_out_bytes,
        "code_roots": code_roots,
        "directory": directory,
        "preload": list(preload),
        "value_bytes": profile.value_bytes,
    }
    if session is not None:
        document["program"] = guest_program("session")
        document["session"] = {
            "idle_seconds": session.idle_seconds + GRACE_SECONDS,
            "total_seconds": session.total_seconds + GRACE_SECONDS,
        }
    if is_conversation:
        document["program"] = guest_program("conversation")
    yield from _chunks("S", json.dumps(document).encode("ascii"))
    yield frame("S", b"")


@dataclass(frozen=True, slots=True)
class EncodedJob:
    """A job as the frames that hand it to a runner.

    Attributes:
        job: what they were written from.
        files: likewise, put below the working directory.
        pieces: the frames.
        wall_seconds: time from handing it over to the kill.
        conversation: goes on while it runs; None when it has its input beforehand.
    """

    job: Job
    files: Mapping[str, bytes]
    pieces: tuple[bytes, ...]
    wall_seconds: float
    conversation: Conversation | None = None

    @property
    def returns_value(self) -> bool:
        """Whether it has to give a value."""
        return isinstance(self.job, PythonJob)

    @property
    def requires(self) -> tuple[str, ...]:
        """Distributions that have to be inside (PEP 508)."""
        return self.job.requires if isinstance(self.job, PythonJob) else ()


def encode_job(
    job: Job,
    profile: SandboxProfile,
    *,
    files: Mapping[str, bytes],
    conversation: Conversation | None = None,
) -> EncodedJob:
    """Writes a job down, in pieces of bounded size, before anything is started for it.

    Args:
        job: what to run.
        profile: its limits.
        files: relative path -> content, put below the working directory.
        conversation: goes on while it runs; None when it has its input beforehand.

    Raises:
        ProfileError: arguments that are not JSON, a file name that is refused, or more bytes
            than the working directory holds.
    """
    stdin = job.stdin if isinstance(job, CommandJob) else b""
    names = [checked_path(name) for name in files]
    if any(name.partition("/")[0] == "out" for name in names):
        raise ProfileError(
            "`out` is the folder for what comes back; give the file another name"
        )
    if sum(map(len, files.values())) + len(stdin) > profile.work_bytes:
        raise ProfileError("the files and input are larger than the profile's work_bytes")
    if len(names) > profile.files // 2:
        raise ProfileError(f"{len(names)} files are more than half of the profile's `files`")
    document: dict[str, Any] = {
        "files": [[name, len(files[name])] for name in names],
        "stdin": len(stdin),
        # Whatever becomes of the supervisor, or of an engine between it and the runner.
        "seconds": profile.wall_seconds + GRACE_SECONDS,
    }
    if isinstance(job, PythonJob):
        document |= {"entry": job.entry, "arguments": dict(job.arguments)}
        if job.source is not None:
            document["source"] = job.source
    else:
        document |= {"argv": list(job.argv)}
    pieces = [*_chunks("J", _job_text(document)), frame("J", b"")]
    for name in names:
        pieces += _chunks("F", files[name])
    pieces += [*_chunks("I", stdin), frame("E", b"")]
    return EncodedJob(job, files, tuple(pieces), profile.wall_seconds, conversation)


def _job_text(document: dict[str, Any]) -> bytes:
    try:
        return json.dumps(document, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as err:
        raise ProfileError(f"the job cannot be written as JSON: {type(err).__name__}") from err


def _chunks(kind: str, data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), CHUNK):
        yield frame(kind, data[start : start + CHUNK])


def parse_object(text: bytes) -> dict[str, Any]:
    """A JSON object from inside.

    Raises:
        FrameError: not JSON, not an object, NaN or an infinity in it, or nested too deeply.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as err:
        raise FrameError("the sandbox sent text that is not JSON") from err
    if not isinstance(value, dict):
        raise FrameError("the sandbox sent JSON that is not an object")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text[:40])
    return value
