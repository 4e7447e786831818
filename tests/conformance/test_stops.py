"""Both registers of stops: what is said is in force, is signed, and is never lost in silence."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from permissions.errors import StateError
from permissions.signing.keys import memory_signer
from permissions.stops.file import RECORDED, STOPS, FileStops, sign_again
from permissions.stops.register import InMemoryStops
from permissions.stops.scope import Scope
from permissions.stops.statement import Agreement, Resumption, Stop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from permissions.stops.register import StopRegister

SIGNER = memory_signer(b"s" * 32)


@pytest.fixture(params=["memory", "file"])
def register(request: pytest.FixtureRequest, tmp_path: Path) -> StopRegister:
    clock = count(1).__next__
    if request.param == "memory":
        return InMemoryStops(clock=clock)
    return FileStops(tmp_path, SIGNER, clock=clock, log="a log")


def test_what_is_stopped_is_in_force_until_it_is_lifted(register: StopRegister) -> None:
    assert register.in_force() == ()
    first = register.stop(Scope("run", "r-1"), reason="odd mails", by="olga (uid 7)")
    second = register.stop(Scope("all"), reason="key leaked", by="ben (uid 8)")
    assert register.in_force() == (first, second)
    agreed = Agreement("req-1", "shown", ("envelope",))
    lifted = register.resume(second, reason="new key", by="olga (uid 7)", agreement=agreed)
    assert register.in_force() == (first,)
    assert register.statements() == (first, second, lifted)
    assert (first.reason, first.by, first.scope) == (
        "odd mails",
        "olga (uid 7)",
        Scope("run", "r-1"),
    )
    assert (lifted.lifts, lifted.agreement) == (second.id, agreed)


def test_nothing_is_lifted_twice(register: StopRegister) -> None:
    stop = register.stop(Scope("tool", "mail"), reason="why", by="olga")
    register.resume(stop, reason="because", by="olga")
    with pytest.raises(StateError, match=r"stop-\w+ is not in force"):
        register.resume(stop, reason="because", by="olga")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_a_reason_is_given(register: StopRegister, reason: str) -> None:
    with pytest.raises(StateError, match="a reason has 1 to 500 characters"):
        register.stop(Scope("all"), reason=reason, by="olga")
    assert register.statements() == ()


def test_how_many_are_recorded_is_remembered(register: StopRegister) -> None:
    assert register.recorded == 0
    register.note_recorded(3)
    assert register.recorded == 3


def filed(folder: Path, *, signer: bytes = b"s" * 32, log: str = "a log") -> FileStops:
    return FileStops(folder, memory_signer(signer), clock=count(1).__next__, log=log)


def test_another_process_sees_it_at_once_and_after_a_restart(tmp_path: Path) -> None:
    mine, other = filed(tmp_path), filed(tmp_path)
    stop = mine.stop(Scope("agent", "bot"), reason="why", by="olga")
    assert other.in_force() == filed(tmp_path).in_force() == (stop,)
    other.resume(stop, reason="because", by="olga")
    assert mine.in_force() == ()
    assert (tmp_path / STOPS).stat().st_mode & 0o777 == 0o600


def test_a_statement_that_was_torn_says_nothing_and_the_next_is_whole(tmp_path: Path) -> None:
    mine = filed(tmp_path)
    stop = mine.stop(Scope("all"), reason="why", by="olga")
    whole = (tmp_path / STOPS).read_bytes()
    (tmp_path / STOPS).write_bytes(whole + whole[:40])
    assert filed(tmp_path).in_force() == (stop,)
    more = filed(tmp_path).stop(Scope("run", "r"), reason="why", by="olga")
    assert filed(tmp_path).in_force() == (stop, more)


def test_whoever_has_not_the_key_can_stop_and_lift_nothing(tmp_path: Path) -> None:
    stop = filed(tmp_path).stop(Scope("all"), reason="why", by="olga")
    forger = filed(tmp_path, signer=b"f" * 32)
    forger.resume(forger.in_force()[0], reason="because", by="olga")
    planted = forger.stop(Scope("run", "r"), reason="why", by="olga")
    found = filed(tmp_path).in_force()
    assert [(each.id, each.is_signed) for each in found] == [
        (stop.id, True),
        (planted.id, False),
    ]


def test_a_new_key_vouches_for_what_the_old_one_signed(tmp_path: Path) -> None:
    mine = filed(tmp_path)
    lifted = mine.stop(Scope("all"), reason="why", by="olga")
    mine.resume(lifted, reason="because", by="olga")
    stop = mine.stop(Scope("run", "r"), reason="why", by="olga")
    forger = filed(tmp_path, signer=b"f" * 32)
    forger.resume(stop, reason="because", by="olga")
    sign_again(tmp_path, SIGNER.public, memory_signer(b"n" * 32))
    found = filed(tmp_path, signer=b"n" * 32)
    assert [each.id for each in found.in_force()] == [stop.id]
    assert [each.is_signed for each in found.statements()] == [True, True, True, False]
    assert [each.id for each in filed(tmp_path).in_force()] == [stop.id]


def _gone(file: Path) -> None:
    file.unlink()


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes().split(b"\n")[0] + b"\n")


def _noise(file: Path) -> None:
    with file.open("ab") as lines:
        lines.write(b'{"payloadType": "x"}\n')


def _other_type(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"wardline.stop", b"wardline.else"))


@pytest.mark.parametrize("spoil", [_gone, _cut, _noise, _other_type])
def test_a_register_that_was_spoilt_stops_everything(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    mine = filed(tmp_path)
    mine.stop(Scope("run", "a"), reason="why", by="olga")
    mine.stop(Scope("run", "b"), reason="why", by="olga")
    assert len(mine.in_force()) == 2
    spoil(tmp_path / STOPS)
    with pytest.raises(StateError, match=r"stops\.jsonl"):
        mine.in_force()


def test_the_count_is_of_one_log(tmp_path: Path) -> None:
    filed(tmp_path).note_recorded(2)
    assert filed(tmp_path).recorded == 2
    assert filed(tmp_path, log="another").recorded == 0
    (tmp_path / RECORDED).write_text("two a log")
    with pytest.raises(StateError, match=r"stops\.recorded"):
        _ = filed(tmp_path).recorded


def test_statements_are_told_apart(register: StopRegister) -> None:
    stop = register.stop(Scope("all"), reason="why", by="olga")
    register.resume(stop, reason="because", by="olga")
    assert [type(each) for each in register.statements()] == [Stop, Resumption]
