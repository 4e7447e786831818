"""What whoever holds the changes of a run must do, over a real overlay or in memory."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import pytest
from overlays import fill, has_leftovers

from permissions.execution.memory import InMemoryChanges
from permissions.execution.overlay import pending_in
from permissions.execution.pending_changes import GONE
from sandbox.workspace import WorkspaceOverlay

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.execution.pending_changes import PendingChanges

pytestmark = pytest.mark.both_backends

BEFORE = {"a": "one\n", "d/x": "x\n"}
AFTER = {**BEFORE, "a": "one\ntwo\n", "n": "new\n"}


class Held(Protocol):
    """A workspace that a run was over."""

    async def hold(self, after: dict[str, str]) -> PendingChanges:
        """What a run holds that left these texts, and deleted nothing."""
        ...

    def write(self, path: str, text: str) -> None:
        """What somebody else does meanwhile."""
        ...

    def texts(self) -> dict[str, str]:
        """What is there."""
        ...


@dataclass
class Memory:
    files: dict[str, str] = field(default_factory=lambda: dict(BEFORE))

    async def hold(self, after: dict[str, str]) -> PendingChanges:
        return InMemoryChanges(self.files, after)

    def write(self, path: str, text: str) -> None:
        self.files[path] = text

    def texts(self) -> dict[str, str]:
        return dict(self.files)


class Overlay:
    """A real overlay, whose upper directory is filled by hand where a run would have."""

    def __init__(self, folder: Path) -> None:
        self._workspace, self._upper = fill(folder / "w", BEFORE), folder / "upper"
        for each in BEFORE:
            (self._workspace / each).chmod(0o644)

    async def hold(self, after: dict[str, str]) -> PendingChanges:
        overlay = WorkspaceOverlay(self._workspace).__enter__()
        fill(self._upper, {p: text for p, text in after.items() if BEFORE.get(p) != text})
        for each in self._upper.rglob("*"):
            each.chmod(0o755 if each.is_dir() else 0o644)
        overlay.collect(os.open(self._upper, os.O_RDONLY | os.O_DIRECTORY), "user.overlay.")
        return await pending_in(overlay)

    def write(self, path: str, text: str) -> None:
        (self._workspace / path).write_text(text)

    def texts(self) -> dict[str, str]:
        assert not has_leftovers(self._workspace)
        files = [each for each in self._workspace.rglob("*") if each.is_file()]
        return {str(each.relative_to(self._workspace)): each.read_text() for each in files}


@pytest.fixture(params=["memory", "overlay"])
def held(request: pytest.FixtureRequest, tmp_path: Path) -> Held:
    return Memory() if request.param == "memory" else Overlay(tmp_path)


async def test_what_changed_nothing_has_no_changes(held: Held) -> None:
    pending = await held.hold(BEFORE)

    assert pending.changes is None
    assert await pending.commit() is None
    await pending.discard()


async def test_changes_are_described_before_any_is_there(held: Held) -> None:
    pending = await held.hold(AFTER)

    assert pending.changes is not None
    assert held.texts() == BEFORE
    document = pending.changes.document
    assert {each["path"]: each["kind"] for each in document["entries"]} == {
        "a": "changed",
        "n": "created",
    }
    assert (document["changed"], document["created"], document["deleted"]) == (1, 1, 0)
    assert document["bytes"] == len("one\ntwo\n") + len("new\n")
    assert document["digest"] == pending.changes.digest
    assert pending.changes.is_listed
    assert pending.changes.diffs["a"].endswith("\n+two")
    assert pending.changes.obstacle is None
    await pending.discard()


async def test_a_commit_brings_all_of_them_once(held: Held) -> None:
    pending = await held.hold(AFTER)

    assert await pending.commit() is None
    assert held.texts() == AFTER
    assert await pending.commit() == GONE
    await pending.discard()
    assert held.texts() == AFTER


async def test_what_was_discarded_cannot_be_committed(held: Held) -> None:
    """Not even by a success that says nothing was to be done."""
    pending = await held.hold(AFTER)
    await pending.discard()
    await pending.discard()

    assert await pending.commit() == GONE
    assert held.texts() == BEFORE


async def test_what_others_changed_meanwhile_stays_and_nothing_else_comes(
    held: Held,
) -> None:
    pending = await held.hold(AFTER)
    held.write("a", "theirs\n")

    obstacle = await pending.commit()

    assert obstacle is not None
    assert obstacle.kind == "conflict"
    assert obstacle.faults == ("a: it was changed meanwhile",)
    assert held.texts() == {**BEFORE, "a": "theirs\n"}
    await pending.discard()


async def test_what_can_never_be_committed_says_so_beforehand(held: Held) -> None:
    pending = await held.hold({**AFTER, ".git/config": "x\n"})

    assert pending.changes is not None
    assert pending.changes.obstacle is not None
    assert pending.changes.obstacle.kind == "protected"
    assert await pending.commit() is not None
    assert held.texts() == BEFORE
    await pending.discard()


async def test_the_twin_describes_what_an_overlay_does_to_the_letter(held: Held) -> None:
    pending = await held.hold(AFTER)
    same = InMemoryChanges(dict(BEFORE), AFTER).changes
    other = InMemoryChanges(dict(BEFORE), {**AFTER, "n": "NEW\n"}).changes

    assert same is not None
    assert pending.changes == same
    assert other is not None
    assert other.digest != same.digest
    await pending.discard()
