"""What runs inside the sandbox in place of a guarded function: the function itself.

Arguments are checked once more with the tool's own schema, so that the function gets the
same Python values it would get in process, and the result leaves as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from permissions.execution.carried import encoded, is_binary, require_finite
from permissions.tools.decorator import guard_of

if TYPE_CHECKING:
    from collections.abc import Iterator

REMOVED = ".wardline-removed"
"""File in there: what was there before the call and is gone. (`file_copy` reads it.)"""


def run_tool(
    *,
    module: str,
    qualname: str,
    arguments: dict[str, Any],
    folder: str | None = None,
    outputs: list[str] | None = None,
) -> Any:
    """Imports a guarded function, calls what it guards, and gives its result as JSON.

    Args:
        module: the function's.
        qualname: its name in there.
        arguments: as JSON.
        folder: where the files lie that went in by copy, in the working directory, and where the
            function runs then.
        outputs: paths in it, files or folders, that may be written. Of that, what is new or
            changed after the call is moved to where it comes out.
    """
    start = Path.cwd()
    try:
        if folder is not None:
            Path(folder).mkdir(exist_ok=True)
            os.chdir(folder)
        return _run(module, qualname, arguments, outputs or [], start / "out")
    finally:
        os.chdir(start)


def _run(
    module: str, qualname: str, arguments: dict[str, Any], outputs: list[str], out: Path
) -> Any:
    here = Path.cwd()
    for name in outputs:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
    before = {path: _mark(path) for name in outputs for path in _files(name)}
    value = _called(module, qualname, arguments)
    os.chdir(here)  # wherever the tool went
    if outputs:
        after = {path for name in outputs for path in _files(name)}
        changed = {path for path in after if before.get(path) != _mark(path)}
        _bring_out(out, changed, set(before) - after)
    return value


def _called(module: str, qualname: str, arguments: dict[str, Any]) -> Any:
    definition = guard_of(attrgetter(qualname)(import_module(module))).definition
    call = partial(definition.function, **definition.validate(arguments).values)
    if definition.is_async:
        import anyio

        value = anyio.run(call)
    else:
        value = call()
    if is_binary(definition):
        return encoded(definition.output_adapter.validate_python(value))
    require_finite(value)
    return definition.output_adapter.dump_python(value, mode="json")


def _files(name: str) -> Iterator[str]:
    """A file, or every file and link below a folder."""
    if not os.path.isdir(name):  # noqa: PTH112 - names that are compared as they are spelled
        yield from [name] if os.path.lexists(name) else []
        return
    for folder, folders, names in os.walk(name):
        links = [each for each in folders if Path(folder, each).is_symlink()]
        yield from (os.path.normpath(f"{folder}/{each}") for each in (*names, *links))


def _mark(path: str) -> tuple[int, ...]:
    found = os.lstat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _bring_out(out: Path, changed: set[str], removed: set[str]) -> None:
    """Leaves in the out folder what changed, each at its own path, and nothing else."""
    for each in list(out.iterdir()):
        shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    for name in sorted(changed):
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        Path(name).replace(target)
    if removed:
        (out / REMOVED).write_text(json.dumps(sorted(removed)))
