"""A look at the containers of this process through the engine: the host's view of a job."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any

from anyio import to_thread


async def containers() -> list[dict[str, Any]]:
    """The engine's description of every living container that this process leased."""
    return await to_thread.run_sync(_containers)


def _containers() -> list[dict[str, Any]]:
    from sandbox.backends.docker.engine import Engine

    found: list[dict[str, Any]] = []
    mine = f".{os.getpid()}."
    with closing(Engine.connect()) as engine:
        for left in engine.leftovers():
            if mine not in left.lease or left.state != "running":
                continue
            try:
                found.append(engine.client.inspect_container(left.id))
            except Exception as err:
                if getattr(err, "status_code", None) != 404:  # it ended meanwhile
                    raise
    return found
