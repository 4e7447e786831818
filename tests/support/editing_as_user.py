"""A governed tool on a layer, by a broker that is not root; prints what it came to as JSON.

editing_as_user.py docker|bubblewrap WORKSPACE CODE SCRIPT
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import anyio
from editing import editor, script

from permissions.model import Completed
from sandbox.backends.bubblewrap import BubblewrapSandbox
from sandbox.backends.docker import DockerSandbox


async def main(backend: str, workspace: Path, code: Path, text: str) -> None:
    assert os.geteuid() != 0
    opened = DockerSandbox() if backend == "docker" else BubblewrapSandbox()
    tool = "change_in_container" if backend == "docker" else "change"
    async with opened, editor(workspace, code, sandbox=opened) as (broker, session):
        result = await broker.call(session, script(text, tool=tool))
    said = result.value if isinstance(result, Completed) else [result.kind, result.code]
    fates = [e.body["fate"] for e in broker.trace.entries if e.body.get("kind") == "fate"]
    sys.stdout.write(json.dumps({"said": said, "fates": fates}) + "\n")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
