"""The files a run in a sandbox started from, as the record keeps them, so that it can run again.

One content of JSON, by path: `mode`, and `sha256` with `text` or `base64` of a file, `link` of a
link, nothing more of a folder. The digest is of the bytes that the run had, so that a file with a
secret that was replaced in the record is known for one that is not as it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from base64 import b64decode, b64encode
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from permissions.execution.base import ObservedEffect

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from permissions.execution.base import Outcome
    from permissions.model import JsonObject

MAX_BYTES = 2 * 1024 * 1024
"""Of all files of one run; of more, only how much it was is recorded."""
MAX_FILES = 2000


def of_copies(contents: Mapping[str, bytes]) -> JsonObject | None:
    """What went in by copy; None when it is too much to record."""
    files = {name: _file(data, 0o644) for name, data in contents.items()}
    total = sum(len(data) for data in contents.values())
    return None if len(files) > MAX_FILES or total > MAX_BYTES else files


def of_workspace(workspace: Path, hidden: Collection[str]) -> JsonObject | None:
    """What an overlay of a workspace shows; None when it is too much to record. Blocking.

    Args:
        workspace: absolute, without links.
        hidden: paths in it that the run does not see.
    """
    files: dict[str, JsonObject] = {}
    left = MAX_BYTES
    try:
        for path, status in _below(workspace, frozenset(hidden)):
            name = str(path.relative_to(workspace))
            mode = stat.S_IMODE(status.st_mode)
            if stat.S_ISLNK(status.st_mode):
                files[name] = {"link": os.readlink(path)}  # noqa: PTH115 - the text, not a path
            elif stat.S_ISDIR(status.st_mode):
                files[name] = {"mode": f"{mode:04o}"}
            else:
                left -= status.st_size
                if left < 0:
                    return None
                files[name] = _file(path.read_bytes(), mode)
            if len(files) > MAX_FILES:
                return None
    except OSError:
        return None  # it moved while it was read: what the run saw is not known
    return files


def _below(folder: Path, hidden: frozenset[str]) -> Iterator[tuple[Path, os.stat_result]]:
    folders = [("", folder)]
    while folders:
        prefix, at = folders.pop()
        with os.scandir(at) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                if (name := prefix + entry.name) in hidden:
                    continue
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    folders.append((f"{name}/", Path(entry.path)))
                elif not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
                    continue  # a socket or a device, which no overlay gives either
                yield Path(entry.path), status


def _file(data: bytes, mode: int) -> JsonObject:
    said: JsonObject = {"mode": f"{mode:04o}", "sha256": hashlib.sha256(data).hexdigest()}
    try:
        return {**said, "text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {**said, "base64": b64encode(data).decode("ascii")}


def with_inputs(
    ended: Outcome, inputs: JsonObject | None, outputs: Mapping[str, bytes] | None = None
) -> Outcome:
    """An outcome with what its run started from and the files it made, for the record.

    Args:
        ended: how it ended.
        inputs: from `of_copies` or `of_workspace`.
        outputs: what came out by copy; the change set of an overlay is recorded anyway.
    """
    contents = {}
    if inputs is not None:
        contents["inputs"] = json.dumps(inputs, sort_keys=True).encode("ascii")
    if outputs:
        made = {name: f"sha256:{hashlib.sha256(outputs[name]).hexdigest()}" for name in outputs}
        contents["outputs"] = json.dumps(made, sort_keys=True).encode("ascii")
    body = {
        "kind": "inputs",
        "recorded": inputs is not None,
        "inputs": len(inputs or ()),
        "outputs": len(outputs or ()),
    }
    return replace(ended, effects=(*ended.effects, ObservedEffect(body, contents)))


def restore(inputs: JsonObject, folder: Path) -> list[str]:
    """Writes recorded inputs into an empty folder; gives the paths that are not as they were.

    Raises:
        ValueError: they are not in the form of the record, or lead out of the folder.
        OSError: one cannot be written.
    """
    altered = []
    links: dict[Path, str] = {}
    modes: dict[Path, int] = {}
    for name, each in sorted(inputs.items()):
        path = Path(name)
        if path.is_absolute() or ".." in path.parts or not isinstance(each, dict):
            raise ValueError(f"{name[:200]!r} is no path within a workspace, with its file")
        target = folder / path
        if "link" in each:
            links[target] = str(each["link"])
            continue
        modes[target] = int(str(each["mode"]), 8)
        if "sha256" not in each:
            target.mkdir(parents=True, exist_ok=True)
            continue
        data = _data(each)
        if hashlib.sha256(data).hexdigest() != each["sha256"]:
            altered.append(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    # After the files, so that nothing is written through one.
    for target, leads_to in links.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(leads_to)
    for target, mode in sorted(modes.items(), reverse=True):
        target.chmod(mode)
    return altered


def _data(each: JsonObject) -> bytes:
    if "text" in each:
        return str(each["text"]).encode("utf-8")
    return b64decode(str(each["base64"]), validate=True)
