"""What a workspace overlay costs, against the size of the tree and against copying it.

    python tests/bench/workspaces.py        as root; prints a table in milliseconds

Each figure is the median of `ROUNDS` on this disk, the change set's diffs included.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from sandbox.lease import Lease
from sandbox.workspace import WorkspaceOverlay
from sandbox.workspace.host_mounts import mounted

TREES = (100, 10_000, 100_000)
CHANGES = (1, 10, 100)
ROUNDS = 5
FOLDER_FILES = 100


def tree(workspace: Path, files: int) -> None:
    """Files of one kilobyte, in folders of a hundred."""
    for number in range(files):
        folder = workspace / f"d{number // FOLDER_FILES}"
        if number % FOLDER_FILES == 0:
            folder.mkdir(parents=True)
        (folder / f"f{number % FOLDER_FILES}").write_text(f"{number}\n" * 100)


def overlaid(workspace: Path, changes: int, mark: int) -> list[float]:
    """Seconds to open and mount, to read the change set, and to commit it."""
    lease = Lease.of_this_process(wall_seconds=60)
    times = [time.perf_counter()]
    with WorkspaceOverlay(workspace) as overlay:
        with mounted(overlay, size=64 << 20, files=10_000, lease=lease) as mount:
            times.append(time.perf_counter())
            for number in range(changes):
                (mount.merged / f"d0/f{number}").write_text(f"changed {mark}\n")
        began = time.perf_counter()
        found = overlay.changes()
        times.append(times[-1] + time.perf_counter() - began)
        if len(found.changes) != changes:
            raise SystemExit(f"{len(found.changes)} changes, not {changes}")
        began = time.perf_counter()
        overlay.commit(found)
        times.append(times[-1] + time.perf_counter() - began)
    return [after - before for before, after in pairwise(times)]


def copied(workspace: Path) -> float:
    """Seconds to copy the tree, which is what there would be without an overlay."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=workspace.parent) as other:
        shutil.copytree(workspace, Path(other, "copy"))
        return time.perf_counter() - began


def main() -> None:
    """Prints the table."""
    print("| files | changes | open | change set | commit | copying the tree |")  # noqa: T201
    print("|---|---|---|---|---|---|")  # noqa: T201
    for files in TREES:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as path:
            workspace = Path(path, "workspace")
            tree(workspace, files)
            copy = copied(workspace)
            for changes in CHANGES:
                rounds = [overlaid(workspace, changes, mark) for mark in range(ROUNDS)]
                medians = [
                    statistics.median(column) * 1000 for column in zip(*rounds, strict=True)
                ]
                shown = " | ".join(f"{each:.1f}" for each in medians)
                print(f"| {files:,} | {changes} | {shown} | {copy * 1000:.0f} |")  # noqa: T201


if __name__ == "__main__":
    main()
