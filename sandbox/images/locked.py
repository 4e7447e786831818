"""What goes into an image, pinned: name, version and SHA-256 of each wheel, and the wheels.

`uv` resolves and `pip` fetches, both from the user's own indexes. Both are told that nothing may
be built, and neither sees the project's folder, so nothing of it is run or imported here: only
its requirements, read by this module, reach them. A source distribution is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from packaging.markers import UndefinedComparison
from packaging.pylock import (
    Pylock,
    PylockSelectError,
    PylockUnsupportedVersionError,
    PylockValidationError,
)
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from sandbox.errors import ImageRefusedError, SandboxUnavailableError
from sandbox.images.wheel import Wheel, read_wheel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from packaging.pylock import Package

    from sandbox.images.project import Project, Source

FETCH_SECONDS = 1800
REMEDY = "`pip install 'wardline[images]'`"
NO_WHEEL = (
    "an image takes wheels only, because building runs the package's own code on this machine;"
    " where you trust that, `pip wheel NAME` and name the folder with --find-links in"
    " requirements.txt"
)

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_INDEX = {
    "-i": "--index-url",
    "--index-url": "--index-url",
    "--extra-index-url": "--extra-index-url",
    "-f": "--find-links",
    "--find-links": "--find-links",
}
_GLIBC = (17, 28, *range(31, 41))
"""Of the platforms `uv` knows."""


@dataclass(frozen=True, slots=True)
class Target:
    """The machine inside an image.

    Attributes:
        python: minor version, `3.11`.
        machine: `x86_64`, `aarch64`.
        glibc: minor version of the C library, 36 for 2.36.
    """

    python: str
    machine: str
    glibc: int


@dataclass(frozen=True, slots=True)
class Lines:
    """A requirements file of the kind that is taken: names, versions, hashes, indexes.

    Attributes:
        pins: each requirement and its hashes.
        options: where the index is, for both tools.
    """

    pins: tuple[tuple[Requirement, frozenset[str]], ...]
    options: tuple[str, ...] = ()

    @property
    def is_locked(self) -> bool:
        """True when each names one version and has a hash."""
        return all(
            hashes and [each.operator for each in pin.specifier] in (["=="], ["==="])
            for pin, hashes in self.pins
        )

    def text(self) -> str:
        """The file again, in one spelling."""
        lines = [
            " ".join([str(pin), *(f"--hash={each}" for each in sorted(hashes))])
            for pin, hashes in self.pins
        ]
        return "".join(f"{line}\n" for line in [*self.options, *sorted(lines)])

    @property
    def digest(self) -> str:
        """`sha256:...` of what is pinned, whatever file and index said it."""
        text = Lines(self.pins).text()
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def read_lines(text: str, *, root: Path) -> Lines:
    """Reads a requirements file.

    Args:
        text: of the file.
        root: what relative folders of `--find-links` start from.

    Raises:
        ImageRefusedError: a path, a URL, a repository, an editable, or any other option.
    """
    pins, options = [], []
    for number, line in enumerate(text.replace("\\\n", " ").splitlines(), 1):
        bare = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
        if not bare:
            continue
        if bare.startswith("-"):
            options += _option(bare, root)
            continue
        words, *hashes = re.split(r"\s--hash[= ]", bare)
        try:
            pin = Requirement(words)
        except InvalidRequirement as err:
            raise ImageRefusedError(
                f"line {number}: {bare!r:.120} is no name with versions; paths, repositories"
                " and editables do not go into an image"
            ) from err
        if pin.url is not None or not all(_SHA256.fullmatch(each.strip()) for each in hashes):
            raise ImageRefusedError(
                f"line {number}: {bare!r:.120} has a URL or a hash that is not sha256"
            )
        pins.append((pin, frozenset(each.strip() for each in hashes)))
    return Lines(tuple(pins), tuple(options))


def _option(line: str, root: Path) -> list[str]:
    name, _, value = line.replace("=", " ", 1).partition(" ")
    value = value.strip()
    if name == "--no-index" and not value:
        return [name]
    if name not in _INDEX or not value:
        raise ImageRefusedError(
            f"requirements option {line!r:.120} is not taken; known are --index-url,"
            " --extra-index-url, --find-links, --no-index"
        )
    if _INDEX[name] == "--find-links" and "://" not in value:
        value = str((root / value).resolve())
    return [f"{_INDEX[name]} {value}"]


def read_pylock(text: str) -> Lines:
    """Reads a lock file of PEP 751, as far as it holds for this machine.

    Raises:
        ImageRefusedError: it is none, it excludes this Python or machine, or a package in it
            has no wheel with a hash.
    """
    try:
        lock = Pylock.from_dict(tomllib.loads(text))
        return Lines(tuple(_pin(package) for package, _ in lock.select()))
    except tomllib.TOMLDecodeError as err:
        raise ImageRefusedError(f"pylock.toml cannot be read: {err!s:.200}") from err
    except PylockUnsupportedVersionError as err:
        raise ImageRefusedError(f"pylock.toml is not of lock-version 1: {err!s:.200}") from err
    except PylockSelectError as err:
        raise ImageRefusedError(
            f"pylock.toml is not for this Python and machine: {err!s:.300}; {NO_WHEEL}"
        ) from err
    except (PylockValidationError, UndefinedComparison, AttributeError, TypeError) as err:
        raise ImageRefusedError(
            f"pylock.toml is not in the form of PEP 751: {err!s:.200}"
        ) from err


def _pin(package: Package) -> tuple[Requirement, frozenset[str]]:
    hashes = frozenset(
        f"sha256:{wheel.hashes['sha256']}"
        for wheel in package.wheels or ()
        if "sha256" in wheel.hashes
    )
    if package.version is None or not hashes or not all(map(_SHA256.fullmatch, hashes)):
        raise ImageRefusedError(
            f"pylock.toml has no wheel with a sha256 for {package.name!r:.80}; {NO_WHEEL}"
        )
    return Requirement(f"{package.name}=={package.version}"), hashes


def pinned(project: Project, target: Target, scratch: Path) -> Lines:
    """Everything a project needs besides itself. Blocking; asks an index if it is not locked.

    Args:
        project: whose requirements.
        target: the image's machine.
        scratch: an empty folder.

    Raises:
        ImageRefusedError: a lock that is not taken, or requirements that cannot be resolved.
        SandboxUnavailableError: `uv` is missing.
    """
    lines: Lines
    match project.source:
        case "uv.lock":
            for name in _LOCKED_BY_UV:
                (scratch / name).write_text(project.text(name), "utf-8")
            said = _run(_uv("export", *_EXPORT), scratch, "uv.lock cannot be read")
            lines = read_lines(said, root=project.root)
        case "pylock.toml":
            lines = read_pylock(project.text("pylock.toml"))
        case "requirements.txt":
            lines = read_lines(project.text("requirements.txt"), root=project.root)
        case "pyproject.toml":
            lines = read_lines("\n".join(project.dependencies), root=project.root)
        case _:
            assert_never(project.source)
    return lines if lines.is_locked else resolved(lines, target, scratch)


_LOCKED_BY_UV: tuple[Source, ...] = ("uv.lock", "pyproject.toml")
_EXPORT = (
    *("--frozen", "--no-dev", "--no-emit-project", "--no-header", "--no-annotate"),
    *("--format", "requirements.txt", "--offline", "--quiet"),
)


def resolved(lines: Lines, target: Target, scratch: Path) -> Lines:
    """Versions and hashes for requirements, from the index as it is now.

    Raises:
        ImageRefusedError: they contradict each other, or one has no wheel for the target.
        SandboxUnavailableError: `uv` is missing.
    """
    if not lines.pins:
        return lines
    asked = scratch / "asked.txt"
    asked.write_text(lines.text(), "utf-8")
    glibc = max(each for each in _GLIBC if each <= max(target.glibc, _GLIBC[0]))
    said = _run(
        _uv(
            *("pip", "compile", "--generate-hashes", "--only-binary", ":all:"),
            *("--python-version", target.python, "--no-header", "--no-annotate", "--quiet"),
            *("--python-platform", f"{target.machine}-manylinux_2_{glibc}", str(asked)),
        ),
        scratch,
        f"the requirements cannot be resolved ({NO_WHEEL})",
    )
    return Lines(read_lines(said, root=scratch).pins, lines.options)


def fetched(lines: Lines, target: Target, scratch: Path) -> list[Wheel]:
    """The wheels themselves, each with a hash that was pinned. Blocking; downloads.

    Args:
        lines: locked.
        target: the image's machine.
        scratch: a folder for them, at a path of its own.

    Raises:
        ImageRefusedError: a hash that is not the pinned one, no wheel for the target, or a
            wheel that is refused.
        SandboxUnavailableError: `pip` is missing.
    """
    if not lines.pins:
        return []
    asked, folder = scratch / "pinned.txt", scratch / "wheels"
    asked.write_text(lines.text(), "utf-8")
    folder.mkdir()
    platforms = [
        f"--platform={name}_{target.machine}"
        for name in (
            *(f"manylinux_2_{minor}" for minor in range(target.glibc, 4, -1)),
            *("manylinux2014", "manylinux2010", "manylinux1", "linux"),
        )
    ]
    _run(
        [
            # Isolated: whatever lies in this folder is not on pip's import path.
            *(sys.executable, "-I", "-m", "pip", "download", "--quiet", "--no-input"),
            *("--no-deps", "--require-hashes", "--only-binary=:all:", f"--dest={folder}"),
            *(f"--python-version={target.python}", "--implementation=cp", *platforms),
            *("--disable-pip-version-check", f"--requirement={asked}"),
        ],
        scratch,
        f"the wheels cannot be fetched ({NO_WHEEL})",
    )
    known = {str(canonicalize_name(pin.name)): hashes for pin, hashes in lines.pins}
    wheels = [read_wheel(path) for path in sorted(folder.iterdir())]
    for wheel in wheels:
        if f"sha256:{wheel.sha256}" not in known.get(wheel.name, frozenset()):
            raise ImageRefusedError(f"wheel {wheel.path.name!r:.120} is not one that is pinned")
    return wheels


def check_complete(dependencies: Iterable[str], wheels: Sequence[Wheel]) -> None:
    """Refuses a lock that does not give what the project declares: it is older than that.

    Raises:
        ImageRefusedError: a dependency is missing, or of another version.
    """
    found = {wheel.name: wheel.version for wheel in wheels}
    for text in dependencies:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        version = found.get(canonicalize_name(wanted.name))
        if version is None or not wanted.specifier.contains(version, prereleases=True):
            raise ImageRefusedError(
                f"the project declares {text!r:.120}, and its lock gives"
                f" {version or 'nothing'} for it; lock it again"
            )


def _uv(*arguments: str) -> list[str]:
    try:
        from uv import find_uv_bin  # of the extra

        program: str | None = find_uv_bin()
    except (ImportError, FileNotFoundError):
        program = shutil.which("uv")
    if program is None:
        raise SandboxUnavailableError("uv is missing, which resolves the packages", REMEDY)
    # Its own interpreter, not one the project's folder offers; and no settings of a project.
    return [program, *arguments, "--no-config", "--python", sys.executable]


def _run(command: list[str], folder: Path, what: str) -> str:
    """What a tool said on stdout.

    Raises:
        ImageRefusedError: it failed; the end of what it said is in the message.
        SandboxUnavailableError: it is missing.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=FETCH_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        raise ImageRefusedError(f"{what}: {err!s:.300}") from err
    if done.returncode != 0:
        said = "".join(char for char in " ".join(done.stderr.split()) if char.isprintable())
        if "No module named pip" in said:
            raise SandboxUnavailableError("pip is missing, which fetches the wheels", REMEDY)
        raise ImageRefusedError(f"{what}: {said[-1500:]}")
    return done.stdout
