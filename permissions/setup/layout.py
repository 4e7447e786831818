"""Where things stand in the state folder."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from permissions.database import STATE_FILE
from permissions.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


class StateLayout:
    """The files and folders of one state folder, by what they hold."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.keys = root / "keys"
        self.log_key = self.keys / "log.pem"
        self.kek = self.keys / "vault.key"
        self.trace = root / "trace"
        self.bundles = root / "bundles"
        self.code = root / "code"
        self.commits = root / "commits"
        self.database = root / STATE_FILE

    def make(self) -> None:
        """Makes the folders: the root may be passed through, the rest is the owner's.

        A sandbox runs under another user id and has to reach the staged code by name; it can
        neither list the root nor enter any other folder. Keys and contents do not belong in a
        repository, so git is told to leave the whole folder out.

        Raises:
            ConfigError: they cannot be made there.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.root.chmod(0o711)
            for folder in (self.keys, self.trace, self.bundles):
                folder.mkdir(mode=0o700, exist_ok=True)
            self.code.mkdir(mode=0o755, exist_ok=True)
            with suppress(FileExistsError), (self.root / ".gitignore").open("x") as ignored:
                ignored.write("*\n")
        except OSError as err:
            raise ConfigError(
                f"the state folder {self.root} cannot be used ({err.strerror}); it has to be a"
                " folder of this user's own, on a disk with room"
            ) from err
