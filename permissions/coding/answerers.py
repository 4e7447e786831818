"""Who answers a hook: found out from the settings once and noted, and started where nobody does.

For `hook`, which loads this only when no note holds, or there is no helper.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from select import select
from typing import IO, TYPE_CHECKING, cast

from permissions.coding.noted import NOTE, HookError, connected
from permissions.errors import ConfigError
from permissions.files import make_folder, replace
from permissions.setup.settings_file import settings_file
from permissions.setup.trust import TrustList

if TYPE_CHECKING:
    from _socket import socket

STARTING_LOCK = "starting.lock"
LOG = "helper.log"
"""What the helper of now has to say; nobody reads it unless something is wrong."""
READY = b"ready"


def note(folder: str, now: str) -> str:
    """Reads the settings, and notes who answers under them.

    Args:
        folder: where the note lies (`noted.note_folder`).
        now: the stamp of the settings, taken before they are read here.

    Returns:
        The address of the daemon; empty for the helper.

    Raises:
        ConfigError: the settings are not trusted, or none.
        HookError: others may write the note.
    """
    source = settings_file()
    if source is None:
        raise HookError("there is no wardline.toml here or above; run `wardline init`")
    source.require_trust(TrustList())
    said = source.document().get("broker", "")
    if not isinstance(said, str) or "\n" in said:
        raise ConfigError(f"{source.path}: broker is no address")
    try:
        make_folder(Path(folder))
        replace(Path(folder) / NOTE, f"{now}\n{said}\n".encode())
    except OSError as err:
        raise ConfigError(f"{folder} cannot be written: {err.strerror}") from err
    return said


def started(folder: str, until: float) -> socket:
    """A connection to a helper, started here unless another hook just does.

    Raises:
        HookError: it does not start, and why.
        TimeoutError: it takes too long.
    """
    path = os.path.join(folder, STARTING_LOCK)  # noqa: PTH118
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        while True:
            if (link := connected(folder)) is not None:
                return link
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TimeoutError("other hooks of this project took too long") from None
                time.sleep(0.02)
        if (link := connected(folder)) is None:
            _start(folder, until)
            link = connected(folder)
        if link is None:
            raise HookError("the helper ended as soon as it had started")
        return link
    finally:
        os.close(lock)


def _start(folder: str, until: float) -> None:
    """Starts the helper, and returns when it listens.

    It belongs to no agent: a session of its own, and nothing of what this process has open.
    """
    command = [sys.executable, "-P", "-m", "permissions.coding.helper", folder]
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    log = os.open(os.path.join(folder, LOG), flags, 0o600)  # noqa: PTH118
    with (
        os.fdopen(log, "wb") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        ) as helper,
    ):
        try:
            said = _said(helper, until)
        finally:
            # `with` waits for the process, which is to stay.
            helper.returncode = 0 if helper.poll() is None else helper.returncode
    if said != READY:
        raise HookError(said.decode(errors="replace") or "the helper ended while it started")


def _said(helper: subprocess.Popen[bytes], until: float) -> bytes:
    """What it says of its start, which ends with the pipe."""
    data, pipe = b"", cast("IO[bytes]", helper.stdout).fileno()
    while True:
        left = until - time.monotonic()
        if left <= 0 or not select([pipe], [], [], left)[0]:
            raise TimeoutError("the helper took too long to start")
        part = os.read(pipe, 4096)
        if not part:
            return data
        data += part
