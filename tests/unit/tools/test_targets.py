"""Targets: hostile values are refused, and what passes means one thing to every reader."""

from __future__ import annotations

import os
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from permissions.errors import ToolDefinitionError
from permissions.tools.targets import (
    MARKS,
    AmountArg,
    CommandArg,
    FreeText,
    HostArg,
    PathArg,
    RecipientArg,
    Target,
    TargetError,
    parse_targets,
)

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Case:
    id: str
    mark: Target
    value: Any
    expected: dict[str, Any]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file, links that leave it, and links that stay in it."""
    tmp_path = tmp_path_factory.mktemp("targets")
    root = tmp_path / "work"
    (root / "deep").mkdir(parents=True)
    (root / "notes.txt").write_text("notes")
    (tmp_path / "outside" / "inner").mkdir(parents=True)
    (tmp_path / "outside" / "secret").write_text("secret")
    (tmp_path / "work-too").mkdir()
    (root / "out").symlink_to(tmp_path / "outside" / "inner")
    (root / "here").symlink_to(root / "deep")
    (root / "loop").symlink_to(root / "loop")
    return root


@dataclass(frozen=True)
class PathCase:
    """What is said of a path below `work`: where it is, where it leads, whether inside."""

    id: str
    value: str
    path: str
    resolved: str
    inside: bool
    hidden: bool = False


PATHS = [
    PathCase("a file", "notes.txt", "work/notes.txt", "work/notes.txt", inside=True),
    PathCase("the workspace itself", ".", "work", "work", inside=True),
    PathCase(
        "dots that stay", "deep/../notes.txt", "work/notes.txt", "work/notes.txt", inside=True
    ),
    PathCase(
        "out and back in", "../work/notes.txt", "work/notes.txt", "work/notes.txt", inside=True
    ),
    PathCase("out", "../outside/secret", "outside/secret", "outside/secret", inside=False),
    PathCase(
        "a name that only begins alike", "../work-too", "work-too", "work-too", inside=False
    ),
    PathCase("a link out", "out/x", "work/out/x", "outside/inner/x", inside=False),
    PathCase("a link inside", "here/x", "work/here/x", "work/deep/x", inside=True),
    PathCase(
        "up from where a link leads",
        "out/../secret",
        "work/secret",
        "outside/secret",
        inside=False,
    ),
    PathCase("a link to itself", "loop", "work/loop", "work/loop", inside=True),
    PathCase("a hidden file", ".env", "work/.env", "work/.env", inside=True, hidden=True),
    PathCase(
        "a hidden folder", ".git/x", "work/.git/x", "work/.git/x", inside=True, hidden=True
    ),
    PathCase("a tilde is a name", "~/x", "work/~/x", "work/~/x", inside=True),
    PathCase(
        "other letters", "Rechnüng.pdf", "work/Rechnüng.pdf", "work/Rechnüng.pdf", inside=True
    ),
]


@pytest.mark.parametrize("case", PATHS, ids=lambda case: case.id)
def test_a_path_says_where_it_is_and_where_it_leads(case: PathCase, workspace: Path) -> None:
    found = PathArg("write").parse(case.value, workspace)

    above = str(workspace.parent)
    assert found["path"] == os.path.join(above, case.path)  # noqa: PTH118 - texts
    assert found["resolved"] == os.path.join(above, case.resolved)  # noqa: PTH118
    assert (found["inside_workspace"], found["hidden"]) == (case.inside, case.hidden)
    assert (found["relative"] is not None) >= case.inside
    assert found["access"] == "write"


def test_two_leading_slashes_are_one(workspace: Path) -> None:
    """POSIX keeps them apart, Linux does not, and a deny list must not care."""
    found = PathArg().parse("//etc/passwd", workspace)

    assert found["path"] == found["resolved"] == "/etc/passwd"


@given(st.lists(st.sampled_from(["..", ".", "deep", "out", "here", "x", ".h"]), max_size=8))
def test_what_counts_as_inside_is_inside(workspace: Path, parts: list[str]) -> None:
    """Whatever the way there, what would be opened lies in the workspace."""
    text = "/".join(parts) or "."

    found = PathArg().parse(text, workspace)

    opened = (workspace / text).resolve()
    assert found["resolved"] == str(opened)
    assert found["inside_workspace"] <= opened.is_relative_to(workspace.resolve())


def host(
    name: str, scheme: str | None = "https", port: int | None = 443, path: str | None = "/"
) -> dict[str, Any]:
    return {
        "scheme": scheme,
        "host": name,
        "port": port,
        "path": path,
        "address_class": None,
    }


def address(name: str, kind: str) -> dict[str, Any]:
    return {**host(name, "http", 80), "address_class": kind}


ACCEPTED = [
    Case("url", HostArg(), "https://Example.COM/a?b#c", host("example.com", path="/a")),
    Case("port", HostArg(), "https://example.com:8443", host("example.com", port=8443)),
    Case("trailing dot", HostArg(), "https://example.com./", host("example.com")),
    Case("bare host", HostArg(), "example.com", host("example.com", None, None, None)),
    Case("bare host, port", HostArg(), "example.com:80", host("example.com", None, 80, None)),
    Case("idn", HostArg(), "https://bücher.example", host("xn--bcher-kva.example")),
    Case("idn, upper case", HostArg(), "https://BÜCHER.example", host("xn--bcher-kva.example")),
    Case("web socket", HostArg(), "wss://example.com", host("example.com", "wss")),
    Case("at sign in path", HostArg(), "https://a.com/@b.com", host("a.com", path="/@b.com")),
    Case("at sign in query", HostArg(), "https://a.com?@b.com", host("a.com")),
    Case("localhost", HostArg(), "http://LocalHost./", address("localhost", "loopback")),
    Case(
        "below localhost", HostArg(), "http://a.localhost", address("a.localhost", "loopback")
    ),
    Case("loopback", HostArg(), "http://127.0.0.1", address("127.0.0.1", "loopback")),
    Case("unspecified", HostArg(), "http://0.0.0.0", address("0.0.0.0", "loopback")),  # noqa: S104
    Case("private", HostArg(), "http://10.0.0.1", address("10.0.0.1", "private")),
    Case("shared space", HostArg(), "http://100.64.0.1", address("100.64.0.1", "private")),
    Case("global", HostArg(), "http://8.8.8.8", address("8.8.8.8", "global")),
    Case(
        "broadcast", HostArg(), "http://255.255.255.255", address("255.255.255.255", "reserved")
    ),
    Case(
        "metadata", HostArg(), "http://169.254.169.254.", address("169.254.169.254", "metadata")
    ),
    Case(
        "metadata, v6",
        HostArg(),
        "http://[fd00:ec2::254]",
        address("fd00:ec2::254", "metadata"),
    ),
    Case("link local", HostArg(), "http://169.254.0.1", address("169.254.0.1", "link_local")),
    Case("v6 loopback", HostArg(), "http://[::1]", address("::1", "loopback")),
    Case("v4 in v6", HostArg(), "http://[::ffff:10.0.0.1]", address("10.0.0.1", "private")),
    Case(
        "v4 behind nat64",
        HostArg(),
        "http://[64:ff9b::169.254.169.254]",
        address("64:ff9b::a9fe:a9fe", "metadata"),
    ),
    Case(
        "v4 behind 6to4",
        HostArg(),
        "http://[2002:7f00:1::]",
        address("2002:7f00:1::", "loopback"),
    ),
    Case(
        "mail",
        RecipientArg(),
        "Bob@Example.COM",
        {"scheme": "email", "address": "Bob@example.com", "domain": "example.com"},
    ),
    Case(
        "mail to an idn",
        RecipientArg(),
        "bob@bücher.example",
        {
            "scheme": "email",
            "address": "bob@xn--bcher-kva.example",
            "domain": "xn--bcher-kva.example",
        },
    ),
    Case(
        "account",
        RecipientArg("account"),
        "de02 1203-0000",
        {"scheme": "account", "address": "DE0212030000", "domain": None},
    ),
    Case("whole", AmountArg(), 980, {"currency": "EUR", "minor": 98000}),
    Case("text", AmountArg(), "980.5", {"currency": "EUR", "minor": 98050}),
    Case("zero units", AmountArg(), "0.29", {"currency": "EUR", "minor": 29}),
    Case(
        "phone",
        RecipientArg("phone"),
        "+49 (30) 90-1820",
        {"scheme": "phone", "address": "+4930901820", "domain": None},
    ),
    Case(
        "spaced account",
        RecipientArg("account"),
        "DE02 1203 0000-0000",
        {"scheme": "account", "address": "DE02120300000000", "domain": None},
    ),
    Case("three decimals", AmountArg("KWD", 3), "1.500", {"currency": "KWD", "minor": 1500}),
    Case("float", AmountArg(), 0.29, {"currency": "EUR", "minor": 29}),
    Case("no decimals", AmountArg("JPY", 0), 5.0, {"currency": "JPY", "minor": 5}),
    Case("most", AmountArg(), "90071992547409.91", {"currency": "EUR", "minor": 2**53 - 1}),
    Case(
        "words",
        CommandArg(),
        ["/usr/bin/git", "log"],
        {
            "argv": ["/usr/bin/git", "log"],
            "program": "git",
            "shell": False,
            "commands": [{"program": "git", "argv": ["/usr/bin/git", "log"]}],
            "complete": True,
            "shown": [],
            "declared": False,
        },
    ),
    Case(
        "a text for a shell",
        CommandArg(),
        "ls; rm x",
        {
            "argv": ["ls; rm x"],
            "program": None,
            "shell": True,
            "commands": [
                {"program": "ls", "argv": ["ls"]},
                {"program": "rm", "argv": ["rm", "x"]},
            ],
            "complete": True,
            "shown": [],
            "declared": False,
        },
    ),
]


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: f"{case.mark.kind}: {case.id}")
def test_what_is_clear_is_parsed(case: Case, tmp_path: Path) -> None:
    assert case.mark.parse(case.value, tmp_path) == case.expected


@dataclass(frozen=True)
class Refused:
    mark: Target
    value: Any


REFUSED = {
    "path: nul": Refused(PathArg(), "a\0b"),
    "path: empty": Refused(PathArg(), ""),
    "path: a number": Refused(PathArg(), 5),
    "path: right to left": Refused(PathArg(), "exe.\u202etxt"),
    "path: zero width": Refused(PathArg(), "a\u200bb"),
    "path: surrogate": Refused(PathArg(), "a\ud800"),
    "path: new line": Refused(PathArg(), "a\nb"),
    "path: too long": Refused(PathArg(), "x" * 4097),
    "host: nul": Refused(HostArg(), "http://a.com\0.evil.example"),
    "host: user": Refused(HostArg(), "http://example.com@evil.example"),
    "host: password": Refused(HostArg(), "http://a:b@evil.example"),
    "host: empty user": Refused(HostArg(), "http://@evil.example"),
    "host: semicolon before at": Refused(HostArg(), "http://a.com;@evil.example"),
    "host: backslash": Refused(HostArg(), "http://a.com\\@evil.example"),
    "host: space": Refused(HostArg(), "http://a.com /"),
    "host: file scheme": Refused(HostArg(), "file:///etc/passwd"),
    "host: file without slashes": Refused(HostArg(), "file:/etc/passwd"),
    "host: scheme, one slash": Refused(HostArg(), "http:/evil.example"),
    "host: other scheme": Refused(HostArg(), "gopher://example.com"),
    "host: javascript": Refused(HostArg(), "javascript:alert(1)"),
    "host: none": Refused(HostArg(), "http:///x"),
    "host: only slashes": Refused(HostArg(), "//example.com"),
    "host: short form": Refused(HostArg(), "http://127.1"),
    "host: decimal": Refused(HostArg(), "http://2130706433"),
    "host: octal": Refused(HostArg(), "http://0177.0.0.1"),
    "host: hex": Refused(HostArg(), "http://0x7f000001"),
    "host: zero": Refused(HostArg(), "http://0"),
    "host: full-width digits": Refused(HostArg(), "http://１２７.0.0.1"),  # noqa: RUF001
    "host: ideographic dots": Refused(HostArg(), "http://127。0。0。1"),
    "host: circled letter": Refused(HostArg(), "http://ⓔxample.com"),
    "host: sharp s": Refused(HostArg(), "http://faß.example"),
    "host: zero width joiner": Refused(HostArg(), "http://a\u200db.example"),
    "host: percent": Refused(HostArg(), "http://%31%32%37.0.0.1"),
    "host: empty label": Refused(HostArg(), "http://a..example"),
    "host: two dots at the end": Refused(HostArg(), "http://a.example.."),
    "host: long label": Refused(HostArg(), "http://" + "a" * 64 + ".example"),
    "host: long idn label": Refused(HostArg(), "http://ü" + "a" * 64 + ".example"),
    "host: long name": Refused(HostArg(), "http://" + "a." * 130 + "example"),
    "host: port too large": Refused(HostArg(), "http://a.example:65536"),
    "host: port a word": Refused(HostArg(), "http://a.example:x"),
    "host: open bracket": Refused(HostArg(), "http://[::1"),
    "host: v6 without brackets": Refused(HostArg(), "::1"),
    "host: not a text": Refused(HostArg(), {"host": "a"}),
    "host: too long": Refused(HostArg(), "http://a.example/" + "x" * 2048),
    "mail: display name": Refused(RecipientArg(), "Bob <bob@example.com>"),
    "mail: two": Refused(RecipientArg(), "a@example.com,b@evil.example"),
    "mail: two, semicolon": Refused(RecipientArg(), "a@example.com;b@evil.example"),
    "mail: two at signs": Refused(RecipientArg(), "a@example.com@evil.example"),
    "mail: comment": Refused(RecipientArg(), "a(b)@example.com"),
    "mail: quotes": Refused(RecipientArg(), '"a b"@example.com'),
    "mail: header": Refused(RecipientArg(), "a@example.com\r\nBcc: b@evil.example"),
    "mail: no domain": Refused(RecipientArg(), "a@"),
    "mail: no name": Refused(RecipientArg(), "@example.com"),
    "mail: no at sign": Refused(RecipientArg(), "example.com"),
    "mail: encoded word": Refused(RecipientArg(), "=?utf-8?q?a?=@example.com"),
    "mail: domain read differently": Refused(RecipientArg(), "a@faß.example"),
    "account: sharp s": Refused(RecipientArg("account"), "DEß2"),
    "account: long s": Refused(RecipientArg("account"), "DEſ2"),  # noqa: RUF001
    "account: full-width": Refused(RecipientArg("account"), "ＤＥ０２"),  # noqa: RUF001
    "account: too short": Refused(RecipientArg("account"), "DE"),
    "account: an option": Refused(RecipientArg("account"), "--DE02120300000000202051"),
    "account: an option after all": Refused(RecipientArg("account"), "DE02120300000000202051-"),
    "account: dashes": Refused(RecipientArg("account"), "DE02--1203"),
    "account: spaces": Refused(RecipientArg("account"), " DE021203"),
    "account: a phone": Refused(RecipientArg("account"), "+4930901820"),
    "email: a route": Refused(RecipientArg(), "eve!evil@example.com"),
    "email: another route": Refused(RecipientArg(), "eve%evil.example@example.com"),
    "email: an option": Refused(RecipientArg(), "-oQ/tmp@example.com"),
    "email: a pipe": Refused(RecipientArg(), "|id@example.com"),
    "phone: no country": Refused(RecipientArg("phone"), "030 901820"),
    "phone: letters": Refused(RecipientArg("phone"), "+1 800 FLOWERS"),
    "phone: an extension": Refused(RecipientArg("phone"), "+4930901820;ext=5"),
    "phone: too short": Refused(RecipientArg("phone"), "+491"),
    "account: too long": Refused(RecipientArg("account"), "D" * 65),
    "amount: true": Refused(AmountArg(), True),  # noqa: FBT003
    "amount: list": Refused(AmountArg(), [1]),
    "amount: zero": Refused(AmountArg(), 0),
    "amount: negative": Refused(AmountArg(), "-1.00"),
    "amount: too fine": Refused(AmountArg(), "0.001"),
    "amount: twelve, or twelve thousand": Refused(AmountArg(), "12.000"),
    "amount: zeros too fine": Refused(AmountArg(), "980.000"),
    "amount: decimals of a currency without": Refused(AmountArg("JPY", 0), "5.0"),
    "amount: leading zero": Refused(AmountArg(), "0980"),
    "amount: many zeros": Refused(AmountArg(), "00.10"),
    "amount: finer than can be counted": Refused(AmountArg(), "1." + "0" * 40 + "1"),
    "amount: inexact float": Refused(AmountArg(), 0.1 + 0.2),
    "amount: beyond": Refused(AmountArg(), "90071992547409.92"),
    "amount: nan": Refused(AmountArg(), float("nan")),
    "amount: infinite": Refused(AmountArg(), float("inf")),
    "amount: word": Refused(AmountArg(), "NaN"),
    "amount: exponent": Refused(AmountArg(), "1e3"),
    "amount: huge exponent": Refused(AmountArg(), "1e999999999"),
    "amount: underscore": Refused(AmountArg(), "1_000"),
    "amount: comma": Refused(AmountArg(), "1,000"),
    "amount: full-width": Refused(AmountArg(), "１２"),  # noqa: RUF001
    "amount: spaces": Refused(AmountArg(), " 1 "),
    "command: none": Refused(CommandArg(), []),
    "command: empty program": Refused(CommandArg(), [""]),
    "command: nul": Refused(CommandArg(), ["ls", "a\0b"]),
    "command: number": Refused(CommandArg(), ["sleep", 5]),
    "command: object": Refused(CommandArg(), {"argv": ["ls"]}),
    "command: control characters": Refused(CommandArg(), "ls\rrm x"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_what_leaves_a_doubt_is_refused(case: Refused, tmp_path: Path) -> None:
    """And the message holds nothing of the value."""
    with pytest.raises(TargetError) as caught:
        case.mark.parse(case.value, tmp_path)

    assert len(str(caught.value)) < 120
    if isinstance(case.value, str) and len(case.value) > 4:
        assert case.value not in str(caught.value)


MARK = st.sampled_from(
    [PathArg(), HostArg(), RecipientArg(), RecipientArg("account"), AmountArg()]
)
TEXT = st.text(
    st.sampled_from("@.:/\\[]()<>?#%;,-_ \t\n\0ßé\uff10一" + string.ascii_letters), max_size=30
)
VALUE = TEXT | st.text(max_size=20) | st.integers() | st.floats() | st.none() | st.lists(TEXT)


@given(MARK, VALUE)
@example(RecipientArg(), "@b")
@example(AmountArg(), "1e999999")
def test_any_value_is_parsed_or_refused_never_a_crash(mark: Target, value: Any) -> None:
    try:
        found = mark.parse(value, "/srv/work")  # type: ignore[arg-type]
    except TargetError:
        return

    assert found


@given(TEXT)
def test_a_host_that_passed_reads_the_same_again(text: str) -> None:
    """The parsed form has no second reading: parsing it gives itself."""
    try:
        found = HostArg().parse(f"http://{text}/", "/srv/work")  # type: ignore[arg-type]
    except TargetError:
        return
    name = found["host"]

    again = HostArg().parse(f"http://[{name}]/" if ":" in name else f"http://{name}/", "/")  # type: ignore[arg-type]

    assert (again["host"], again["address_class"]) == (name, found["address_class"])


def test_a_list_is_parsed_item_by_item_and_null_is_nothing(tmp_path: Path) -> None:
    mark = RecipientArg()

    found = parse_targets(mark, "to", ["a@example.com", "b@example.com"], tmp_path)

    assert [each["address"] for each in found] == ["a@example.com", "b@example.com"]
    assert {(each["kind"], each["argument"]) for each in found} == {("recipient", "to")}
    assert parse_targets(mark, "to", None, tmp_path) == []
    with pytest.raises(TargetError):
        parse_targets(mark, "to", ["a@example.com", ["b@example.com"]], tmp_path)


def test_a_command_is_one_target(tmp_path: Path) -> None:
    (found,) = parse_targets(CommandArg(), "argv", ["ls", "-l"], tmp_path)

    assert found["argv"] == ["ls", "-l"]


def test_every_mark_decides_where_effects_go_and_has_a_spelling() -> None:
    """The spelling is part of the tool's digest, so a changed mark is another tool."""
    spellings = [PathArg("read"), PathArg("write"), AmountArg("EUR"), AmountArg("USD")]

    assert all(mark().control for mark in MARKS if mark is not FreeText)
    assert not FreeText().control
    assert len({str(mark.spelling()) for mark in spellings}) == 4


@pytest.mark.parametrize(
    ("currency", "amount", "minor"),
    [("EUR", "9.99", 999), ("JPY", "500", 500), ("KWD", "1.5", 1500)],
)
def test_the_currency_of_an_amount_comes_from_another_argument(
    currency: str, amount: str, minor: int, tmp_path: Path
) -> None:
    mark = AmountArg(currency_from="currency").within({"currency": currency})

    assert mark.parse(amount, tmp_path) == {"currency": currency, "minor": minor}


@pytest.mark.parametrize("currency", ["eur", "EURO", "", None, 7, ["EUR"], "E R"])
def test_what_is_no_currency_is_refused(currency: object) -> None:
    with pytest.raises(TargetError, match="three capitals"):
        AmountArg(currency_from="currency").within({"currency": currency})


def test_a_currency_that_no_table_can_list_is_refused_where_it_stands() -> None:
    with pytest.raises(ToolDefinitionError, match="in capitals"):
        AmountArg("eur")


@pytest.mark.parametrize("access", ["read", "write"])
def test_a_path_with_a_wildcard_names_one_file_or_none(
    access: Literal["read", "write"], tmp_path: Path
) -> None:
    """A tool that expands it would open what nobody decided."""
    (tmp_path / ".env").write_text("secret")
    (tmp_path / "what?.txt").write_text("asked")

    for text in (".en*", "*", "**/*", ".e?v", "docs/*/x"):
        with pytest.raises(TargetError, match="wildcard"):
            PathArg(access).parse(text, tmp_path)
    with pytest.raises(TargetError, match="wildcard"):
        PathArg("read").parse(".[e]nv", tmp_path)
    assert PathArg(access).parse("what?.txt", tmp_path)["relative"] == "what?.txt"
    assert PathArg("write").parse("app/[id].tsx", tmp_path)["relative"] == "app/[id].tsx"


def test_a_path_through_a_link_nobody_may_follow_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/proc/1/root` of a container; it was a fault of the broker."""

    def refuse(path: str) -> str:
        raise PermissionError(13, "no", path)

    monkeypatch.setattr(os.path, "realpath", refuse)

    with pytest.raises(TargetError, match="cannot be followed"):
        PathArg().parse("/proc/1/root/etc", tmp_path)
