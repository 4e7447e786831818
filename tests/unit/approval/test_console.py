"""What an approver sees, and that nothing in it can lie to them."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

import pytest
from people import REASON, START, payment, signed_vote

from permissions.approval import console
from permissions.approval import text as text_of
from permissions.approval.model import AccessRequest, Background
from permissions.approval.votes import read_vote
from permissions.model import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable


def asked(arguments: object = None, **changes: str | None) -> AccessRequest:
    if arguments is not None:
        changes["arguments"] = json.dumps(arguments)
    return AccessRequest(
        id="ar-1",
        call=payment(**changes),
        reasons=(REASON,),
        created_at=START,
        expires_at=START + 900_000_000,
    )


def text(request: AccessRequest, *, full: bool = False, width: int = console.WIDTH) -> str:
    return console.page(request, now=START + 60_000_000, full=full, width=width).text


def test_the_page_says_who_what_why_and_until_when() -> None:
    vote = read_vote(signed_vote(asked(), "bob", note="looks fine"))
    page = text(replace(asked(), votes=(vote,)))

    assert page == "\n".join(
        [
            "What will run, exactly: send_payment",
            '  amount = "980.00"',
            '  recipient = "DE02120300000000202051"',
            "",
            "for whom    invoice-agent, on behalf of user:alice",
            "why         impact.needs_person: Payments need a person.",
            'plan        step "pay"',
            "needs       1 of finance; not by who asks or is acted for",
            "expires     2026-11-24 06:15:00 UTC (in 0:14:00)",
            "answered    bob approved at 2026-11-24 06:00:00 UTC: looks fine",
            "use within  1:00:00",
            "request     ar-1 (pending)",
            "workspace   /srv/work",
            "run, call   run-1, call-1",
            "definition  sha256:" + "a" * 64,
            f"arguments   {asked().call.args_digest}",
        ]
    )


HOSTILE = {
    "ansi": "\x1b[2J\x1b[1;1Happroved by alice",
    "c1_csi": "\x9b2J",
    "carriage_return": "DE02\rDE99",
    "newline": "ok\nneeds       0 of nobody",
    "backspace": "DE99\b\b02",
    "bidi_override": "\u202e05\u202c",
    "bidi_isolate": "\u2066a\u2069",
    "zero_width": "pay\u200bpal",
    "tag_characters": "a\U000e0041",
    "invisible_filler": "a\u3164b\uffa0",
    "variation_selector": "a\ufe0f",
    "stacked_marks": "e" + "\u0301" * 40,
    "line_separator": "a\u2028b",
    "no_break_space": "a\u00a0b",
    "private_use": "a\ue000",
    "delete": "a\x7fb",
}


def is_plain(line: str) -> bool:
    return all(char.isprintable() for char in line)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_escaped_wherever_it_stands(name: str) -> None:
    evil = HOSTILE[name]
    request = asked(
        {"to": evil, evil: {"deep": [evil]}},
        tool=evil,
        run=evil,
        key=evil,
        plan_step=evil,
        subject=evil,
        on_behalf_of=evil,
    )
    vote = read_vote(signed_vote(request, "bob", note=evil))
    reasons = (Reason(code="a.b", agent=evil, operator=evil),)
    page = text(replace(request, reasons=reasons, votes=(vote,)))

    assert all(map(is_plain, page.split("\n")))
    assert not any(char in page for char in evil if not (char.isprintable() or char == "\n"))
    assert text_of.literal(evil) in page.replace("\n  | ", "")


@pytest.mark.parametrize("name", sorted(HOSTILE.keys() - {"stacked_marks"}))
def test_what_has_no_shape_is_written_as_an_escape(name: str) -> None:
    assert text_of.visible(HOSTILE[name]).isascii()


def test_one_mark_on_a_letter_is_writing_and_more_are_not() -> None:
    assert text_of.visible(HOSTILE["stacked_marks"]) == "e\u0301" + "\\u0301" * 39
    assert text_of.visible("1\u0338") == "1\\u0338"


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_shown_parses_back_to_the_value(name: str) -> None:
    assert json.loads(text_of.literal({"x": HOSTILE[name]})) == {"x": HOSTILE[name]}


def test_a_backslash_cannot_pass_for_an_escape_of_ours() -> None:
    assert text_of.visible("\\u001b") == "\\\\u001b"
    assert text_of.visible("\x1b") == "\\u001b"


def prefixes(lines: Iterable[str]) -> set[str]:
    return {line[:4] for line in lines}


@pytest.mark.parametrize("width", [30, 80, 200])
def test_no_text_can_begin_a_line_of_its_own(width: int) -> None:
    """Blanks up to the edge must not move a fake field to the start of the next line."""
    evil = " " * 300 + "needs       0 of nobody"
    page = text(asked({"to": evil}, subject=evil), full=True, width=width)
    lines = page.split("\n")

    assert all(len(line) <= width for line in lines)
    assert sum(line.startswith("needs") for line in lines) == 1
    body = [*takewhile(bool, lines)][1:]
    assert prefixes(body) <= {"  to", "  | "}


def test_wide_letters_count_twice() -> None:
    page = text(asked({"to": "漢" * 100}), full=True, width=40)

    for line in page.split("\n"):
        assert len(line) + sum(char == "漢" for char in line) <= 40


def test_lookalike_letters_are_named() -> None:
    page = text(asked({"to": "p\u0430ypal.example"}))

    assert "  ! beyond plain ASCII: U+0430 CYRILLIC SMALL LETTER A" in page


def test_right_to_left_letters_are_announced() -> None:
    assert "order on the screen" in text(asked({"to": "\u05d0\u05d1 100"})).replace("\n", " ")


def test_a_long_value_is_cut_and_says_so() -> None:
    value = "x" * 1000 + "rm -rf"
    page = console.page(asked({"script": value}), now=START)

    assert page.truncated
    assert "rm -rf" not in page.text
    assert "! cut: 608 of 1008 characters are not shown; use --full" in page.text
    assert console.digest(json.dumps(value).encode()) in page.text
    whole = console.page(asked({"script": value}), now=START, full=True)
    assert not whole.truncated
    assert json.dumps(value) in whole.text.replace("\n  | ", "")


def test_many_arguments_are_counted_not_hidden() -> None:
    many = {f"a{number:03}": number for number in range(60)}

    page = console.page(asked(many), now=START)
    assert page.truncated
    assert "! 20 more are not shown; use --full" in page.text
    assert "a059 = 59" in text(asked(many), full=True)


def test_many_values_of_one_origin_are_told_once() -> None:
    def source(at: str, origin: str) -> dict[str, object]:
        said = {"at": at, "origin": origin, "source": None, "trusted": origin == "user"}
        return {**said, "control": True, "carries": [], "read": None}

    sources = [source(f"/rows/{number}", "unknown") for number in range(9)]
    sources.append(source("/rows/9", "user"))
    request = replace(
        asked({"rows": list(range(10))}), background=Background({"sources": sources})
    )

    unknown = "of unknown origin: nobody said it and no output held it as it is"
    told = [line for line in text(request, width=200).splitlines() if "/" in line[:5]]
    assert told == [
        f"  ! /0, /1, /2 and 6 more values: {unknown}",
        "  < /9: said by the person",
    ]
    each = [line for line in text(request, full=True).splitlines() if line.startswith("  ! /")]
    assert len(each) == 9


def test_no_arguments_are_said_to_be_none() -> None:
    assert text(asked({})).split("\n")[1] == "  (no arguments)"


class Person:
    """Types lines, and keeps what they were shown."""

    def __init__(self, *lines: str) -> None:
        self._lines = list(lines)
        self.shown: list[str] = []

    def read(self, question: str) -> str:
        self.shown.append(question)
        if not self._lines:
            raise EOFError
        return self._lines.pop(0)


def answer(person: Person, request: AccessRequest) -> str:
    return console.ask(request, now=START, read=person.read, write=person.shown.append)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["approve"], "approve"),
        ([" Deny "], "deny"),
        (["later"], "later"),
        ([], "later"),
        (["y"], "later"),
        (["", "", "", "", "", "approve"], "later"),
        (["what?", "deny"], "deny"),
        (["full", "approve"], "approve"),
    ],
    ids=lambda case: "_".join(case) or "nothing" if isinstance(case, list) else case,
)
def test_what_a_person_types_is_what_they_answer(typed: list[str], expected: str) -> None:
    assert answer(Person(*typed), asked()) == expected


def test_nobody_approves_what_they_were_not_shown() -> None:
    request = asked({"script": "x" * 1000 + "rm -rf"})
    hasty = Person("approve")
    assert answer(hasty, request) == "later"
    assert any("rm -rf" in shown.replace("\n  | ", "") for shown in hasty.shown)

    assert answer(Person("approve", "approve"), request) == "approve"
    assert answer(Person("full", "approve"), request) == "approve"
    assert answer(Person("deny"), request) == "deny"


def entry(path: str, **facts: object) -> dict[str, object]:
    return {
        "path": path,
        "kind": "changed",
        "type": "file",
        "mode": "0644",
        "executable": False,
        "size": 18,
        "digest": "sha256:" + "c" * 64,
        "target": None,
        "protected": False,
        "was": {"type": "file", "mode": "0644", "size": 8},
        **facts,
    }


def effects(entries: list[dict[str, object]], diffs: dict[str, str]) -> str:
    shown = [{"path": path, "diff": diff} for path, diff in diffs.items()]
    return json.dumps({"change_set": {"entries": entries}, "diffs": shown})


def diff_of(path: str, *lines: str) -> str:
    return "\n".join([f"--- a/{path}", f"+++ b/{path}", f"@@ -1 +1,{len(lines)} @@", *lines])


def below(page: str, heading: str) -> list[str]:
    return page.partition(f"\n{heading}\n")[2].split("\n\n")[0].splitlines()


CHANGED = "What it would change in the workspace, all or nothing:"


def test_the_page_of_changes_shows_each_with_its_diff() -> None:
    shown = effects(
        [
            entry("old", kind="deleted", mode=None, size=None, digest=None),
            entry("bin/run", kind="created", mode="0755", executable=True, was=None),
            entry(
                "l", kind="created", type="link", mode="0777", size=None, target="a", was=None
            ),
            entry("a"),
        ],
        {"a": diff_of("a", " open: 1", "+paid: 1")},
    )

    page = text(asked(effects=shown))

    assert "What ran, its changes not yet in the workspace, exactly:" in page
    assert below(page, CHANGED) == [
        '  deleted file (was mode 0644, 8 bytes): "old"',
        '  created file, mode 0755, 18 bytes, executable: "bin/run"',
        f"  ! no text to compare; its content has sha256:{'c' * 49}",
        f"  |   {'c' * 15}",
        '  created link: "l" leads to "a"',
        '  changed file, mode 0644, 18 bytes (was mode 0644, 8 bytes): "a"',
        "      @@ -1 +1,2 @@",
        "       open: 1",
        "      +paid: 1",
    ]


def test_the_diff_of_a_file_stands_below_the_file_alone() -> None:
    """A folder that became a file is two changes of one path, and only one has text."""
    folder = {"type": "directory", "mode": "0755", "size": 0}
    shown = effects(
        [
            entry("d", kind="deleted", mode=None, size=None, digest=None)
            | {"type": "directory", "was": folder},
            entry("d", kind="created", was=None),
        ],
        {"d": diff_of("d", "+now a file")},
    )

    assert below(text(asked(effects=shown)), CHANGED) == [
        '  deleted directory (was mode 0755): "d"',
        '  created file, mode 0644, 18 bytes: "d"',
        "      @@ -1 +1,1 @@",
        "      +now a file",
    ]


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_text_of_a_file_reaches_the_terminal_as_anything_else(hostile: str) -> None:
    """What a store hands out is escaped again: it is not believed either."""
    line = "+" + hostile.replace("\n", " ")
    shown = effects([entry("a")], {"a": diff_of("a", line)})

    lines = below(text(asked(effects=shown), full=True), CHANGED)

    assert all(text_of.shows_as_itself(char, "a") for char in "".join(lines))
    assert all(
        line.startswith(("  changed", "      ", "    | ", "  ! ", "  | ")) for line in lines
    )


def test_a_diff_cannot_look_like_another_change() -> None:
    """Lines that begin like a diff's own header are lines of the file, further in than ours."""
    lines = ["--- a/innocent", "+++ b/innocent", "-- x", '  created file 0644 1: "innocent"']
    shown = effects([entry("a")], {"a": diff_of("a", *(f"+{line}" for line in lines))})

    shown_lines = below(text(asked(effects=shown)), CHANGED)

    assert [line for line in shown_lines if not line.startswith("      ")] == [
        '  changed file, mode 0644, 18 bytes (was mode 0644, 8 bytes): "a"'
    ]


def test_a_person_is_shown_all_of_a_long_diff_before_they_may_approve() -> None:
    lines = [f"+line {number}" for number in range(100)]
    shown = effects(
        [entry("a"), *(entry(f"f{n}") for n in range(50))], {"a": diff_of("a", *lines)}
    )
    request = asked(effects=shown)
    written: list[str] = []
    said = iter(["approve", "approve"])

    answer = console.ask(request, now=START, read=lambda _: next(said), write=written.append)

    assert answer == "approve"
    assert "+line 99" not in written[0]
    assert "use --full" in written[0]
    assert "+line 99" in written[1]
    assert '"f49"' in written[1]
