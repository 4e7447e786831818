"""The code a sandboxed tool may import: copies of named packages, never a whole project.

A project folder holds more than code (keys, the trace, `.git`), so the folder itself is never
shown to a sandbox. What is shown is a stage: a copy of the tool's own top-level package or
module, named by the digest of its files. The digest goes into the record, and what runs is
what was staged, whatever happens to the project meanwhile. Files that hold secrets by their name
stay out of it, also below a package.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from permissions.errors import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from permissions.execution.secret_files import SecretFiles

MAX_FILES = 2000
MAX_BYTES = 32 * 1024 * 1024


def import_path(function: Callable[..., Any]) -> tuple[str, str]:
    """Module and qualified name under which a sandbox can import a function.

    Raises:
        ExecutionError: it is defined inside another function, or in no file.
    """
    module, qualname = function.__module__, function.__qualname__
    if "<" in qualname:
        raise ExecutionError(
            f"{qualname} is defined inside another function, so a sandbox cannot import it;"
            " move it to the top level of its module"
        )
    if module == "__main__":
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        if spec is not None:
            return spec.name, qualname
        file = getattr(main, "__file__", None)
        if file is None:
            raise ExecutionError(f"{qualname} was typed in, not imported; put it into a file")
        return Path(file).stem, qualname
    return module, qualname


def installed_roots() -> tuple[Path, ...]:
    """Where installed packages stand for this interpreter."""
    paths = sysconfig.get_paths()
    return tuple(dict.fromkeys(Path(paths[key]).resolve() for key in ("purelib", "platlib")))


OURS = ("wardline", "permissions", "sandbox")
"""What a guarded function's module imports of this distribution."""


class CodeStage:
    """Keeps the staged copies. Safe for several processes: a stage appears whole or not.

    A copy that is there already is compared with the code before it is used, and looked at
    again before each call: one that somebody else put there, or changed, or that a power cut
    tore (nothing waits for it to be on the disk), is replaced.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[tuple[Path, ...], tuple[tuple[_Tree, _Tree], Path]] = {}

    def stage(self, module: str, secrets: SecretFiles | None = None) -> tuple[Path, ...]:
        """Import roots for a tool of this module, best first.

        Args:
            module: the tool's.
            secrets: which files hold secrets, by their path from the package on.

        Raises:
            ExecutionError: the code cannot be found, or is too much to copy.
        """
        installed = installed_roots()
        names = dict.fromkeys((module.partition(".")[0], *OURS))
        sources = [_source(name) for name in names]
        # What lies deeper in there is imported through a folder of its own, not by its name.
        own = [source for source in sources if source.parent not in installed]
        return (self._staged(own, secrets), *installed) if own else installed

    def left_out(self, module: str, secrets: SecretFiles | None) -> tuple[str, ...]:
        """Files of the tool's own package that hold secrets, so that no stage has them."""
        source = _source(module.partition(".")[0])
        if secrets is None or source.parent in installed_roots():
            return ()
        found = (str(file.relative_to(source.parent)) for file in _files(source))
        return tuple(sorted(filter(secrets.has, found)))

    def _staged(self, sources: list[Path], secrets: SecretFiles | None) -> Path:
        files = [(file, file.relative_to(s.parent)) for s in sources for file in _files(s)]
        if secrets is not None:
            files = [(file, name) for file, name in files if not secrets.has(str(name))]
        facts = tuple(_facts(file) for file, _ in files)
        known = self._known.get(tuple(sources))
        if known is not None and known[0] == (facts, _tree(known[1])):
            return known[1]
        target = self._copied(sources, files)
        self._known[tuple(sources)] = (facts, _tree(target)), target
        return target

    def _copied(self, sources: list[Path], files: list[tuple[Path, Path]]) -> Path:
        ordered = sorted(files, key=lambda pair: str(pair[1]))
        copies = [(name, file.read_bytes()) for file, name in ordered]
        if len(copies) > MAX_FILES or sum(len(data) for _, data in copies) > MAX_BYTES:
            raise ExecutionError(
                f"the code of {', '.join(s.name for s in sources)} is more than {MAX_FILES}"
                f" files or {MAX_BYTES >> 20} MiB; put sandboxed tools into a package of their own"
            )
        target = self._folder / _digest(copies)
        if not _holds(target, copies):
            self._remove(target)
            self._write(target, copies)
        return target

    def _remove(self, target: Path) -> None:
        """Takes away what is no copy of the code: it was changed, or brought along."""
        if target.is_symlink() or target.exists():
            aside = self._folder / f".{secrets.token_hex(8)}"
            target.rename(aside)
            aside.unlink() if aside.is_symlink() else shutil.rmtree(aside)

    def _write(self, target: Path, copies: list[tuple[Path, bytes]]) -> None:
        draft = self._folder / f".{secrets.token_hex(8)}"
        for name, data in copies:
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        # The sandbox may run under an id that owns nothing here.
        for path in (draft, *draft.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        try:
            draft.rename(target)
        except OSError:
            shutil.rmtree(draft)  # another process was first
            if not target.is_dir():
                raise


class RecordedCode(CodeStage):
    """The copy of its code that a recorded run had, by its digest.

    Raises:
        ExecutionError: it is not there any more, or is not what it was.
    """

    def __init__(self, folder: Path, digest: str) -> None:
        super().__init__(folder)
        self._copy = folder / digest
        files = sorted(_files(self._copy), key=lambda file: str(file.relative_to(self._copy)))
        copies = [(file.relative_to(self._copy), file.read_bytes()) for file in files]
        if not copies or _digest(copies) != digest or not _holds(self._copy, copies):
            raise ExecutionError(f"the code that it ran ({digest}) is not in {folder} any more")

    def stage(
        self,
        module: str,  # noqa: ARG002 - the same for each
        secrets: SecretFiles | None = None,  # noqa: ARG002 - none was recorded
    ) -> tuple[Path, ...]:
        """See `CodeStage.stage`."""
        return (self._copy, *installed_roots())


def _digest(copies: Iterable[tuple[Path, bytes]]) -> str:
    """Of files by their names, in the order of these."""
    total = hashlib.sha256()
    for name, data in copies:
        total.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    return total.hexdigest()[:32]


_Facts = tuple[str, int, int, int, int]
_Tree = tuple[_Facts, ...]


def _tree(folder: Path) -> _Tree:
    """What tells a folder with all in it from a changed one; nothing when it is none."""
    if folder.is_symlink() or not folder.is_dir():
        return ()
    return tuple(_facts(each) for each in (folder, *sorted(folder.rglob("*"))))


def _holds(folder: Path, copies: list[tuple[Path, bytes]]) -> bool:
    """Whether a folder holds these files and nothing else, each a file and no link."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    wanted = {folder / name: data for name, data in copies}
    folders = {parent for path in wanted for parent in path.parents}
    for each in folder.rglob("*"):
        if each.is_symlink() or (each not in wanted and each not in folders):
            return False
    return all(path.is_file() and path.read_bytes() == data for path, data in wanted.items())


def _facts(file: Path) -> _Facts:
    """What tells a file from a changed one; the kernel alone sets the time of change."""
    status = file.lstat()
    return str(file), status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size


def _source(name: str) -> Path:
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    if file is None and main is not None and Path(main).stem == name:
        file = main
    if file is None and name in OURS and (spec := find_spec(name)) is not None:
        file = spec.origin  # nobody in this process had to import it
    if file is None:
        raise ExecutionError(f"the code of {name!r} is in no file a sandbox could be given")
    path = Path(file).resolve()
    return path.parent if path.name == "__init__.py" else path


def _files(source: Path) -> Iterator[Path]:
    if source.is_file():
        yield source
        return
    for folder, folders, names in os.walk(source):
        folders[:] = [f for f in folders if not f.startswith(".") and f != "__pycache__"]
        for name in names:
            file = Path(folder, name)
            if not name.startswith(".") and file.is_file() and not file.is_symlink():
                yield file
