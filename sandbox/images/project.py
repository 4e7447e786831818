"""A user's project as it is read for an image: names, lock and build backend. Runs none of it.

What is pinned comes from the first of `uv.lock`, `pylock.toml` (PEP 751), `requirements.txt`
and the dependencies in `pyproject.toml`. Its own package is built when there is a
`[build-system]` (PEP 517), as `uv` has it.
"""

from __future__ import annotations

import io
import os
import re
import stat
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from sandbox.errors import ImageRefusedError

MAX_TEXT_BYTES = 32 * 1024 * 1024
MAX_PROJECT_FILES = 10_000
MAX_PROJECT_BYTES = 64 * 1024 * 1024
"""Of the project's own files that are built; its data belongs elsewhere."""

Source = Literal["uv.lock", "pylock.toml", "requirements.txt", "pyproject.toml"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,99}")
_EPOCH = 315_532_800
"""1980-01-01, the first day an archive of the kind wheels are can name."""


@dataclass(frozen=True, slots=True)
class Project:
    """What is known of a project before anything is fetched.

    Attributes:
        root: its folder, the real path.
        name: from `pyproject.toml`, else the folder's.
        version: from `pyproject.toml`; `0` where that is empty or made at build time.
        dependencies: as declared, in PEP 508; what a lock has to satisfy.
        source: the file that says what goes in.
        backend: object path of the build backend; None when there is no package to build.
        backend_path: folders of the project it is imported from.
        backend_requires: what it needs.
    """

    root: Path
    name: str
    version: str
    dependencies: tuple[str, ...]
    source: Source
    backend: str | None
    backend_path: tuple[str, ...]
    backend_requires: tuple[str, ...]

    def text(self, name: Source) -> str:
        """One of its files."""
        text = _text(self.root, name)
        if text is None:
            raise ImageRefusedError(f"{name} of the project is gone")
        return text


def read_project(root: Path, *, python: str) -> Project:
    """Reads a project's declarations.

    Args:
        root: its folder.
        python: minor version of the image, `3.11`.

    Raises:
        ImageRefusedError: there is no project, it is for another Python, or cannot be read.
    """
    if not root.is_dir():
        raise ImageRefusedError(f"{str(root)!r:.200} is no folder; give the project's")
    root = root.resolve()
    declared = _toml(root, "pyproject.toml") or {}
    found = [
        name
        for name in ("uv.lock", "pylock.toml", "requirements.txt", "pyproject.toml")
        if _text(root, name) is not None
    ]
    if not found:
        raise ImageRefusedError(
            f"{str(root)!r:.200} holds no project: none of uv.lock, pylock.toml,"
            " requirements.txt, pyproject.toml"
        )
    about, build = _table(declared, "project"), declared.get("build-system")
    _check_python(about.get("requires-python"), python)
    dynamic = about.get("dynamic") or []
    if found[0] == "pyproject.toml" and "dependencies" in dynamic:
        raise ImageRefusedError(
            "the dependencies in pyproject.toml are dynamic, so only running its build tells"
            " them; lock them with `uv lock`"
        )
    system = build if isinstance(build, dict) else {}
    name = str(about.get("name") or re.sub(r"[^A-Za-z0-9]+", "-", root.name).strip("-"))
    version = str(about.get("version") or "0")
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(version):
        raise ImageRefusedError(
            f"{name!r:.120} {version!r:.40} is no name and version of a project"
        )
    return Project(
        root=root,
        name=name,
        version=version,
        dependencies=_requirements(about.get("dependencies")),
        source=found[0],  # type: ignore[arg-type]  # one of the four names above
        backend=str(system.get("build-backend") or "setuptools.build_meta:__legacy__")
        if isinstance(build, dict)
        else None,
        backend_path=tuple(map(str, system.get("backend-path") or ())),
        backend_requires=_requirements(system.get("requires", ["setuptools"])),
    )


def _check_python(wanted: Any, python: str) -> None:
    if wanted is None:
        return
    try:
        # Of a minor version the last patch: what the image has is at least as new as any other.
        fits = SpecifierSet(str(wanted)).contains(f"{python}.99")
    except InvalidSpecifier as err:
        raise ImageRefusedError(f"requires-python {wanted!r:.80} cannot be read") from err
    if not fits:
        raise ImageRefusedError(
            f"the project needs Python {wanted!s:.80}, the image has {python}; run `wardline"
            " sandbox build` with the Python the project is for"
        )


def _requirements(listed: Any) -> tuple[str, ...]:
    found = tuple(str(each) for each in listed or ())
    for text in found:
        try:
            wanted = Requirement(text)
        except InvalidRequirement as err:
            raise ImageRefusedError(f"dependency {text!r:.120} is not PEP 508") from err
        if wanted.url is not None:
            raise ImageRefusedError(
                f"dependency {wanted.name!r:.80} is given by a URL; only packages of an index"
                " go into an image"
            )
    return found


def _table(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _toml(root: Path, name: str) -> dict[str, Any] | None:
    text = _text(root, name)
    try:
        return None if text is None else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as err:
        raise ImageRefusedError(f"{name} is no TOML: {err!s:.200}") from err


def _text(root: Path, name: str) -> str | None:
    entry = root / name
    if not os.path.lexists(entry):
        return None
    try:
        real = entry.resolve(strict=True)
        status = real.stat()
        if not real.is_relative_to(root) or not stat.S_ISREG(status.st_mode):
            raise ImageRefusedError(f"{name} leads out of the project, or is no regular file")
        if status.st_size > MAX_TEXT_BYTES:
            raise ImageRefusedError(f"{name} is larger than {MAX_TEXT_BYTES >> 20} MiB")
        return real.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise ImageRefusedError(f"{name} of the project cannot be read: {err!s:.200}") from err


def archived(root: Path) -> bytes:
    """The project's own files as a tar archive, for a build in a sandbox.

    Names that begin with a dot (`.git`, `.env`, `.venv`), byte code and virtual environments
    stay out. Links stay links, and may lead to paths of the project only.

    Raises:
        ImageRefusedError: a link that leads out, a device or pipe, or too much of it.
    """
    target = io.BytesIO()
    left = MAX_PROJECT_BYTES
    count = 0
    with tarfile.open(fileobj=target, mode="w") as tar:
        for folder, folders, names in os.walk(root, onerror=_raise):
            here = Path(folder)
            linked = [name for name in folders if (here / name).is_symlink()]
            folders[:] = sorted(name for name in folders if _is_wanted(here / name))
            for name in sorted([*names, *linked]):
                path = here / name
                if name.startswith(".") or name.endswith(".pyc"):
                    continue
                entry = _entry(root, path)
                left -= entry.size
                count += 1
                if left < 0 or count > MAX_PROJECT_FILES:
                    raise ImageRefusedError(
                        f"the project's own files are over {MAX_PROJECT_BYTES >> 20} MiB or"
                        f" {MAX_PROJECT_FILES} files (at {entry.name!r:.120}); keep data, builds"
                        " and environments out of its folder, or below a name that begins with"
                        " a dot"
                    )
                with path.open("rb") if entry.isreg() else io.BytesIO() as file:
                    tar.addfile(entry, file)
    return target.getvalue()


def _is_wanted(folder: Path) -> bool:
    return not (
        folder.name.startswith(".")
        or folder.name == "__pycache__"
        or folder.is_symlink()
        or (folder / "pyvenv.cfg").is_file()
    )


def _entry(root: Path, path: Path) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(str(path.relative_to(root)))
    status = path.lstat()
    entry.mtime = _EPOCH
    entry.mode = 0o755 if status.st_mode & 0o111 else 0o644
    if stat.S_ISLNK(status.st_mode):
        leads = path.readlink()
        if leads.is_absolute() or not path.resolve().is_relative_to(root):
            raise ImageRefusedError(
                f"{entry.name!r:.120} is a link that leads out of the project"
            )
        entry.type, entry.linkname = tarfile.SYMTYPE, str(leads)
    elif stat.S_ISREG(status.st_mode):
        entry.size = status.st_size
    else:
        raise ImageRefusedError(f"{entry.name!r:.120} is neither a file nor a folder")
    return entry


def _raise(err: OSError) -> None:
    raise ImageRefusedError(f"the project cannot be read: {err!s:.200}") from err
