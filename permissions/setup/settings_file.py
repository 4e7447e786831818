"""Which settings file is in force, and what it says.

A file is named (by the program, `--config` or `WARDLINE_CONFIG`) or found: as git finds its
folder, `wardline.toml` is looked for in the working directory and above it, up to the user's
home or the root of the file system. One that is found is obeyed only when the user trusted it
(`permissions.setup.trust`). Relative paths in a file start from the folder it lies in.
"""

from __future__ import annotations

import os
import shlex
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from permissions.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.setup.trust import TrustList

NAME = "wardline.toml"
VARIABLE = "WARDLINE_CONFIG"
MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """One settings file, read once: what is judged is what is obeyed.

    Attributes:
        path: where it lies, absolute.
        origin: who chose it.
        content: its bytes.
    """

    path: Path
    origin: Literal["named", "variable", "found"]
    content: bytes

    def document(self) -> dict[str, Any]:
        """What it says. A byte order mark, as some editors write it, says nothing.

        Raises:
            ConfigError: it is no TOML in UTF-8.
        """
        try:
            return tomllib.loads(self.content.decode("utf-8-sig"))
        except UnicodeDecodeError as err:
            raise ConfigError(
                f"{self.path} is not UTF-8 (byte {err.start}); save it as UTF-8"
            ) from err
        except tomllib.TOMLDecodeError as err:
            raise ConfigError(f"{self.path}: {err}") from err

    def require_trust(self, trusted: TrustList) -> None:
        """Lets a file that was found pass only when the user trusted it as it is.

        Raises:
            ConfigError: it was never trusted, or has changed since; says which command to run.
        """
        if self.origin != "found" or trusted.trusts(self.path, self.content):
            return
        said = (
            "has changed since you trusted it" if trusted.knows(self.path) else "is not trusted"
        )
        raise ConfigError(
            f"{self.path} {said}, and nothing is run on settings that may be somebody else's:"
            f" read it, then run `wardline trust {shlex.quote(str(self.path))}`, or name your own"
            f" with {VARIABLE}"
        )


def settings_file(
    named: Path | None = None,
    *,
    start: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> SettingsFile | None:
    """The settings file in force, trusted or not; None when there is none.

    Args:
        named: the one to read, whatever else there is.
        start: where to look from; the working directory by default.
        environment: variables of the process by default.

    Raises:
        ConfigError: one that is named is not there, or one cannot be read.
    """
    environment = os.environ if environment is None else environment
    if named is not None:
        return _read(named, "named")
    if (variable := environment.get(VARIABLE)) is not None:
        if not variable:
            raise ConfigError(f"{VARIABLE} is empty; give it a file, or unset it")
        return _read(Path(variable), "variable")
    for folder in _upwards(start or Path.cwd()):
        if os.path.lexists(folder / NAME):
            return _read(folder / NAME, "found")
    return None


def _upwards(start: Path) -> Iterator[Path]:
    """`start` and what is above it, up to the user's home, or where a file system begins."""
    start = start.resolve()
    home = Path.home().resolve()
    device = start.stat().st_dev
    for folder in (start, *start.parents):
        if folder.stat().st_dev != device:
            return
        yield folder
        if folder == home:
            return


def _read(path: Path, origin: Literal["named", "variable", "found"]) -> SettingsFile:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would never end
            raise ConfigError(f"the settings file {path} is not a regular file")
        with path.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as err:
        why = "does not exist" if isinstance(err, FileNotFoundError) else err.strerror
        by = f" ({VARIABLE})" if origin == "variable" else ""
        raise ConfigError(f"the settings file {path}{by}: {why}") from err
    if len(content) > MAX_BYTES:
        raise ConfigError(f"the settings file {path} is larger than {MAX_BYTES >> 20} MiB")
    return SettingsFile(path.resolve(), origin, content)
