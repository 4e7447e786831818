"""Where the values behind `secret://name` handles come from. Values are never logged.

A value is looked up when it is needed and held no longer than that; handles are what stands
in profiles, digests and records.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Protocol

from sandbox.errors import SandboxUnavailableError
from sandbox.network.rules import HANDLE

if TYPE_CHECKING:
    from pathlib import Path

MIN_BYTES, MAX_BYTES = 8, 65536
"""A shorter value could not be scrubbed from output without tearing holes into it."""


class Secret:
    """A value that does not show itself: its text forms are `Secret(...)`."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        """Nothing of the value."""
        return "Secret(...)"

    def __reduce__(self) -> str:
        """Refuses to be pickled.

        Raises:
            TypeError: always.
        """
        raise TypeError("a secret is not written down")


class SecretStore(Protocol):
    """Gives the value of a handle."""

    def get(self, handle: str) -> Secret:
        """The value behind `secret://name`.

        Raises:
            SandboxUnavailableError: there is none, or it is not fit for use.
        """
        ...


class EnvironmentSecrets:
    """Secrets in this process's environment: `secret://git-hub` is `<prefix>GIT_HUB`."""

    def __init__(self, prefix: str = "SANDBOX_SECRET_") -> None:
        self._prefix = prefix

    def get(self, handle: str) -> Secret:
        """See `SecretStore`."""
        variable = self._prefix + _name(handle).upper().replace("-", "_").replace(".", "_")
        value = os.environb.get(variable.encode())
        if value is None:
            raise SandboxUnavailableError(f"{handle} has no value", f"set {variable}")
        return _checked(handle, value)


class FileSecrets:
    """Secrets as files of one directory, named like the handle; a final newline is cut."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, handle: str) -> Secret:
        """See `SecretStore`. A file that others may read or write is refused."""
        path = self._directory / _name(handle)
        try:
            number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as err:
            raise SandboxUnavailableError(
                f"{handle} cannot be read ({err.strerror})", f"put its value into {path}"
            ) from err
        try:
            facts = os.fstat(number)
            if not stat.S_ISREG(facts.st_mode) or facts.st_mode & 0o077:
                raise SandboxUnavailableError(
                    f"the file of {handle} is none, or open to others", f"chmod 600 {path}"
                )
            value = _read(number)
        except OSError as err:
            raise SandboxUnavailableError(
                f"{handle} cannot be read ({err.strerror})", f"look at {path}"
            ) from err
        finally:
            os.close(number)
        return _checked(handle, value.removesuffix(b"\n").removesuffix(b"\r"))


class MemorySecrets:
    """Secrets handed over by the program itself, by handle."""

    def __init__(self, values: dict[str, bytes]) -> None:
        self._values = {_handle(handle): value for handle, value in values.items()}

    def get(self, handle: str) -> Secret:
        """See `SecretStore`."""
        if handle not in self._values:
            raise SandboxUnavailableError(f"{handle} has no value", "give it to MemorySecrets")
        return _checked(handle, self._values[handle])


def _read(number: int) -> bytes:
    """All of a file, or more of it than a secret has."""
    value = b""
    while len(value) <= MAX_BYTES + 2 and (more := os.read(number, MAX_BYTES)):
        value += more
    return value


def _handle(handle: str) -> str:
    if not HANDLE.fullmatch(handle):
        raise SandboxUnavailableError(
            f"{handle!r:.80} is no handle", "write it as secret://name"
        )
    return handle


def _name(handle: str) -> str:
    return _handle(handle).removeprefix("secret://")


def _checked(handle: str, value: bytes) -> Secret:
    if not MIN_BYTES <= len(value) <= MAX_BYTES:
        raise SandboxUnavailableError(
            f"the value of {handle} is too short or too long",
            f"secrets have {MIN_BYTES} to {MAX_BYTES} bytes",
        )
    return Secret(value)
