"""`wardline hook AGENT`: hands the event of one call on, and prints what is answered.

Started before each call of an agent, so it imports little more than an interpreter has loaded
already: it reads no JSON, no settings and no policy. Who answers, the daemon of the settings or
the helper of this user (`helper`), was found out once and noted (`answerers`); the note holds as
long as the settings file, and the list of those that are trusted, are the very files they were.

Whatever goes wrong is a refusal: an agent lets a call pass when its hook fails in any way but
exit code 2, or is not over in the time the agent gives it, so the deadline here is shorter than
the one `wardline init --coding-agent` writes. A question that was sent is never sent again: who
died over it may have answered it on record.

Not protected from: a hook that the agent does not start, because its settings do not name it,
its user switched hooks off, or its version lets a kind of call pass without one; and a program
of this user's that listens as the helper would, which could trust settings of its own as well.
"""

from __future__ import annotations

# Modules in C, for `signal`, `socket` and `base64` load `enum`, `re` and more around them.
import _signal  # type: ignore[import-not-found]
import _socket
import binascii
import os
import time

from permissions.coding.noted import (
    VERSION,
    HookError,
    circumstances,
    connected,
    note_folder,
    noted,
    peer_uid,
    settings_path,
    stamp,
)

TYPE_CHECKING = False  # `typing` costs as much as all the rest
if TYPE_CHECKING:
    from typing import NoReturn

AGENTS = ("claude-code", "codex", "gemini", "cursor")
DEADLINE_SECONDS = 20
MAX_EVENT = 5 * 1024 * 1024
"""Bytes of one event; an edit of a large file is the longest there is."""
MAX_ANSWER = 1 << 20
BLOCKED = 2
"""The exit code by which all four agents do not make the call; every other failure lets it pass."""
STALE = b"stale"
"""A helper's answer that it was started under other circumstances, and ends."""
_SAID_FIRST, _SAID_LAST = b'{"id":1,"answer":"', b'"}'
_STOPPED = (
    "Wardline: the call is not made, because nobody could say whether it may be: {}."
    " Tell the person; `wardline doctor` says what is wrong."
)


Answer = tuple[str, str, int]
"""What the command prints on standard output and error, and its exit code."""


def main(words: list[str]) -> NoReturn:
    """Answers one event and ends the process.

    Args:
        words: name of the agent, `--ask` and `--outcomes`.
    """
    until = time.monotonic() + DEADLINE_SECONDS
    try:
        _signal.signal(_signal.SIGALRM, _too_late)
        _signal.alarm(
            max(0, DEADLINE_SECONDS) + 2
        )  # what waits deeper down than `until` is seen
        stdout, stderr, exit_code = asked(question_of(words, _event()), until)
        _write(1, stdout)
        _write(2, stderr)
    except BaseException as err:  # noqa: BLE001 - the boundary: whatever went wrong refuses
        _block(str(err) or type(err).__name__)
    os._exit(exit_code)


def asked(question: bytes, until: float) -> Answer:
    """The answer of the daemon or of this user's helper.

    Args:
        question: as a frame holds it.
        until: on `time.monotonic`; then it is given up.

    Raises:
        HookError: there is no answer; the call must not be made.
        Exception: settings or policies that cannot be used, so that nobody can be asked.
    """
    if address := os.environ.get("WARDLINE_BROKER"):
        return from_daemon(address, question, until)
    file = settings_path()
    folder = note_folder(file)
    now = stamp(file)
    address = noted(folder, now)
    if address is None:
        from permissions.coding import answerers

        address = answerers.note(folder, now)
    if address:
        return from_daemon(address, question, until)
    while True:
        link = connected(folder)
        if link is None:
            from permissions.coding import answerers

            link = answerers.started(folder, until)
        answer = _exchanged(link, question, until)
        if answer is not None:
            return answer
        _require_time(until)
        time.sleep(0.02)  # it goes, and another one is started


def question_of(words: list[str], event: bytes) -> bytes:
    """The frame that asks about one event.

    Raises:
        HookError: no agent, or an option that there is not.
    """
    agent, options = words[0], words[1:]
    if agent not in AGENTS or not {*options} <= {"--ask", "--outcomes"}:
        raise HookError(
            f"`wardline hook` takes one of {', '.join(AGENTS)}, --ask and --outcomes; not"
            f" {' '.join(words)[:80]!r}"
        )
    said = {
        "agent": agent.encode(),
        "options": " ".join(options).encode(),
        "home": _coded(os.fsencode(os.path.expanduser("~"))),  # noqa: PTH111
        "circumstances": _coded(os.fsencode(circumstances())),
        "event": _coded(event),
    }
    members = b"".join(b',"%s":"%s"' % (k.encode(), v) for k, v in said.items())
    return b'{"id":1,"do":"hook","version":%d%s}' % (VERSION, members)


def _coded(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False)


def _event() -> bytes:
    parts, length = [], 0
    while part := os.read(0, 1 << 16):
        length += len(part)
        if length > MAX_EVENT:
            raise HookError(f"the event is longer than {MAX_EVENT} bytes")
        parts.append(part)
    return b"".join(parts)


def from_daemon(address: str, question: bytes, until: float) -> Answer:
    """The answer of the daemon at an address.

    Raises:
        HookError: there is none.
    """
    if not address.startswith("unix:/"):
        raise HookError(
            f"a hook reaches the daemon over a unix socket; broker = {address[:80]!r} is none"
        )
    path = address.removeprefix("unix:")
    folder = os.path.dirname(path)  # noqa: PTH120
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    number = -1
    try:
        # Its path is short enough for a socket's address, however long the folder's is.
        number = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        about = os.fstat(number)
        if about.st_mode & 0o022:
            raise HookError(f"{folder} can be written by others; chmod go-w {folder}")
        link.settimeout(5)
        link.connect(f"/proc/self/fd/{number}/{os.path.basename(path)}")  # noqa: PTH119
        if (uid := peer_uid(link)) not in (0, os.geteuid(), about.st_uid):
            raise HookError(f"who listens on {path} is user {uid}, to whom its folder is not")
        answer = _exchanged(link, question, until)
    except OSError as err:
        raise HookError(
            f"no broker listens on {path} ({err.strerror}); start it: wardline serve"
        ) from err
    finally:
        link.close()
        if number >= 0:
            os.close(number)
    if answer is None:
        raise HookError("the daemon answers as a helper does")
    return answer


def _exchanged(link: _socket.socket, question: bytes, until: float) -> Answer | None:
    """The answer to one question; None from a helper that is stale, and decided nothing."""
    try:
        _require_time(until, link)
        link.sendall(len(question).to_bytes(4, "big") + question)
        length = int.from_bytes(_exactly(link, 4, until), "big")
        if length > MAX_ANSWER:
            raise HookError("the broker sent an answer that is too long")
        data = _exactly(link, length, until)
    except OSError as err:
        raise HookError(f"the broker does not answer: {err}") from err
    finally:
        link.close()
    return _read(data)


def _read(data: bytes) -> Answer | None:
    said = data.removeprefix(_SAID_FIRST).removesuffix(_SAID_LAST)
    try:
        if len(said) + len(_SAID_FIRST) + len(_SAID_LAST) != len(data):
            raise HookError(_refusal(data))
        told = binascii.a2b_base64(said, strict_mode=True)
        if told == STALE:
            return None
        code, first = told[0], int.from_bytes(told[1:5], "big")
        if code not in (0, BLOCKED) or first > len(told) - 5:
            raise HookError("the broker's answer is none to a hook")
        return told[5 : 5 + first].decode(), told[5 + first :].decode(), code
    except (ValueError, IndexError) as err:
        raise HookError(f"the broker's answer is none to a hook ({err})") from err


def _refusal(data: bytes) -> str:
    """Why the broker does not serve; whatever it said is no permission."""
    import json

    try:
        return str(json.loads(data)["error"]["text"])[:1000]
    except (ValueError, KeyError, TypeError):
        return "the broker's answer is none to a hook"


def _exactly(link: _socket.socket, length: int, until: float) -> bytes:
    parts = []
    while length:
        _require_time(until, link)
        part = link.recv(min(length, 1 << 20))
        if not part:
            raise HookError("the broker has ended the connection")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _require_time(until: float, link: _socket.socket | None = None) -> None:
    left = until - time.monotonic()
    if left <= 0:
        raise HookError("the broker does not answer: it took too long")
    if link is not None:
        link.settimeout(left)


def _too_late(*_: object) -> None:
    _block(f"the answer took longer than {DEADLINE_SECONDS} s")


def _block(why: str) -> NoReturn:
    try:
        _write(2, _STOPPED.format(why.replace("\n", " ")[:1000]))
    finally:
        os._exit(BLOCKED)


def _write(descriptor: int, text: str) -> None:
    data = text.encode(errors="backslashreplace") + (b"\n" if text else b"")
    while data:
        data = data[os.write(descriptor, data) :]
