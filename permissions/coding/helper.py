"""The helper of one user for the hooks of one project, where no daemon is configured.

A broker of its own that stays: opening one takes most of a second, answering a hook some
milliseconds. The first hook starts it (`answerers`), later ones find its socket in the user's own
folder. It ends when nobody asked for `IDLE_SECONDS`; when settings, trusted settings, policies or
other files they name are other than at its start, before it decides anything; within
`LOOK_SECONDS` of a change of the code it runs on; when its socket or its state folder are gone;
and for whoever else opens the log.

As safe as a broker in the hook's own process: whoever can reach it could write the list of
trusted settings, which lies beside. It writes the log alone, by the log's own lock.

Not protected from: a change of what it was started from that comes between its look and the
decision; a hook of its own would have read the files as late as that.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from permissions.coding.answerers import READY
from permissions.coding.desk import QUESTION, open_desk
from permissions.coding.noted import SOCKET, circumstances, of_file, require_own
from permissions.coding.tools import TOOLS
from permissions.errors import ConfigError
from permissions.pdp.bundle import shipped_folder
from permissions.service.clients import Clients
from permissions.service.server import listening
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.setup.layout import StateLayout, control_plane
from permissions.setup.trust import TrustList

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

IDLE_SECONDS = 600.0
LOOK_SECONDS = 1.0
"""Between two looks at whether it is still over."""
LOCK = "helper.lock"
LOCK_SECONDS = 15.0
"""For the one before, which ends, to be gone."""
_CHANGED = "settings, policies or code changed while they were read"
_WATCHED = ("permissions", "sandbox", "wardline")


class Origins:
    """The files a helper was started from, as they were before it read them.

    Args:
        config: the settings, whose own files are looked at as well.
    """

    def __init__(self, config: BrokerConfig) -> None:
        self._config = config
        self._circumstances = circumstances()
        self._fixed = _is_fixed(config, self._circumstances)
        self._named = _seen(self._paths())
        self._code = _seen(_CODE)

    def is_stale(self, about: str) -> bool:
        """Whether a hook with these circumstances is to be answered by another helper."""
        asks, own = self._that_count(about), self._that_count(self._circumstances)
        return asks != own or _changed(self._named)

    def changed(self) -> bool:
        """As `is_stale`, of any hook; looks at the code, too, which takes some milliseconds."""
        return _changed(self._named) or _changed(self._code)

    def _that_count(self, about: str) -> list[str]:
        """Circumstances without the working directory, where no path of the settings needs it."""
        own, folder, *more = about.split("\0")
        return [own, "" if self._fixed else folder, *more]

    def _paths(self) -> Iterator[str]:
        config = self._config
        yield str(TrustList().file)
        if config.source is not None:
            yield str(config.source.path)
        written = (config.state, config.trace.replica, config.trace.known_checkpoints)
        for named in control_plane(config):
            if named not in written:
                yield from _all_of(str(named))
        yield from _all_of(str(shipped_folder()))


def _is_fixed(config: BrokerConfig, about: str) -> bool:
    """Whether no path of the settings starts from the working directory."""
    source, more = config.source, about.split("\0")[2:]
    if source is None or any(
        each.startswith("WARDLINE_") and not each.startswith("WARDLINE_CONFIG=")
        for each in more
    ):
        return False
    said = source.document()
    return "workspace" in said and ("state" in said or source.origin == "found")


def _seen(paths: Iterable[str]) -> dict[str, str]:
    return {path: of_file(path) for path in paths}


def _changed(known: Mapping[str, str]) -> bool:
    """Whether any of them is another one by now, or gone; of what came, its folder tells."""
    return any(of_file(path) != before for path, before in known.items())


def _all_of(path: str) -> Iterator[str]:
    """A file, or a folder with all that is in it."""
    yield path
    for folder, folders, files in os.walk(path):
        yield from (f"{folder}/{name}" for name in (*folders, *files))


def _code() -> Iterator[str]:
    """The files of what is loaded."""
    for name, module in [*sys.modules.items()]:
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] in _WATCHED and isinstance(file, str):
            yield file


_CODE = tuple(sorted(_code()))


def main(folder: str) -> None:
    """Serves hooks until it is not wanted any more. Says on stdout when it is ready, or why not.

    Args:
        folder: of its socket, which is this user's alone.
    """
    os.umask(0o077)
    try:
        require_own(folder)
        lock = _locked(folder)
        config, origins = _settings()
        anyio.run(_serve, config, origins, Path(folder))
        os.close(lock)
    except BaseException as err:
        _say((str(err) or type(err).__name__).encode(errors="replace"))
        raise SystemExit(1) from err


def _settings() -> tuple[BrokerConfig, Origins]:
    """The settings, and their origins as they were before these were read."""
    first = BrokerConfig.load()
    StateLayout(first.state).make(first.workspace)  # which adds a new one to the trusted
    origins = Origins(first)
    config = BrokerConfig.load()
    if control_plane(config) != control_plane(first):
        raise ConfigError(_CHANGED)
    return config, origins


async def _serve(config: BrokerConfig, origins: Origins, folder: Path) -> None:
    over = anyio.Event()

    def is_stale(about: str) -> bool:
        if found := origins.is_stale(about):
            over.set()
        return found

    async with (
        open_broker(config, TOOLS, leave=over.set) as broker,
        open_desk(broker, is_stale) as desk,
        listening(
            broker, folder / SOCKET, Clients(), questions={QUESTION: desk.answer}, mode=0o600
        ),
    ):
        if origins.changed():
            raise ConfigError(_CHANGED)
        at = of_file(str(folder / SOCKET))
        _say(READY)
        while not over.is_set():
            with anyio.move_on_after(LOOK_SECONDS):
                await over.wait()
            idle = not desk.is_used and time.monotonic() - desk.asked > IDLE_SECONDS
            gone = of_file(str(folder / SOCKET)) != at or not config.state.is_dir()
            if idle or gone or origins.changed():
                break


def open_once(config: BrokerConfig) -> None:
    """Opens a broker for these tools and closes it, so that the next one opens quickly.

    Judging policies for the first time takes longer than an agent waits for a hook.

    Raises:
        BrokerError: as `permissions.setup.factory.open_broker`.
    """
    anyio.run(_opened, config)


async def _opened(config: BrokerConfig) -> None:
    async with open_broker(config, TOOLS):
        pass


def _locked(folder: str) -> int:
    """Holds the folder for this process: its predecessor has ended, and nobody else starts."""
    number = os.open(
        os.path.join(folder, LOCK),  # noqa: PTH118
        os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW,
        0o600,
    )
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise TimeoutError("the helper before this one does not end") from None
            time.sleep(0.02)
        else:
            return number


def _say(what: bytes) -> None:
    """Tells who started it, once; nobody is to read more."""
    with suppress(OSError):
        os.write(1, what[:4000])
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.close(null)


if __name__ == "__main__":
    main(sys.argv[1])
