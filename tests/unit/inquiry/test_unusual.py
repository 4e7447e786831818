"""What earlier calls of a tool did not do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.inquiry.unusual import Habits, unusual

if TYPE_CHECKING:
    from permissions.model import JsonObject


def recipient(address: str) -> JsonObject:
    return {"kind": "recipient", "argument": "to", "scheme": "email", "address": address}


def amount(minor: int, currency: str = "EUR") -> JsonObject:
    return {"kind": "amount", "argument": "amount", "currency": currency, "minor": minor}


def habits(*calls: list[JsonObject]) -> Habits:
    found = Habits()
    for targets in calls:
        found.take(targets)
    return found


def test_what_was_done_before_is_not_unusual() -> None:
    usual = [recipient("A@x.example"), amount(500)]

    assert unusual([recipient("a@X.example"), amount(500)], habits(usual)) == []


def test_a_new_recipient_and_a_larger_amount_are_told() -> None:
    seen = habits([recipient("a@x.example"), amount(500)])

    assert unusual([recipient("b@x.example"), amount(501)], seen) == [
        'first time to "b@x.example"',
        "5.01 EUR is more than ever before (5.00 EUR)",
    ]
    assert unusual([amount(5000)], seen)[0].endswith("10 times that")
    assert unusual([amount(1, "USD")], seen) == ["first time an amount in USD: 0.01 USD"]


def test_hosts_folders_programs_and_resources_are_known_again() -> None:
    host: JsonObject = {"kind": "host", "host": "api.example", "port": None, "scheme": "https"}
    path: JsonObject = {"kind": "path", "access": "write", "resolved": "/srv/a/b.txt"}
    command: JsonObject = {"kind": "command", "argv": ["git", "push"]}
    resource: JsonObject = {"kind": "resource", "type": "table", "name": "users"}
    every = [host, path, command, resource]

    assert unusual(every, habits(every)) == []
    assert unusual(every, habits([recipient("a")])) == [
        'first time at the host "api.example"',
        'first time it is to write in the folder "/srv/a"',
        'first time it is to start "git"',
        'first time on "table users"',
    ]
    # Reading a folder says nothing of writing into it.
    assert unusual([path], habits([{**path, "access": "read"}])) != []


def test_a_hostile_name_is_shown_as_text() -> None:
    (said,) = unusual([recipient("a\u202e\n<b>")], habits([]))

    assert said == 'first time to "a\\u202e\\n<b>"'
