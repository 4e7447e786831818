"""Whether a state folder that lies in a workspace is the user's own.

A repository can bring a `.wardline` along, with keys somebody else has, a log, approvals and
copies of code. So a state folder in a workspace is believed only when this user's Wardline made
it there: it holds a random mark, and the user's list of trusted files has the mark's digest at
this very path.

Not protected from: a program that runs as this user. A state folder outside of the workspace is
the user's own choice, and is not checked.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from permissions.errors import ConfigError
from permissions.files import make_folder, replace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from permissions.setup.trust import TrustList

MARK = "origin"
MARK_BYTES = 32


def require_own(state: Path, workspace: Path, trusted: TrustList) -> None:
    """Marks a state folder that is new, and refuses one in the workspace that others made.

    Args:
        state: the state folder, which need not be there yet.
        workspace: the folder tools work on.
        trusted: the user's list.

    Raises:
        ConfigError: it is somebody else's, or it cannot be told.
    """
    real = state.resolve()
    if not real.is_relative_to(workspace.resolve()):
        return
    try:
        with _locked(trusted.file.parent):
            _require(real, trusted)
    except OSError as err:
        raise ConfigError(
            f"the state folder {state} lies in the workspace, and that it is yours cannot be"
            f" told ({err.strerror}: {err.filename}); set XDG_STATE_HOME to a folder you may"
            " write, or `state` to one outside of the workspace"
        ) from err


def _require(state: Path, trusted: TrustList) -> None:
    mark = state / MARK
    if not state.is_dir() or all(_is_mark(each.name) for each in state.iterdir()):
        # The list first: a mark it does not know would never be believed again.
        content = secrets.token_hex(MARK_BYTES).encode()
        trusted.add(mark, content)
        make_folder(state)
        replace(mark, content)
        return
    try:
        source = os.open(mark, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(source, "rb") as found:
            content = found.read(4 * MARK_BYTES)
    except OSError:
        content = b""
    if len(content) != 2 * MARK_BYTES or not trusted.trusts(mark, content):
        raise ConfigError(
            f"the state folder {state} lies in the workspace and was not made by you there: a"
            " repository may have brought it along, with keys and approvals of somebody else."
            " Remove it; or, if you moved or restored it yourself, put it outside of the"
            " workspace and name that folder as `state`"
        )


def _is_mark(name: str) -> bool:
    """Whether it is the mark or a draft of it: with no more than that a state folder is new."""
    return name == MARK or name.startswith(f".{MARK}.")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    make_folder(folder)
    number = os.open(folder / "state.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)
