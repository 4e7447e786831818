"""A bundle is checked, linked and translated once for a user, and what was kept is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from permissions.errors import PolicyLoadError
from permissions.pdp.bundle import PolicyBundle, load_bundle
from permissions.pdp.embedded import served as module
from permissions.pdp.embedded.served import served
from permissions.pdp.lint import bundle as lint
from permissions.pdp.lint.bundle import require_sound

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = load_bundle()
MAIN = 'package wardline.main\n\nresponse := {"decision": false, "context": {}}\n'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # What a process remembers of its earlier tests: a fresh one remembers nothing.
    monkeypatch.setattr(module, "_known", {})
    monkeypatch.setattr(lint, "_sound", set())
    return tmp_path


def another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows nothing, and may not do the work again."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("made again")

    # A later process, in which the work would show: it is not done again.
    monkeypatch.setattr(module, "_known", {})
    monkeypatch.setattr(lint, "_sound", set())
    monkeypatch.setattr(module, "_made", never)
    monkeypatch.setattr(lint, "check_bundle", never)


@pytest.mark.parametrize("linking", [True, False], ids=["linked", "as written"])
def test_what_was_kept_is_what_was_made(
    linking: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = served(SHIPPED, linking=linking)
    another_process(monkeypatch)

    kept = served(SHIPPED, linking=linking)

    assert kept == made
    assert kept.linked.is_linked is linking


def test_a_verdict_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    require_sound(SHIPPED)
    another_process(monkeypatch)

    require_sound(SHIPPED)


def test_linked_and_as_written_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    served(SHIPPED, linking=True)
    another_process(monkeypatch)

    with pytest.raises(AssertionError, match="made again"):
        served(SHIPPED, linking=False)


def test_what_is_not_sound_is_refused_again_and_again(home: Path) -> None:
    loose = PolicyBundle.of({"main/main.rego": MAIN + "x := lowr(1)\n"})
    for _ in range(2):
        with pytest.raises(PolicyLoadError, match="lowr"):
            require_sound(loose)
        with pytest.raises(PolicyLoadError, match="lowr"):
            served(loose, linking=True)

    assert not (home / "cache").exists()


def test_one_changed_byte_of_a_policy_is_another_bundle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served(PolicyBundle.of({"main/main.rego": MAIN}), linking=True)
    another_process(monkeypatch)

    with pytest.raises(AssertionError, match="made again"):
        served(PolicyBundle.of({"main/main.rego": MAIN + "\n"}), linking=True)


def test_an_altered_one_decides_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A denial made a permit in what is kept: the policies are read and linked again."""
    made = served(PolicyBundle.of({"main/main.rego": MAIN}), linking=True)
    changed = 0
    for path in (home / "cache/wardline/policies").iterdir():
        data = path.read_bytes()
        path.write_bytes(data.replace(b"false", b"true "))
        changed += path.read_bytes() != data
    # A later process: this one would answer from memory.
    monkeypatch.setattr(module, "_known", {})

    again = served(PolicyBundle.of({"main/main.rego": MAIN}), linking=True)

    assert changed == 1
    assert again == made
    assert b"true" not in again.payload
