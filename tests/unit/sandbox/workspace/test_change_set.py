"""What a run did to its workspace, as the host reads it off the overlay."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from overlays import fill, needs_root, over

from sandbox.errors import ProfileError
from sandbox.workspace import ChangeSet, Limits, WorkspaceOverlay
from sandbox.workspace.capture import stays_inside
from sandbox.workspace.protected import is_protected

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BEFORE = {"a": "one\n", "d/x": "x\n", "d/e/y": "y\n"}


def change_set(
    folder: Path, edit: Callable[[Path], object], limits: Limits | None = None
) -> ChangeSet:
    workspace = fill(folder / "workspace", BEFORE)
    with WorkspaceOverlay(workspace, limits=limits) as overlay:
        with over(overlay) as merged:
            edit(merged)
        return overlay.changes()


@dataclass(frozen=True)
class Case:
    name: str
    edit: Callable[[Path], object]
    changes: set[tuple[str, str, str]]


def replace_folder_by_file(merged: Path) -> None:
    shutil.rmtree(merged / "d")
    (merged / "d").write_text("now a file")


def remake_folder(merged: Path) -> None:
    shutil.rmtree(merged / "d")
    (merged / "d").mkdir()
    (merged / "d/new").write_text("n")


CASES = [
    Case("nothing", lambda _: None, set()),
    Case("create", lambda m: (m / "n").write_text(""), {("created", "file", "n")}),
    Case("change", lambda m: (m / "a").write_text("two"), {("changed", "file", "a")}),
    Case("same content again", lambda m: (m / "a").write_text("one\n"), set()),
    Case("times alone", lambda m: os.utime(m / "a", (1, 1)), set()),
    Case("mode alone", lambda m: (m / "a").chmod(0o755), {("changed", "file", "a")}),
    Case("folder's mode", lambda m: (m / "d").chmod(0o700), {("changed", "directory", "d")}),
    Case("delete", lambda m: (m / "d/x").unlink(), {("deleted", "file", "d/x")}),
    Case("made and unmade", lambda m: ((m / "n").touch(), (m / "n").unlink()), set()),
    Case(
        "delete a folder",
        lambda m: shutil.rmtree(m / "d"),
        {
            ("deleted", "directory", "d"),
            ("deleted", "file", "d/x"),
            ("deleted", "directory", "d/e"),
            ("deleted", "file", "d/e/y"),
        },
    ),
    Case(
        "delete a folder and make it again",
        remake_folder,
        {
            ("deleted", "file", "d/x"),
            ("deleted", "directory", "d/e"),
            ("deleted", "file", "d/e/y"),
            ("created", "file", "d/new"),
        },
    ),
    Case(
        "a folder becomes a file",
        replace_folder_by_file,
        {
            ("deleted", "directory", "d"),
            ("deleted", "file", "d/x"),
            ("deleted", "directory", "d/e"),
            ("deleted", "file", "d/e/y"),
            ("created", "file", "d"),
        },
    ),
    Case("link", lambda m: (m / "l").symlink_to("d/x"), {("created", "link", "l")}),
    Case(
        "rename",
        lambda m: (m / "a").rename(m / "b"),
        {("deleted", "file", "a"), ("created", "file", "b")},
    ),
]


@needs_root
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_kind_of_change_is_named(tmp_path: Path, case: Case) -> None:
    found = change_set(tmp_path, case.edit)

    assert {(c.kind, c.type, c.path) for c in found.changes} == case.changes
    assert found.refused == ()
    assert found.conflicts == ()


@needs_root
def test_deletions_come_first_and_children_before_their_folder(tmp_path: Path) -> None:
    """In this order every step can be done when its turn comes."""
    found = change_set(tmp_path, replace_folder_by_file)

    paths = [change.path for change in found.changes]
    assert paths.index("d/e/y") < paths.index("d/e") < paths.index("d")
    assert found.changes[-1].kind == "created"


@needs_root
def test_a_diff_shows_what_changed_and_moves_no_cursor(tmp_path: Path) -> None:
    found = change_set(tmp_path, lambda m: (m / "a").write_text("one\n\x1b[2Jtwo\n"))

    assert found.diffs["a"].splitlines()[-1] == "+\\x1b[2Jtwo"
    assert found.diffs["a"].splitlines()[:2] == ["--- a/a", "+++ b/a"]


@needs_root
@pytest.mark.parametrize("content", [b"\0\1", b"\xff\xfe"], ids=str)
def test_binary_files_have_no_diff(tmp_path: Path, content: bytes) -> None:
    found = change_set(tmp_path, lambda m: (m / "a").write_bytes(content))

    assert found.diffs == {}
    assert found.changes[0].size == len(content)


@needs_root
def test_the_document_is_bounded_and_holds_no_content(tmp_path: Path) -> None:
    def many(merged: Path) -> None:
        for number in range(600):
            (merged / f"n{number}").write_text("secret")

    document = change_set(tmp_path, many).document()

    assert document["created"] == 600
    assert len(document["entries"]) == 500
    assert document["complete"] is False
    assert "secret" not in str(document)


@needs_root
def test_the_digest_tells_change_sets_apart(tmp_path: Path) -> None:
    one = change_set(tmp_path / "1", lambda m: (m / "n").write_text("1"))
    two = change_set(tmp_path / "2", lambda m: (m / "n").write_text("2"))
    same = change_set(tmp_path / "3", lambda m: (m / "n").write_text("1"))

    assert one.digest == same.digest != two.digest


LIMITED = {
    "entries": (Limits(entries=5), "more than 5 entries"),
    "bytes": (Limits(bytes=10), "more than 10 bytes"),
    "depth": (Limits(depth=3), "nested too deeply"),
}


@needs_root
@pytest.mark.parametrize("limit", LIMITED)
def test_too_much_is_refused_whole(tmp_path: Path, limit: str) -> None:
    def much(merged: Path) -> None:
        (merged / "1/2/3/4/5/6/7/8").mkdir(parents=True)
        (merged / "1/2/3/4/5/6/7/8/f").write_text("x" * 100)

    limits, reason = LIMITED[limit]
    found = change_set(tmp_path, much, limits)

    assert any(reason in fault.reason for fault in found.refused), found.refused


@pytest.mark.parametrize(
    ("path", "whole", "expected"),
    [
        (".git/hooks/pre-commit", True, True),
        (".git/config", True, True),
        ("sub/.GIT/Config", True, True),
        (".git/modules/x/hooks/a", True, True),
        (".git", True, True),
        (".git", False, False),
        (".git/objects/ab/cd", True, False),
        (".git/index", True, False),
        (".github/workflows/ci.yml", True, True),
        (".github/ISSUE_TEMPLATE.md", True, False),
        (".wardline/keys", True, True),
        ("deep/.claude/settings.json", True, True),
        ("CLAUDE.md", True, True),
        ("x/.envrc", True, True),
        ("src/main.py", True, False),
        ("hooks/pre-commit", True, False),
    ],
)
def test_protected_paths(path: str, whole: bool, expected: bool) -> None:  # noqa: FBT001
    assert is_protected(path, whole=whole) is expected


@pytest.mark.parametrize(
    ("path", "target", "expected"),
    [
        ("l", "a", True),
        ("l", "d/e", True),
        ("d/l", "../a", True),
        ("d/l", "../../a", False),
        ("l", "../a", False),
        ("l", "/etc/passwd", False),
        ("d/l", "e/../../../a", False),
        ("d/l", "e/../a", False),
        ("l", "", False),
        ("d/l", "..", True),
        ("l", ".", True),
    ],
)
def test_links_that_may_lead_out(path: str, target: str, expected: bool) -> None:  # noqa: FBT001
    assert stays_inside(path, target) is expected


@pytest.mark.parametrize("path", ["/", "/etc", "/usr", "/proc", "/root/.ssh"])
def test_a_system_directory_is_no_workspace(tmp_path: Path, path: str) -> None:
    """Also through a link to one."""
    link = tmp_path / "link"
    link.symlink_to(path)

    with pytest.raises(ProfileError), WorkspaceOverlay(link):
        pass


@needs_root
def test_a_layer_is_used_once(tmp_path: Path) -> None:
    with WorkspaceOverlay(fill(tmp_path / "workspace", BEFORE)) as overlay:
        with over(overlay):
            pass
        with pytest.raises(ProfileError), over(overlay):
            pass


@needs_root
def test_the_brokers_own_folder_is_not_there(tmp_path: Path) -> None:
    """Hidden while the run looks, refused when it makes one of its own."""
    workspace = fill(tmp_path / "workspace", {**BEFORE, ".wardline/key": "k", "state/s": "s"})
    with WorkspaceOverlay(workspace, hidden=("state",)) as overlay:
        with over(overlay) as merged:
            seen = {entry.name for entry in merged.iterdir()}
            (merged / ".wardline").mkdir()
            (merged / ".wardline/key").write_text("mine")
        found = overlay.changes()

    assert seen == {"a", "d"}
    assert [fault.path for fault in found.refused] == [".wardline"]


@needs_root
@pytest.mark.parametrize(
    ("after", "shown"),
    [
        ("evil\n" + "x\n" * 1600, ["+evil", "+x"]),
        ("one\n" + "x\n" * 5000 + "evil\n", ["+x"]),
        ("evil\n" + "x" * 300_000, ["+evil"]),
        ("x" * 200_000 + "\nevil\n", []),
    ],
    ids=["many lines", "at the end", "a long line", "first a long line"],
)
def test_no_amount_of_text_blinds_the_person(
    tmp_path: Path, after: str, shown: list[str]
) -> None:
    """The head of the change is there, and how much is not."""
    workspace = fill(tmp_path / "w", {"a": "one\n", "b": "b\n"})
    with WorkspaceOverlay(workspace) as overlay:
        with over(overlay) as merged:
            (merged / "a").write_text(after)
            (merged / "b").write_text("also\n")
        diffs = overlay.changes().diffs

    assert set(shown) <= set(diffs["a"].splitlines())
    assert "are not shown" in diffs["a"] or "are not compared" in diffs["a"]
    assert "+also" in diffs["b"].splitlines()


@needs_root
def test_a_change_in_the_middle_of_a_long_file_is_shown(tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(9000)]
    workspace = fill(tmp_path / "w", {"a": "\n".join(lines)})
    with WorkspaceOverlay(workspace) as overlay:
        with over(overlay) as merged:
            (merged / "a").write_text("\n".join([*lines[:4000], "evil", *lines[4001:]]))
        diff = overlay.changes().diffs["a"].splitlines()

    assert diff[2] == "@@ -3998,7 +3998,7 @@"
    assert diff[-5:] == ["+evil", " line 4001", " line 4002", " line 4003"] or "+evil" in diff
    assert not any("not shown" in line for line in diff)
