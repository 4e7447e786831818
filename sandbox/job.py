"""What to run: a Python function by import path or by source, or a command by argv.

Never a shell string. Source text is a value here: only the sandbox's own Python compiles it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

from sandbox.errors import ProfileError
from sandbox.requirements import read_requirement

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_DOTTED = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_ENTRY = re.compile(f"{_DOTTED}:{_DOTTED}", re.ASCII)
_FUNCTION = re.compile(_DOTTED, re.ASCII)
_NAME = re.compile(f"{_DOTTED}(?::{_DOTTED})?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

MAX_ARGV_BYTES = 65536
MAX_PATH_BYTES = 512
MAX_SOURCE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PythonJob:
    """Imports `module`, calls `qualname(**arguments)`, gives back its JSON value.

    With `source` the entry is the name of a function in that text, which is run as a module
    of its own first (`__name__` is `__source__`). A prewarmed sandbox is not bound to a text: one
    serves the next job whatever its source.

    A coroutine function is run to its end. `code_roots` are host directories, shown read-only
    inside and put on the import path in their order; `.pth` files in them are not read.

    `preload` names what else the call will need: `module` or `module:attribute.path`. A pool
    looks that up in advance, as it does the entry, within the same limits; without a pool it
    changes nothing.

    `requires` names distributions (PEP 508) that have to be there, in the code roots or in the
    image: looked up before the call, and refused with what to do when one is missing.

    Raises:
        ProfileError: the entry is not `module:qualname` (with `source`: no name), the source is
            over 1 MiB or no text, what is to be preloaded is no name, or a requirement cannot
            be checked.
    """

    entry: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    code_roots: tuple[Path, ...] = ()
    preload: tuple[str, ...] = ()
    source: str | None = None
    requires: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuses an entry that cannot be found, and a requirement that cannot be checked."""
        form, what = (
            (_ENTRY, "module:qualname")
            if self.source is None
            else (_FUNCTION, "the name of a function in the source")
        )
        if len(self.entry) > 500 or not form.fullmatch(self.entry):
            raise ProfileError(f"entry {self.entry!r:.120} is not {what}")
        if self.source is not None:
            _check_source(self.source)
        for text in self.requires:
            read_requirement(text)
        for name in self.preload:
            if len(name) > 500 or not _NAME.fullmatch(name):
                raise ProfileError(f"preload {name!r:.120} is no module[:attribute.path]")

    @property
    def wanted(self) -> tuple[str, ...]:
        """What the call looks up, as far as is known before it."""
        return self.preload if self.source is not None else (self.entry, *self.preload)


def _check_source(source: str) -> None:
    try:
        size = len(source.encode())
    except UnicodeEncodeError as err:
        raise ProfileError("the source holds broken Unicode, so it is no Python text") from err
    if size > MAX_SOURCE_BYTES:
        raise ProfileError(
            f"the source has {size} bytes, {MAX_SOURCE_BYTES} are most; give code of that size"
            " as a code root"
        )


@dataclass(frozen=True, slots=True)
class CommandJob:
    """Runs `argv` (found on the sandbox's own PATH) with `stdin` as its input.

    Raises:
        ProfileError: argv is empty, holds NUL, or is longer than 64 KiB together.
    """

    argv: tuple[str, ...]
    stdin: bytes = b""

    def __post_init__(self) -> None:
        """Refuses an argv the kernel would not take."""
        if not self.argv or not self.argv[0] or any("\0" in part for part in self.argv):
            raise ProfileError("argv is empty or holds a NUL byte")
        if sum(len(part.encode("utf-8", "surrogateescape")) for part in self.argv) > (
            MAX_ARGV_BYTES
        ):
            raise ProfileError(f"argv is longer than {MAX_ARGV_BYTES} bytes; pass it as stdin")


Job: TypeAlias = PythonJob | CommandJob


def checked_path(path: str) -> str:
    """A file name relative to the working directory, as it may cross the boundary either way.

    Raises:
        ProfileError: absolute, `.` or `..` in it, control characters, not UTF-8, or too long.
    """
    try:
        size = len(path.encode())
    except UnicodeEncodeError as err:
        raise ProfileError(f"file name {path!a:.120} is not UTF-8") from err
    plain = PurePosixPath(path)
    if (
        not path
        or size > MAX_PATH_BYTES
        or _CONTROL.search(path)
        or plain.is_absolute()
        or str(plain) != path
        or any(part in (".", "..") for part in plain.parts)
        or any(len(part.encode()) > 255 for part in plain.parts)
    ):
        raise ProfileError(f"file name {path!r:.120} is not a plain relative path")
    return path
