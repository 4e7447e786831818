"""Which calls name a file of the broker's own, however they spell it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import pytest

from permissions.broker.control_plane import ControlPlane
from permissions.tools.targets import (
    CommandArg,
    PathArg,
    RecipientArg,
    ResourceArg,
    SecretArg,
    SqlArg,
    parse_targets,
)

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.model import JsonObject, JsonValue
    from permissions.tools.targets import Target
    from permissions.tools.targets.sql import SqlDialect


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with the broker's state in it, and its policies and a key elsewhere."""
    desk = tmp_path / "desk"
    for folder in (desk / ".wardline/keys", desk / "docs", desk / "conf/org/data"):
        folder.mkdir(parents=True)
    (desk / ".wardline/state.db").write_text("state")
    (desk / ".wardline/keys/log.pem").write_text("key")
    (desk / "conf/org/data/messaging.json").write_text("{}")
    (desk / "docs/notes.txt").write_text("notes")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/olga.pem").write_text("key")
    (tmp_path / "program").mkdir()
    (tmp_path / "program/broker.py").write_text("code")
    monkeypatch.chdir(desk)
    monkeypatch.setenv("HOME", str(tmp_path))
    return desk


@pytest.fixture
def plane(desk: Path) -> ControlPlane:
    return ControlPlane(
        (
            desk / ".wardline",
            desk / "conf/org",
            desk / "wardline.toml",
            desk.parent / "keys/olga.pem",
        ),
        fixed=(desk.parent / "program",),
    )


def reached(
    plane: ControlPlane,
    desk: Path,
    path: JsonValue,
    access: Literal["read", "write"] = "read",
) -> bool:
    targets = parse_targets(PathArg(access), "path", path, desk)
    return plane.reached(targets, {"path": path}, workspace=desk) is not None


SPELLINGS = [
    ".wardline",
    ".wardline/",
    ".wardline/state.db",
    "./.wardline/state.db",
    ".//.wardline//state.db",
    "docs/../.wardline/state.db",
    "docs/../docs/../.wardline/keys/log.pem",
    ".wardline/state.db-wal",
    ".wardline/not/there/yet",
    ".WARDLINE/state.db",
    "conf/org",
    "conf/org/data/messaging.json",
    "conf/org/new/new.rego",
    "wardline.toml",
    "Wardline.toml",
    "~/keys/olga.pem",
    "../keys/olga.pem",
    "/proc/self/root{desk}/.wardline/state.db",
    "/proc/self/cwd/.wardline/state.db",
    "/proc/{pid}/cwd/.wardline/state.db",
    "/proc/thread-self/cwd/.wardline/state.db",
    "/proc/self/environ",
    "/proc/self/mem",
    "/proc/{pid}/fd/0",
    "/proc/{pid}/task/{pid}/environ",
    "/dev/fd/0",
    "{desk}/.wardline/state.db",
    "//{desk}/.wardline/state.db",
    "{desk}/docs/../.wardline/state.db",
    "file://{desk}/.wardline/state.db",
    "FILE:{desk}/.wardline/state.db",
    "file://{desk}/%2Ewardline/state.db",
]


@pytest.mark.parametrize("access", ["read", "write"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_seen(
    spelling: str, access: Literal["read", "write"], plane: ControlPlane, desk: Path
) -> None:
    assert reached(plane, desk, spelling.format(desk=desk, pid=os.getpid()), access)


@pytest.mark.parametrize("access", ["read", "write"])
@pytest.mark.parametrize(
    "spelling",
    [
        "docs/notes.txt",
        "docs",
        ".",
        "notes",
        ".wardline-other",
        ".wardlinex/state.db",
        "conf/organisation",
        "docs/wardline.toml.md",
        "new/file.txt",
        "~/notes.txt",
        "/etc/hosts",
    ],
)
def test_other_files_are_not(
    spelling: str, access: Literal["read", "write"], plane: ControlPlane, desk: Path
) -> None:
    assert not reached(plane, desk, spelling, access)


@pytest.mark.parametrize("access", ["read", "write"])
def test_links_are_followed(
    access: Literal["read", "write"], plane: ControlPlane, desk: Path
) -> None:
    (desk / "docs/state").symlink_to("../.wardline")
    (desk / "docs/chain").symlink_to("state/keys")
    (desk / "docs/key").symlink_to(desk.parent / "keys/olga.pem")
    (desk / "docs/new").symlink_to(desk / ".wardline/not-there-yet")

    for spelling in ("docs/state/state.db", "docs/chain/log.pem", "docs/key", "docs/new"):
        assert reached(plane, desk, spelling, access), spelling


@pytest.mark.parametrize("access", ["read", "write"])
@pytest.mark.parametrize(
    "own", [".wardline/state.db", "conf/org/data/messaging.json", "../keys/olga.pem"]
)
def test_a_hard_link_is_the_file(
    own: str, access: Literal["read", "write"], plane: ControlPlane, desk: Path
) -> None:
    (desk / "docs/harmless.txt").hardlink_to(desk / own)
    (desk / "docs/plain.txt").hardlink_to(desk / "docs/notes.txt")

    assert reached(plane, desk, "docs/harmless.txt", access)
    assert not reached(plane, desk, "docs/plain.txt", access)


def test_an_open_file_is_the_file(plane: ControlPlane, desk: Path) -> None:
    with (desk / ".wardline/state.db").open() as opened:
        for spelling in ("/proc/self/fd/{}", "/dev/fd/{}", "/proc/thread-self/fd/{}"):
            assert reached(plane, desk, spelling.format(opened.fileno())), spelling


def test_a_folder_that_was_a_link_when_the_broker_opened_is_both(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "org").symlink_to("real")

    plane = ControlPlane((tmp_path / "org",))

    assert reached(plane, tmp_path, "org", "write")
    assert reached(plane, tmp_path, "real/data/budgets.json", "write")


def test_a_link_that_nobody_may_follow_leads_nowhere(
    plane: ControlPlane, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/proc/1/root` of a container; it was a fault of the broker."""

    def refuse(path: str) -> str:
        raise PermissionError(13, "no", path)

    monkeypatch.setattr(os.path, "realpath", refuse)

    assert plane.reached([], {"unmarked": "/proc/1/root/x"}, workspace=desk) is None
    assert plane.reached([], {"unmarked": f"{desk}/.wardline/x"}, workspace=desk) is not None


def test_a_path_is_meant_from_the_workspace_or_from_where_the_program_stands(
    plane: ControlPlane, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy looks from the one, a careless tool opens from the other."""
    monkeypatch.chdir(desk / ".wardline")

    assert reached(plane, desk, "state.db")
    assert reached(plane, desk / "docs", "../.wardline/state.db")
    assert reached(plane, desk.parent / "program", "keys/log.pem")


def test_one_path_of_a_list_is_enough(plane: ControlPlane, desk: Path) -> None:
    assert reached(plane, desk, ["docs/notes.txt", ".wardline/state.db"])
    assert not reached(plane, desk, ["docs/notes.txt", "docs"])


def test_a_folder_with_the_brokers_own_in_it_is_not_moved_away(
    plane: ControlPlane, desk: Path
) -> None:
    """What holds the overlay could be replaced as a whole; the workspace itself is its own matter."""
    assert reached(plane, desk, "conf", "write")
    assert not reached(plane, desk, "conf", "read")
    assert not reached(plane, desk, ".", "write")


def test_the_program_is_read_and_not_changed(plane: ControlPlane, desk: Path) -> None:
    (desk / "docs/copy.py").hardlink_to(desk.parent / "program/broker.py")

    for spelling in ("../program/broker.py", "../program/new.py", "docs/copy.py"):
        assert reached(plane, desk, spelling, "write"), spelling
        assert not reached(plane, desk, spelling, "read"), spelling


@pytest.mark.parametrize(
    "command",
    [
        ["cat", ".wardline/state.db"],
        ["cat", "docs/../.wardline/state.db"],
        ["tar", "--file=.wardline/x.tar", "docs"],
        ["dd", "if=.wardline/state.db"],
        ["curl", "-F", "x=@.wardline/state.db"],
        ["grep", "-f.wardline/state.db", "x"],
        "cat .wardline/state.db",
        "cat < .wardline/state.db",
        "echo x >conf/org/data/messaging.json",
        ["sh", "-c", "cat '.wardline/state.db'"],
        ["docker", "run", "-v", ".wardline:/x", "y"],
        ["rsync", "-a,.wardline/"],
        ["python", "-c", "open('.wardline/state.db')"],
        "cat {.wardline,x}/state.db",
        "cat $PWD/.wardline/state.db",
        "cat ~+/.wardline/state.db",
        "cat $'\\x2ewardline/state.db'",
        "echo x 2>>.wardline/x",
        "rm -rf conf",
        "mv conf c2",
    ],
    ids=str,
)
def test_a_command_names_it_in_a_word(
    command: JsonValue, plane: ControlPlane, desk: Path
) -> None:
    targets = parse_targets(CommandArg(), "argv", command, desk)

    assert plane.reached(targets, {"argv": command}, workspace=desk) is not None


def test_an_ordinary_command_names_nothing(plane: ControlPlane, desk: Path) -> None:
    command: JsonValue = ["grep", "-rn", "wardline", "docs", "--include=*.txt", "conf"]
    targets = parse_targets(CommandArg(), "argv", command, desk)

    assert plane.reached(targets, {"argv": command}, workspace=desk) is None


@pytest.mark.parametrize(
    "value",
    [".wardline/state.db", {"file": "./.wardline/state.db"}, ["x", "~/keys/olga.pem"]],
    ids=str,
)
def test_an_argument_nobody_described_is_looked_at(
    value: JsonValue, plane: ControlPlane, desk: Path
) -> None:
    assert plane.reached([], {"unmarked": value}, workspace=desk) is not None


TAKEN_FOR_A_PATH = [
    "./" * 2500 + ".wardline/state.db",
    "nope/../" * 600 + ".wardline/state.db",
    "nope\n/../.wardline/state.db",
    ".wardline/state.db\n",
    "  .wardline/state.db",
    "sqlite:///.wardline/state.db",
    "sqlite:///{desk}/.wardline/state.db",
    "sqlite:////{desk}/.wardline/state.db?mode=ro",
    "file:.wardline/state.db?immutable=1",
    "file://localhost{desk}/.wardline/state.db",
    "file:wardline.toml",
    "jar:file://{desk}/.wardline/state.db!/x",
    "zip://x::file://{desk}/.wardline/state.db",
    "view-source:file://{desk}/.wardline/state.db",
    "unix://{desk}/.wardline/control.sock",
    ".wardline/x.tar!keys/log.pem",
    "docs/x.zip!/../../.wardline/state.db",
    "path=.wardline/state.db",
    "@wardline.toml",
    "<.wardline/state.db",
    "$HOME/keys/olga.pem",
    "${HOME}/keys/olga.pem",
    "docs\\..\\.wardline\\state.db",
    ".ward*/state.db",
    ".wardlin[e]/keys/*.pem",
    "?wardline",
    "conf/or?/data/*.json",
    "\x0c.wardline",
    ".wardl\u200bine/state.db",
    "\ufeff.wardline/state.db",
    "%2e%77ardline/state.db",
    ".wardline%2Fstate.db",
    "$PWD/.wardline/state.db",
    "$(pwd)/.wardline/state.db",
    "{.wardline,x}/state.db",
    ".ward{x,li{n,m}e}/state.db",
    "docs/x,.wardline/state.db",
    "docs/x;.wardline/state.db",
    "docs/x|.wardline/state.db",
    "docs/x:.wardline/state.db",
    "local_file:{desk}/.wardline/state.db",
    '{"path": ".wardline/state.db"}',
    '[{"files": ["docs/x", "~/keys/olga.pem"]}]',
]


@pytest.mark.parametrize("text", TAKEN_FOR_A_PATH, ids=lambda text: repr(text)[1:40])
def test_what_a_careless_tool_takes_for_a_path_is_one(
    text: str, plane: ControlPlane, desk: Path
) -> None:
    """Programs make paths shorter, take schemes off, and open a part of an archive."""
    value = text.replace("{desk}", str(desk))

    assert plane.reached([], {"unmarked": value}, workspace=desk) is not None


@pytest.mark.parametrize(
    ("mark", "value"),
    [
        (ResourceArg(), ".wardline/state.db"),
        (RecipientArg("name"), ".wardline/state.db"),
        (SecretArg(), "file:.wardline/keys/log.pem"),
    ],
    ids=lambda each: str(each)[:20],
)
def test_a_mark_that_is_no_path_hides_none(
    mark: Target, value: str, plane: ControlPlane, desk: Path
) -> None:
    """A tool may open what its argument was marked as a record for."""
    targets = parse_targets(mark, "it", value, desk)

    assert plane.reached(targets, {"it": value}, workspace=desk) is not None


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("sqlite", "ATTACH '.wardline/state.db' AS s"),
        ("sqlite", "SELECT readfile('.wardline/keys/log.pem')"),
        ("sqlite", "VACUUM INTO 'wardline.toml'"),
        ("duckdb", "SELECT * FROM '.wardline/state.db'"),
        ("duckdb", 'SELECT * FROM ".wardline/state.db"'),
        ("duckdb", "SELECT * FROM read_text(['docs/a', '.wardline/*'])"),
        ("duckdb", "COPY (SELECT 1) TO 'wardline.toml'"),
        ("duckdb", "COPY (SELECT 1) TO '../program/broker.py'"),
        ("postgres", "COPY t FROM '{desk}/.wardline/state.db'"),
        ("mysql", "SELECT load_file('{desk}/.wardline/state.db')"),
        ("mysql", "SELECT * FROM `.wardline/state.db`"),
        ("databricks", "SELECT * FROM text.`{desk}/.wardline/keys/log.pem`"),
    ],
    ids=lambda each: each[:40],
)
def test_a_statement_names_it_in_a_text(
    dialect: SqlDialect, text: str, plane: ControlPlane, desk: Path
) -> None:
    """Databases open files by a function, by ATTACH and COPY, or in the place of a table."""
    said = text.replace("{desk}", str(desk))
    targets = parse_targets(SqlArg(dialect), "sql", said, desk)

    assert plane.reached(targets, {"sql": said}, workspace=desk) is not None


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a FROM docs WHERE b = 'conf' OR c = '/' OR d = 'a/b'",
        "INSERT INTO t VALUES ('.')",
    ],
)
def test_an_ordinary_statement_names_nothing(
    text: str, plane: ControlPlane, desk: Path
) -> None:
    targets = parse_targets(SqlArg(), "sql", text, desk)

    assert plane.reached(targets, {"sql": text}, workspace=desk) is None


@pytest.mark.parametrize(
    "value",
    [
        "org",
        "*",
        "**/*",
        "docs/**/*.md",
        "https://api.example.com/.wardline/state.db",
        "Read .wardline/state.db please",
        "a\n.wardline/state.db",
        7,
        None,
        "x" * 9000,
        "\0/",
    ],
    ids=lambda value: str(value)[:20],
)
def test_text_that_is_no_path_is_not(value: JsonValue, plane: ControlPlane, desk: Path) -> None:
    assert plane.reached([], {"text": value}, workspace=desk) is None


def test_a_broker_without_files_has_nothing_to_guard(desk: Path) -> None:
    assert not reached(ControlPlane(), desk, ".wardline/state.db", "write")


def test_a_text_that_is_written_may_speak_of_it(plane: ControlPlane, desk: Path) -> None:
    """What goes into a file is no path: settings of an editor that leave the state out."""
    targets = parse_targets(PathArg("write"), "path", "docs/settings.json", desk)
    arguments: JsonObject = {
        "path": "docs/settings.json",
        "text": '{"files.exclude": [".wardline"], "see": "wardline.toml"}',
    }

    assert plane.reached(targets, arguments, workspace=desk) is None


@pytest.mark.parametrize(
    "text",
    [
        "The state is in .wardline, the settings in wardline-toml.",
        "Read docs/x, then .wardline/state.db says the rest.",
        "a{b,c}d",
        "100%25",
        "a,b;c|d:e",
        '{"a": "b/c"}',
        "{" * 60 + ",}" * 60,
    ],
    ids=lambda text: text[:20],
)
def test_what_only_speaks_of_files_names_none(
    text: str, plane: ControlPlane, desk: Path
) -> None:
    assert plane.reached([], {"unmarked": text}, workspace=desk) is None
