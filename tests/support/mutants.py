"""Sandboxes of which one protection was taken away, to see that the abuse suite notices.

A mutant is a copy of the package with a few edits. It is run as a process of its own, so nothing
here is ever patched: what is tried is the very code, less the edit. What each takes away, and
which rows must be open then, is in `mutant_table`.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sandbox.probes.table import Status

ROOT = Path(__file__).parents[2]
SECONDS = 240

FOLDER, NETWORK = "@FOLDER@", "@NETWORK@"
"""In an edit: a folder open to everybody, and a network of the engine that leads nowhere."""

PROBE = """
import anyio, json, sys
import sandbox
from sandbox.probes import columns_here, run_probes
root, name, *numbers = sys.argv[1:]
assert sandbox.__file__.startswith(root), sandbox.__file__
async def main():
    columns, missing = await columns_here([name])
    columns = [column for column in columns if column.runtime is None]
    try:
        findings = await run_probes(columns, numbers=map(int, numbers))
    finally:
        for column in columns:
            await column.sandbox.aclose()
    told = {found.number: [found.outcome.status, found.outcome.detail] for found in findings}
    print(json.dumps([told, missing]))
anyio.run(main)
"""

LONELY = ("unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh")
"""Runs a command in a network that leads nowhere: to share it with a job bothers nobody."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One text of a module that is replaced by another.

    Attributes:
        file: relative to the package.
        old: stands in it exactly once.
        new: in its stead.
    """

    file: str
    old: str
    new: str

    def applied(self, text: str) -> str:
        """The module's text without the protection.

        Raises:
            ValueError: `old` is not there, or not alone: the module has changed.
        """
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has {self.old!r} {text.count(self.old)} times")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One protection that is taken away.

    Attributes:
        name: of the protection.
        edits: by backend.
        rows: that must be open without it.
        batch: mutants of one batch are taken away together, because no row sees two of them.
    """

    name: str
    edits: Mapping[str, tuple[Edit, ...]]
    rows: tuple[int, ...]
    batch: str


def everywhere(*edits: Edit) -> dict[str, tuple[Edit, ...]]:
    """The same edits for each backend."""
    return dict.fromkeys(("oci", "docker", "bubblewrap"), edits)


def edited(edits: Iterable[Edit]) -> dict[str, str]:
    """The modules that some edits change, by file, as they are then.

    Raises:
        ValueError: one of them does not apply any more.
    """
    texts: dict[str, str] = {}
    for edit in edits:
        text = texts.get(edit.file) or (ROOT / "sandbox" / edit.file).read_text("utf-8")
        texts[edit.file] = edit.applied(text)
    for file, text in texts.items():
        compile(text, file, "exec")
    return texts


def ran(program: str, *arguments: str, edits: Iterable[Edit], lonely: bool = False) -> Any:
    """What a program that imports an edited copy of the package prints last, which is JSON.

    Args:
        program: its text. Its first argument is the copy's folder.
        arguments: further ones.
        edits: of the package.
        lonely: True to run in a network that leads nowhere.

    Raises:
        RuntimeError: it failed, or printed nothing.
    """
    with ExitStack() as stack:
        # Not below the tests' own folder: the sandboxes' users have to get at it.
        root = Path(tempfile.mkdtemp(prefix="wardline-mutant-", dir="/var/tmp"))
        stack.callback(shutil.rmtree, root)
        root.chmod(0o755)
        package = root / "sandbox"
        shutil.copytree(ROOT / "sandbox", package)
        edits = [
            Edit(edit.file, edit.old, edit.new.replace(FOLDER, str(_shown(root))))
            for edit in edits
        ]
        if any(NETWORK in edit.new for edit in edits):
            name = stack.enter_context(_network())
            edits = [
                Edit(edit.file, edit.old, edit.new.replace(NETWORK, name)) for edit in edits
            ]
        for file, text in edited(edits).items():
            (package / file).write_text(text, "utf-8")
        command = [sys.executable, "-B", "-P", "-c", program, str(root), *arguments]
        done = subprocess.run(
            [*(LONELY if lonely else ()), *command],
            env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
            capture_output=True,
            check=False,
            text=True,
            timeout=SECONDS,
        )
    if done.returncode != 0 or not done.stdout:
        raise RuntimeError(f"exit {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def probed(
    backend: str, rows: Iterable[int], edits: Iterable[Edit], *, lonely: bool = False
) -> dict[int, tuple[Status, str]]:
    """What became of rows on a backend without what the edits take away: status and detail.

    Args:
        backend: its name.
        rows: to attempt.
        edits: of the package.
        lonely: True to run in a network that leads nowhere.

    Raises:
        RuntimeError: the suite itself ended.
    """
    numbers = map(str, sorted(rows))
    told, missing = ran(PROBE, backend, *numbers, edits=edits, lonely=lonely)
    if not told:
        raise RuntimeError(f"no {backend} here: {missing}")
    return {int(number): (status, detail) for number, (status, detail) in told.items()}


def _shown(root: Path) -> Path:
    """A folder open to everybody, with something in it that looks like a token."""
    folder = root / "shown"
    (folder / "secrets").mkdir(parents=True, exist_ok=True)
    (folder / "secrets" / "token").write_text("a token\n", "utf-8")
    for path in (folder, folder / "secrets"):
        path.chmod(0o777)
    return folder


@contextmanager
def _network() -> Iterator[str]:
    """A network of the engine without a gateway; removed on leaving."""
    name = f"wardline-mutant-{secrets.token_hex(6)}"
    subprocess.run(
        ["docker", "network", "create", "--internal", name], check=True, capture_output=True
    )
    try:
        yield name
    finally:
        subprocess.run(["docker", "network", "rm", name], check=False, capture_output=True)
