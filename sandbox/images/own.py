"""The project's own wheel, built by its own backend (PEP 517) inside a sandbox.

A build runs the project's code and its backend's, so it gets what any job gets: no network, an
unprivileged user, limits, a copy of the project. What comes out is a wheel like any other, and
is looked through like one.
Not possible this way: a build that needs a compiler, `git`, or the network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import ImageRefusedError
from sandbox.images.project import archived
from sandbox.images.wheel import read_wheel
from sandbox.job import PythonJob
from sandbox.profile import MEBIBYTE, SandboxProfile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sandbox.images.project import Project
    from sandbox.images.wheel import Wheel
    from sandbox.protocol import Sandbox

BUILD_SECONDS = 600

_BUILD = """
import importlib, importlib.metadata, os, re, sys, tarfile

def build(backend, folders):
    with tarfile.open("project.tar") as tar:
        tar.extractall("project")
    os.chdir("project")
    module, _, path = backend.partition(":")
    sys.path[:0] = [os.path.abspath(each) for each in folders]
    if path.endswith("__legacy__"):
        sys.path.insert(0, os.getcwd())
    made = importlib.import_module(module)
    for part in path.split(".") if path else ():
        made = getattr(made, part)
    for asked in getattr(made, "get_requires_for_build_wheel", list)():
        importlib.metadata.version(re.match(r"[\\w.-]+", asked)[0])
    return made.build_wheel("/box/out")
"""


def build_profile(image: str) -> SandboxProfile:
    """Wide enough for a build, and otherwise as tight as any."""
    return SandboxProfile(
        image=image,
        memory_bytes=1024 * MEBIBYTE,
        processes=128,
        cpu_seconds=BUILD_SECONDS,
        wall_seconds=float(BUILD_SECONDS),
        open_files=1024,
        work_bytes=512 * MEBIBYTE,
        tmp_bytes=128 * MEBIBYTE,
        files=65_536,
        files_out_bytes=256 * MEBIBYTE,
        # What a build backend is to take for the time of day (reproducible-builds.org)
        environment={"SOURCE_DATE_EPOCH": "315532800"},
    )


def unpacked(wheels: Sequence[Wheel], folder: Path) -> Path:
    """A folder a sandbox can import a backend from."""
    folder.mkdir(mode=0o755)
    for wheel in wheels:
        for name, data, _ in wheel.contents():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


async def built(
    project: Project, sandbox: Sandbox, *, image: str, backend: Path, folder: Path
) -> Wheel:
    """Builds the project's wheel.

    Args:
        project: with a backend.
        sandbox: runs the build.
        image: by digest; the wheel has to fit it.
        backend: from `unpacked`.
        folder: where the wheel is put.

    Raises:
        ImageRefusedError: the build failed, or its wheel is refused.
        SandboxError: no sandbox for it.
    """
    result = await sandbox.run(
        PythonJob(
            "build",
            {"backend": project.backend, "folders": list(project.backend_path)},
            (backend,),
            source=_BUILD,
        ),
        build_profile(image),
        files={"project.tar": archived(project.root)},
    )
    if result.verdict != "ok":
        said = (
            result.error.traceback if result.error else result.stderr.decode("utf-8", "replace")
        )
        shown = "".join(char for char in " ".join(said.split()) if char.isprintable())
        raise ImageRefusedError(
            f"the project's package could not be built in a sandbox ({result.verdict}; no"
            f" network, no compiler): {shown[-1500:]}"
        )
    name = result.value
    data = result.files_out.get(name) if isinstance(name, str) else None
    if data is None or "/" in name:  # a name of `files_out` is a plain relative path
        raise ImageRefusedError(
            f"the project's build named {name!r:.120} and left no such file"
        )
    path = folder / name
    path.write_bytes(data)
    return read_wheel(path)
