"""The frames out of a sandbox are hostile input: kept within bounds, refused when odd."""

from __future__ import annotations

import contextlib
import json
import struct
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runner_words import BEGUN, GREETING, HELLO, TAKEN, report

from sandbox import (
    CommandJob,
    ProfileError,
    PythonJob,
    SandboxProfile,
)
from sandbox.backends.docker.stream import AttachedChannel
from sandbox.errors import FrameError, SandboxProviderError
from sandbox.supervisor.transcript import MAX_REFUSALS, Transcript
from sandbox.supervisor.verdict import COMPLAINT, Evidence, complaint, judge
from sandbox.supervisor.wire import (
    CHUNK,
    MAX_FRAME,
    FrameReader,
    encode_job,
    frame,
)

PROFILE = SandboxProfile(output_bytes=100, value_bytes=64, files=16, files_out_bytes=50)


def file(path: str, size: int) -> bytes:
    return frame("f", json.dumps({"path": path, "size": size}).encode())


def fed(*pieces: bytes) -> Transcript:
    transcript = Transcript(PROFILE)
    for piece in pieces:
        transcript.feed(piece)
    return transcript


@dataclass(frozen=True)
class Case:
    id: str
    pieces: tuple[bytes, ...]


REFUSED = [
    Case("output before the hello", (frame("o", b"x"),)),
    Case("a second hello", (BEGUN, BEGUN)),
    Case("output before it is ready", (GREETING, frame("o", b"x"))),
    Case("a report before it is ready", (GREETING, report())),
    Case("ready before the hello", (frame("A", b""),)),
    Case("ready twice", (HELLO, frame("A", b""))),
    Case("ready with a text", (GREETING, frame("A", b"x"))),
    Case("output before the job is taken", (HELLO, frame("o", b"x"))),
    Case("a report before the job is taken", (HELLO, report())),
    Case("a job taken before it is ready", (GREETING, TAKEN)),
    Case("a job taken twice", (BEGUN, TAKEN)),
    Case("a job taken with a text", (HELLO, frame("j", b"x"))),
    Case("a hello without a version", (frame("H", b"{}"),)),
    Case("a hello of text", (frame("H", b'{"python": ["3", "11"]}'),)),
    Case("an unknown kind", (BEGUN, b"Q\0\0\0\0")),
    Case("a frame that is too long", (BEGUN, struct.pack(">cI", b"o", MAX_FRAME + 1))),
    Case("a frame of four gigabytes", (struct.pack(">cI", b"H", 2**32 - 1),)),
    Case("file bytes without a file", (BEGUN, frame("d", b"x"))),
    Case("more bytes than announced", (BEGUN, file("a", 1), frame("d", b"xy"))),
    Case("an empty chunk", (BEGUN, file("a", 1), frame("d", b""))),
    Case("a report within a file", (BEGUN, file("a", 1), report())),
    Case("a file within a file", (BEGUN, file("a", 1), file("b", 1))),
    Case("the same file twice", (BEGUN, file("a", 0), file("a", 0))),
    Case("output after a file", (BEGUN, file("a", 0), frame("o", b"x"))),
    Case("an absolute path", (BEGUN, file("/etc/passwd", 0))),
    Case("a parent", (BEGUN, file("a/../../b", 0))),
    Case("a control character", (BEGUN, file("a\nb", 0))),
    Case("a lone surrogate", (BEGUN, file("a\ud800", 0))),
    Case("an empty path", (BEGUN, file("", 0))),
    Case("a negative size", (BEGUN, file("a", -1))),
    Case("a size that is a truth value", (BEGUN, frame("f", b'{"path": "a", "size": true}'))),
    Case("a file over the limit", (BEGUN, file("a", 51))),
    Case("files over the limit together", (BEGUN, file("a", 0), file("b", 51))),
    Case("too many files", (BEGUN, *(file(f"f{n}", 0) for n in range(17)))),
    Case(
        "too many refusals",
        (BEGUN, *[frame("r", b'{"path": "a", "reason": "b"}')] * (MAX_REFUSALS + 1)),
    ),
    Case("a refusal without a reason", (BEGUN, frame("r", b'{"path": "a"}'))),
    Case("no JSON", (BEGUN, frame("z", b"{"))),
    Case("NaN", (BEGUN, frame("z", b'{"exit_code": NaN}'))),
    Case("an infinite number", (BEGUN, frame("z", b'{"exit_code": 1e999}'))),
    Case("deep nesting", (BEGUN, frame("z", b"[" * 60_000))),
    Case("a list", (BEGUN, frame("z", b"[]"))),
    Case("a report with a key too many", (BEGUN, report(more=1))),
    Case("a report of another type", (BEGUN, report(oom_kills="0"))),
    Case("a report that ended twice", (BEGUN, report(signal=9))),
    Case("a report that never ended", (BEGUN, report(exit_code=None))),
    Case("a word after the report", (BEGUN, report(), frame("o", b"x"))),
    Case("a second report", (BEGUN, report(), report())),
    Case("a call's end of a sandbox that is used once", (BEGUN, report("c"))),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_what_a_runner_may_not_say_is_refused(case: Case) -> None:
    with pytest.raises(FrameError):
        fed(*case.pieces)


def kept(*pieces: bytes) -> Transcript:
    transcript = Transcript(PROFILE, stateful=True)
    transcript.feed(b"".join((BEGUN, *pieces)))
    return transcript


def test_each_call_of_a_session_has_its_own_transcript() -> None:
    """Nothing of one is in the next, and each has the whole of every limit."""
    first = kept(frame("o", b"x" * 90), file("a", 2), frame("d", b"ab"), report("c"))
    second = first.for_job()
    second.feed(TAKEN + frame("o", b"y" * 90) + file("a", 0) + report("c"))

    assert (first.awaits_next, second.awaits_next, second.is_finished) == (True, True, True)
    assert (bytes(second.stdout), second.files) == (b"y" * 90, {"a": b""})
    assert not second.overflowed
    assert second.python == (3, 11)


@pytest.mark.parametrize(
    "pieces",
    [
        (report("c"), frame("o", b"x")),
        (report("c"), report("c")),
        (report("c"), report()),
        (report("c"), BEGUN),
        (file("a", 1), report("c")),
    ],
    ids=["output", "a second end", "a report", "a hello", "within a file"],
)
def test_after_the_end_of_a_call_nothing_may_be_said(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(FrameError):
        kept(*pieces)


def test_half_a_word_after_the_end_of_a_call_is_noticed() -> None:
    transcript = kept(report("c"), b"o\0")

    with pytest.raises(FrameError, match="after the end"):
        transcript.for_job()


def test_what_is_used_up_takes_no_job() -> None:
    """A sandbox that is used once, and a session whose interpreter has ended."""
    assert fed(HELLO).for_job()
    for transcript in (fed(BEGUN, report()), kept(report())):
        with pytest.raises(SandboxProviderError, match="used once"):
            transcript.for_job()


@given(st.binary(max_size=3000))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    """Whatever comes, the only failure is `FrameError`, and what is kept stays bounded."""
    transcript = Transcript(PROFILE)
    with contextlib.suppress(FrameError):
        transcript.feed(BEGUN + data)
    assert len(transcript.stdout) + len(transcript.stderr) <= PROFILE.output_bytes
    assert len(transcript.value) <= PROFILE.value_bytes
    assert sum(map(len, transcript.files.values())) <= PROFILE.files_out_bytes


FRAMES = st.lists(
    st.one_of(
        st.builds(frame, st.sampled_from("HAoevfdrzc"), st.binary(max_size=80)),
        st.builds(file, st.text(max_size=8), st.integers(-1, 60)),
        st.builds(report, exit_code=st.sampled_from([0, 1, None])),
    ),
    max_size=30,
)


@given(FRAMES)
def test_no_order_of_frames_breaks_a_bound(frames: list[bytes]) -> None:
    """As above, with frames that look right."""
    transcript = Transcript(PROFILE)
    with contextlib.suppress(FrameError):
        for piece in [BEGUN, *frames]:
            transcript.feed(piece)
    assert len(transcript.stdout) + len(transcript.stderr) <= PROFILE.output_bytes
    assert sum(map(len, transcript.files.values())) <= PROFILE.files_out_bytes
    assert len(transcript.files) <= PROFILE.files


@given(st.lists(st.integers(1, 40), max_size=60))
def test_how_the_stream_is_cut_makes_no_difference(cuts: list[int]) -> None:
    """Frames are found whatever the pieces they come in."""
    stream = BEGUN + frame("o", b"out") + frame("e", b"err") + file("a", 3)
    stream += frame("d", b"ab") + frame("d", b"c") + report()
    transcript = Transcript(PROFILE)
    for cut in cuts:
        transcript.feed(stream[:cut])
        stream = stream[cut:]
    transcript.feed(stream)

    assert (bytes(transcript.stdout), bytes(transcript.stderr)) == (b"out", b"err")
    assert transcript.files == {"a": b"abc"}
    assert transcript.is_finished


def test_output_over_the_limit_is_cut_and_said() -> None:
    """The two streams share one limit."""
    transcript = fed(BEGUN, frame("o", b"x" * 60), frame("e", b"y" * 60))

    assert (len(transcript.stdout), len(transcript.stderr)) == (60, 40)
    assert transcript.overflowed


def test_refused_names_are_made_printable() -> None:
    """Terminal escapes in a file name do not reach a terminal."""
    said = json.dumps({"path": "a\x1b[2J\u202e", "reason": "x\n"}).encode()

    (refused,) = fed(BEGUN, frame("r", said)).refused

    assert refused.path == "a\\x1b[2J\\u202e"
    assert refused.reason == "x\\n"


def test_a_reader_holds_no_more_than_a_frame() -> None:
    reader = FrameReader()
    whole = frame("o", b"x" * CHUNK)

    assert [len(payload) for _, payload in reader.feed(whole * 3)] == [CHUNK] * 3
    assert reader.is_between_frames


def encoded(job: PythonJob | CommandJob, files: dict[str, bytes] | None = None) -> bytes:
    return b"".join(encode_job(job, SandboxProfile(), files=files or {}).pieces)


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        ({"x": float("nan")}, {}),
        ({"x": object()}, {}),
        ({}, {"../x": b""}),
        ({}, {"out/x": b""}),
        ({}, {"x": b"x" * (64 * 1024 * 1024 + 1)}),
        ({}, {f"f{n}": b"" for n in range(600)}),
    ],
    ids=["not a number", "no JSON", "parent", "out folder", "too large", "too many"],
)
def test_a_job_that_cannot_be_handed_over_is_refused(
    arguments: dict[str, Any], files: dict[str, bytes]
) -> None:
    with pytest.raises(ProfileError):
        encoded(PythonJob("m:f", arguments), files)


def test_a_job_goes_over_in_bounded_pieces() -> None:
    """A large file and input are cut into frames that can be sent one by one."""
    job = CommandJob(("cat",), b"i" * (2 * CHUNK + 1))
    pieces = encode_job(job, SandboxProfile(), files={"a": b"f" * CHUNK}).pieces

    assert max(map(len, pieces)) <= CHUNK + 5
    assert [piece[:1] for piece in pieces] == [b"J", b"J", b"F", b"I", b"I", b"I", b"E"]


class _Nothing:
    async def receive(self) -> bytes:
        return b""

    async def send(self, data: bytes) -> None:
        del data

    def is_quiet(self) -> bool:
        return True


def piece(source: int, data: bytes) -> bytes:
    return struct.pack(">BxxxI", source, len(data)) + data


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=20))), st.integers(1, 9))
def test_an_attach_stream_is_taken_apart(pieces: list[tuple[int, bytes]], step: int) -> None:
    """Stdout comes through, stderr is kept for messages, however the bytes arrive."""
    channel = AttachedChannel(_Nothing())
    stream = b"".join(piece(source, data) for source, data in pieces)
    out = b"".join(channel.take(stream[n : n + step]) for n in range(0, len(stream), step))

    assert out == b"".join(data for source, data in pieces if source == 1)
    assert bytes(channel.diagnostics) == b"".join(data for s, data in pieces if s == 2)


@pytest.mark.parametrize(
    "head", [b"\0\0\0\0\0\0\0\1", b"\3\0\0\0\0\0\0\1", b"\1\1\0\0\0\0\0\1"]
)
def test_an_odd_attach_header_is_refused(head: bytes) -> None:
    with pytest.raises(FrameError):
        AttachedChannel(_Nothing()).take(head + b"x")


NONE = Evidence()


@dataclass(frozen=True)
class Ended:
    id: str
    frames: tuple[bytes, ...]
    verdict: str
    stopped: Any = None
    evidence: Evidence = NONE
    returns_value: bool = True
    hit: tuple[str, ...] = ()


VALUE = frame("v", b'{"value": 1}')
RAISED = frame("v", b'{"error": {"type": "E", "message": "m", "traceback": "t"}}')
OOM, PIDS = Evidence(oom_kills=1), Evidence(pids_denials=1)

ENDINGS = [
    Ended("a value", (VALUE, report()), "ok"),
    Ended(
        "a value and a limit it coped with", (VALUE, report()), "ok", None, PIDS, hit=("pids",)
    ),
    Ended("an exception", (RAISED, report()), "raised"),
    Ended("no value", (report(),), "exit"),
    Ended("no value, but a command", (report(),), "ok", returns_value=False),
    Ended("a command that failed", (report(exit_code=1),), "exit", returns_value=False),
    Ended("a value, then a failure", (VALUE, report(exit_code=1)), "exit"),
    Ended("a signal", (report(exit_code=None, signal=11),), "signal"),
    Ended("a value, then a signal", (VALUE, report(exit_code=None, signal=9)), "signal"),
    Ended("a faked oom", (report(exit_code=137),), "exit"),
    Ended(
        "memory, counted outside",
        (report(exit_code=None, signal=9),),
        "oom",
        evidence=OOM,
        hit=("oom",),
    ),
    Ended("memory, counted inside", (report(exit_code=1, oom_kills=2),), "oom", hit=("oom",)),
    Ended("memory, process 1 died", (), "oom", evidence=OOM, hit=("oom",)),
    Ended("processes", (RAISED, report()), "pids", evidence=PIDS, hit=("pids",)),
    Ended("disk", (RAISED, report(disk_full=True)), "disk", hit=("disk",)),
    Ended("a file too large", (report(exit_code=None, signal=25),), "disk", hit=("disk",)),
    Ended(
        "processor",
        (report(exit_code=None, signal=24, cpu_limit=True),),
        "cpu",
        hit=("cpu",),
    ),
    Ended("timeout", (), "timeout", "timeout", hit=("timeout",)),
    Ended("timeout beats memory", (), "timeout", "timeout", OOM, hit=("oom", "timeout")),
    Ended("output", (VALUE,), "output", "output", hit=("output",)),
    Ended("an answer that is none", (frame("v", b"[1]"), report()), "raised"),
    Ended("an answer with more", (frame("v", b'{"value":1,"x":2}'), report()), "raised"),
    Ended("a value from a command", (VALUE, report()), "raised", returns_value=False),
]


@pytest.mark.parametrize("case", ENDINGS, ids=lambda case: case.id)
def test_an_end_has_its_verdict(case: Ended) -> None:
    ending = judge(
        fed(BEGUN, *case.frames),
        case.evidence,
        stopped=case.stopped,
        returns_value=case.returns_value,
    )

    assert ending.verdict == case.verdict
    assert ending.limits_hit == case.hit
    assert (ending.value is not None) is (case.verdict == "ok" and case.returns_value)


def test_an_end_that_nothing_explains_is_the_providers_fault() -> None:
    with pytest.raises(SandboxProviderError, match="died of x"):
        judge(fed(BEGUN), Evidence(), stopped=None, returns_value=True, diagnostics="died of x")


@pytest.mark.parametrize(
    ("diagnostics", "said"),
    [
        ("", "'it said nothing'"),
        ("  runner: x\n", "'runner: x'"),
        (
            'Traceback:\n  File "<string>"\nOSError: no\n',
            "'Traceback: File \"<string>\" OSError: no'",
        ),
        ("it's \x1b[2J\u202e", r"'it's \x1b[2J\u202e'"),
        ("x" * 5000 + " the cause", f"'...{'x' * (COMPLAINT - 10)} the cause'"),
        ("\0" * 5000, f"'...{(chr(92) + 'x00') * (COMPLAINT // 4)}'"),
    ],
    ids=["nothing", "a word", "lines", "escapes", "long", "long escapes"],
)
def test_what_a_sandbox_says_of_itself_is_quoted_short_and_printable(
    diagnostics: str, said: str
) -> None:
    """Its end is kept, where a cause stands; it may be the job's own word."""
    assert complaint(diagnostics) == said
    assert complaint(diagnostics).isprintable()
