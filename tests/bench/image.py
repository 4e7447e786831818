"""The default sandbox image under the name `python` as well, which the peers call theirs by.

So everyone starts the same files. Needs nothing but the Docker SDK, which every peer brings.
"""

from __future__ import annotations

import io
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker

if TYPE_CHECKING:
    from collections.abc import Iterator

TAG = "wardline-bench/python:peers"
STOP = "STOPSIGNAL SIGKILL"
"""Else the peers' ends wait five and ten seconds for a process that does not listen."""
LLM = "/sandbox/.sandbox-venv/bin"
LINKS = (
    f"ln -sf python3 /usr/bin/python && mkdir -p {LLM} && ln -sf /usr/bin/python3 {LLM}/python"
)
"""The second is where llm-sandbox's pool looks; its own setup would ask a package index."""


def default_image(client: Any) -> str:
    """The id of the default sandbox image. Others made from it have its label, and not its name."""
    found = client.images.list(
        "wardline/python", filters={"label": "io.wardline.image=default"}
    )
    return str(found[0].id)


@contextmanager
def named_python(client: Any) -> Iterator[str]:
    """The image, while it is needed."""
    default = default_image(client)
    # Under another label, for this is no default image.
    recipe = f'FROM {default}\nLABEL io.wardline.image=bench\n{STOP}\nUSER root\nRUN {LINKS}\nCMD ["python3"]\n'
    client.images.build(
        fileobj=io.BytesIO(recipe.encode()), tag=TAG, rm=True, network_mode="none"
    )
    try:
        yield TAG
    finally:
        client.images.remove(TAG, force=True)


@contextmanager
def engine() -> Iterator[Any]:
    """A client of the engine on this machine."""
    with closing(docker.from_env()) as client:
        yield client


def first_process(client: Any, container: str) -> int:
    """The shim that the engine keeps for a container, with its processes below it."""
    pid = client.api.inspect_container(container)["State"]["Pid"]
    status = Path(f"/proc/{pid}/stat").read_text()
    return int(status.rpartition(")")[2].split()[1])
