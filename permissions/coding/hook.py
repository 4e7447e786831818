"""`wardline hook AGENT`: reads the event of one call on standard input, and answers it.

Whatever goes wrong is a refusal in the agent's form: settings that are not there, an event that
is none, a broker that fails or does not answer in time. An agent lets a call pass when its hook
fails in any way but exit code 2, or is not over in the time the agent gives it, so the deadline
here is shorter than the one `wardline init --coding-agent` writes.

Not protected from: a hook that the agent does not start, because its settings do not name it,
its user switched hooks off, or its version lets a kind of call pass without one.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

from permissions.coding.dialects import DIALECTS, event_of
from permissions.coding.verdict import BLOCKED, EventError, Verdict

if TYPE_CHECKING:
    from permissions.coding.calls import Call
    from permissions.coding.dialects import Asked, Dialect

DEADLINE_SECONDS = 20
MAX_EVENT = 16 * 1024 * 1024
"""Bytes of one event; an edit of a large file is the longest there is."""
MAX_SESSION = 64
"""Characters of an agent's own name for a conversation."""
_STOPPED = (
    "Wardline: the call is not made, because nobody could say whether it may be: {}."
    " Tell the person; `wardline doctor` says what is wrong."
)


def main(words: list[str]) -> NoReturn:
    """Answers one event and ends the process.

    Args:
        words: name of the agent, and `--ask`.
    """
    until = time.monotonic() + DEADLINE_SECONDS
    try:
        signal.signal(signal.SIGALRM, _too_late)
        signal.alarm(DEADLINE_SECONDS + 2)  # what waits deeper down than `until` is looked at
        dialect, may_ask = _dialect(words)
        asked = read(dialect, sys.stdin.buffer.read(MAX_EVENT + 1))
        verdict = decided(dialect.name, asked, may_ask=may_ask and asked.attended, until=until)
        answer = dialect.answer(verdict, asked.event)
        _write(1, answer.stdout)
        _write(2, answer.stderr)
    except BaseException as err:  # noqa: BLE001 - the boundary: whatever went wrong refuses
        _block(str(err) or type(err).__name__)
    os._exit(answer.exit_code)


def _dialect(words: list[str]) -> tuple[Dialect, bool]:
    found = DIALECTS.get(words[0])
    if found is None or words[1:] not in ([], ["--ask"]):
        raise EventError(
            f"`wardline hook` takes one of {', '.join(DIALECTS)}, and --ask; not"
            f" {' '.join(words)[:80]!r}"
        )
    return found, words[1:] == ["--ask"]


def read(dialect: Dialect, data: bytes) -> Asked:
    """The event on standard input.

    Raises:
        EventError: it is none of this agent's, or too long.
    """
    if len(data) > MAX_EVENT:
        raise EventError(f"the event is longer than {MAX_EVENT} bytes")
    try:
        return dialect.read(event_of(data.decode()))
    except UnicodeDecodeError as err:
        raise EventError("the event is not UTF-8") from err


def decided(agent: str, asked: Asked, *, may_ask: bool, until: float) -> Verdict:
    """What becomes of the call, by the daemon of the settings or by a broker of one's own.

    Raises:
        Exception: nobody could decide.
    """
    from permissions.coding.calls import call_of

    call = call_of(asked.call)
    opening = _opening(agent, asked)
    address = _daemon()
    if address is None:
        from permissions.coding import alone

        return alone.ask(opening, call, may_ask=may_ask, until=until)
    return _ask_daemon(address, opening, call, may_ask=may_ask, until=until)


def _ask_daemon(
    address: str, opening: dict[str, Any], call: Call, *, may_ask: bool, until: float
) -> Verdict:
    if not address.startswith("unix:/"):
        raise EventError(
            f"a hook reaches the daemon over a unix socket; broker = {address[:80]!r} is none"
        )
    from permissions.coding import thin

    path = address.removeprefix("unix:")
    return thin.ask(path, opening, call, may_ask=may_ask, until=until)


def _opening(agent: str, asked: Asked) -> dict[str, Any]:
    """A session of the agent's run, which is one for each conversation of the agent's."""
    return {
        "user": _account(),
        "agent": agent,
        "run": f"{agent}-{_short(asked.session)}",
        "approval_mode": "suspend",
    }


def _account() -> str:
    """The account this runs under, by what the kernel knows and no variable says."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _short(session: str) -> str:
    """The agent's name of a conversation, or where that is an odd one a digest of it."""
    bare = session.replace("-", "").replace("_", "")
    if len(session) <= MAX_SESSION and bare.isalnum() and session.isascii():
        return session
    import hashlib

    return hashlib.sha256(session.encode()).hexdigest()


def _daemon() -> str | None:
    """The address of the daemon, by variable or settings, which are the user's own.

    Raises:
        ConfigError: the settings are not trusted, or none.
        EventError: there are no settings at all.
    """
    if address := os.environ.get("WARDLINE_BROKER"):
        return address
    from permissions.setup.settings_file import settings_file
    from permissions.setup.trust import TrustList

    source = settings_file()
    if source is None:
        raise EventError("there is no wardline.toml here or above; run `wardline init`")
    source.require_trust(TrustList())
    address = source.document().get("broker")
    return address if isinstance(address, str) and address else None


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
