"""Everything one run said, kept within its bounds. Pure: bytes in, state out.

The legal order is hello, ready, the job taken, then output and value, then files, then one report,
then nothing. In a session a transcript holds one call, which ends with a report and leaves room
for the next.
Anything else is a `FrameError`. Going over the output or value limit is no error: it is the
run's own doing, `overflowed` says so, and what fitted is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.errors import FrameError, ProfileError, SandboxProviderError
from sandbox.job import checked_path
from sandbox.result import RefusedFile
from sandbox.supervisor.wire import FrameReader, parse_object

if TYPE_CHECKING:
    from sandbox.profile import SandboxProfile

MAX_REFUSALS = 1000


@dataclass(frozen=True, slots=True)
class Report:
    """What the runner saw of the job's end, from outside the job's reach."""

    exit_code: int | None
    signal: int | None
    cpu_seconds: float
    max_rss_bytes: int
    disk_full: bool
    cpu_limit: bool
    oom_kills: int
    pids_denials: int


class Transcript:
    """Collects one run's frames."""

    def __init__(self, profile: SandboxProfile, *, stateful: bool = False) -> None:
        self._profile = profile
        self.stateful = stateful
        """Whether another job may follow in the same interpreter: true in a session."""
        self.is_conversation = False
        """Whether stdout is taken as it comes, and of stderr the end is kept."""
        self._reader = FrameReader()
        self._file: tuple[str, int, bytearray] | None = None
        self._files_bytes = 0
        self._phase = "hello"
        self.python: tuple[int, int] | None = None
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.value = bytearray()
        self.files: dict[str, bytes] = {}
        self.refused: list[RefusedFile] = []
        self.report: Report | None = None
        self.overflowed = False

    @property
    def is_finished(self) -> bool:
        """True once the report is in."""
        return self.report is not None

    @property
    def awaits_next(self) -> bool:
        """True once one call of a session has ended and the sandbox waits for the next."""
        return self._phase == "between"

    def for_job(self) -> Transcript:
        """Where the next job's words go: this one while it is unused, else one of its own.

        Raises:
            FrameError: the sandbox spoke after the end of a call.
            SandboxProviderError: it is used up.
        """
        if self._phase == "ready":
            return self
        if not self.awaits_next:
            raise SandboxProviderError("the sandbox was used before, and is used once")
        if not self._reader.is_between_frames:
            raise FrameError("the sandbox spoke after the end of a call")
        following = Transcript(self._profile, stateful=True)
        following.python, following._phase = self.python, "ready"
        return following

    @property
    def is_ready(self) -> bool:
        """True once the runner waits for its job, or is beyond that."""
        return self._phase not in ("hello", "setup")

    @property
    def took_job(self) -> bool:
        """True once the job was there whole; before that nothing of it has run."""
        return self._phase not in ("hello", "setup", "ready")

    def feed(self, data: bytes) -> None:
        """Takes bytes off the channel.

        Raises:
            FrameError: they are not what a runner may say at this point.
        """
        for kind, payload in self._reader.feed(data):
            self._take(kind, payload)

    def _take(self, kind: str, payload: bytes) -> None:
        match kind:
            case "H" if self._phase == "hello":
                self._hello(payload)
            case "A" if self._phase == "setup" and not payload:
                self._phase = "ready"
            case "j" if self._phase == "ready" and not payload:
                self._phase = "output"
            case "o" | "e" | "v" if self._phase == "output":
                self._keep(kind, payload)
            case "f" if self._phase in ("output", "files") and self._file is None:
                self._open_file(payload)
            case "d" if self._phase == "files" and self._file is not None:
                self._file_bytes(payload)
            case "r" if self._phase in ("output", "files") and self._file is None:
                self._refusal(payload)
            case "z" if self._phase in ("output", "files") and self._file is None:
                self.report = _report(payload)
                self._phase = "finished"
            case "c" if (
                self.stateful and self._phase in ("output", "files") and self._file is None
            ):
                self.report = _report(payload)
                self._phase = "between"
            case _:
                raise FrameError(f"the sandbox sent {kind!r} where it may not ({self._phase})")

    def _hello(self, payload: bytes) -> None:
        version = parse_object(payload).get("python")
        match version:
            case [int(major), int(minor), *_]:
                self.python = (major, minor)
            case _:
                raise FrameError("the sandbox did not say which Python it runs")
        self._phase = "setup"

    def _keep(self, kind: str, payload: bytes) -> None:
        if kind == "v":
            room = self._profile.value_bytes - len(self.value)
            self.value += payload[:room]
        else:
            if self.is_conversation:
                self._hear(kind, payload)
                return
            room = self._profile.output_bytes - len(self.stdout) - len(self.stderr)
            (self.stdout if kind == "o" else self.stderr).extend(payload[:room])
        self.overflowed = self.overflowed or len(payload) > room

    def _hear(self, kind: str, payload: bytes) -> None:
        if kind == "o":
            self.stdout += payload
        else:
            self.stderr += payload
            del self.stderr[: -self._profile.output_bytes or None]

    def take_stdout(self) -> bytes:
        """What was said since the last time, which is then not kept."""
        heard = bytes(self.stdout)
        self.stdout.clear()
        return heard

    def _open_file(self, payload: bytes) -> None:
        self._phase = "files"
        head = parse_object(payload)
        path, size = head.get("path"), head.get("size")
        if not isinstance(path, str) or type(size) is not int or size < 0:
            raise FrameError("the sandbox sent a file without a path and a size")
        try:
            checked_path(path)
        except ProfileError as err:
            raise FrameError(f"the sandbox sent a forbidden file name {path!r:.120}") from err
        self._files_bytes += size
        if path in self.files or len(self.files) >= self._profile.files:
            raise FrameError("the sandbox sent a file twice, or too many files")
        if self._files_bytes > self._profile.files_out_bytes:
            raise FrameError("the sandbox sent more file bytes than the profile allows")
        self._file = (path, size, bytearray())
        self._close_file_if_whole()

    def _file_bytes(self, payload: bytes) -> None:
        if self._file is None or not payload:
            raise FrameError("the sandbox sent an empty file chunk")
        self._file[2].extend(payload)
        self._close_file_if_whole()

    def _close_file_if_whole(self) -> None:
        if self._file is None:
            return
        path, size, content = self._file
        if len(content) > size:
            raise FrameError("the sandbox sent more bytes of a file than it announced")
        if len(content) == size:
            self.files[path] = bytes(content)
            self._file = None

    def _refusal(self, payload: bytes) -> None:
        self._phase = "files"
        head = parse_object(payload)
        path, reason = head.get("path"), head.get("reason")
        if not isinstance(path, str) or not isinstance(reason, str):
            raise FrameError("the sandbox refused a file without saying which and why")
        if len(self.refused) >= MAX_REFUSALS:
            raise FrameError("the sandbox refused too many files one by one")
        self.refused.append(RefusedFile(ascii(path)[1:-1][:600], ascii(reason)[1:-1][:200]))


def _report(payload: bytes) -> Report:
    said: dict[str, Any] = parse_object(payload)
    wanted: dict[str, tuple[type, ...]] = {
        "exit_code": (int, type(None)),
        "signal": (int, type(None)),
        "cpu_seconds": (float, int),
        "max_rss_bytes": (int,),
        "disk_full": (bool,),
        "cpu_limit": (bool,),
        "oom_kills": (int,),
        "pids_denials": (int,),
    }
    if said.keys() != wanted.keys() or any(
        type(said[name]) not in kinds for name, kinds in wanted.items()
    ):
        raise FrameError("the sandbox's report is not in its form")
    if (said["exit_code"] is None) is (said["signal"] is None):
        raise FrameError("the sandbox's report names both or neither of exit code and signal")
    return Report(**said)
