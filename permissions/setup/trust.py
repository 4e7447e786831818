"""Which settings files the user trusts: a list of paths and digests in the user's own folder.

A settings file that is found, not named, may have come with somebody's checkout. It is obeyed
only when exactly this content at exactly this path was trusted before: by `wardline trust`, or
by `wardline init` that wrote it. Every change needs a new yes, as with direnv.

Does not protect from: a program that runs as this user and writes the list; and what a trusted
file points to (a folder of policies in the same checkout) is not part of the digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING

from permissions.errors import ConfigError
from permissions.files import make_folder, replace
from permissions.user_folders import state_folder

if TYPE_CHECKING:
    from pathlib import Path


class TrustList:
    """The user's trusted settings files. Nothing is remembered between two questions.

    Args:
        file: where the list lies; the user's own by default.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or state_folder() / "trusted.json"

    def trusts(self, path: Path, content: bytes) -> bool:
        """Whether this content was trusted at this path.

        Raises:
            ConfigError: the list cannot be read, or others can write it.
        """
        return self.entries().get(_key(path)) == _digest(content)

    def knows(self, path: Path) -> bool:
        """Whether some content was trusted at this path."""
        return _key(path) in self.entries()

    def add(self, path: Path, content: bytes) -> None:
        """Trusts this content at this path, in the place of what was trusted there before.

        Raises:
            ConfigError: the list cannot be read or written.
        """
        self._write({**self.entries(), _key(path): _digest(content)})

    def remove(self, path: Path) -> bool:
        """Trusts this path no more; False when it was not trusted.

        Raises:
            ConfigError: the list cannot be read or written.
        """
        entries = self.entries()
        known = entries.pop(_key(path), None) is not None
        if known:
            self._write(entries)
        return known

    def entries(self) -> dict[str, str]:
        """Digest by path.

        Raises:
            ConfigError: the list cannot be read, is no such list, or others can write it.
        """
        try:
            with self.file.open("rb") as opened:
                about = os.fstat(opened.fileno())
                text = opened.read()
        except FileNotFoundError:
            return {}
        except OSError as err:
            raise ConfigError(
                f"the list of trusted settings {self.file}: {err.strerror}"
            ) from err
        if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o022:
            raise ConfigError(
                f"the list of trusted settings {self.file} can be written by others; look at"
                f" it, then chown it to you and chmod 600 {self.file}"
            )
        try:
            entries = json.loads(text)["trusted"]
            if all(isinstance(each, str) for pair in entries.items() for each in pair):
                return dict(entries)
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        raise ConfigError(
            f"{self.file} is no list of trusted settings; remove it and trust again"
        )

    def _write(self, entries: dict[str, str]) -> None:
        text = json.dumps({"trusted": entries}, indent=2, sort_keys=True)
        try:
            make_folder(self.file.parent)
            replace(self.file, text.encode())
        except OSError as err:
            raise ConfigError(
                f"the list of trusted settings {self.file} cannot be written: {err.strerror}"
            ) from err


def _key(path: Path) -> str:
    return str(path.resolve())


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
