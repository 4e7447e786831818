"""Default images that a later build took the name of: removed by `gc`, and nothing else is."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import tarfile
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sandbox.backends.docker.engine import Engine
from sandbox.backends.docker.image import (
    IMAGE_LABEL,
    PYTHON_LABEL,
    REPOSITORY,
    remove_superseded,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.docker]

PYTHON = f"0.{secrets.randbelow(10**9)}"
"""Of no image that anybody else has here."""


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def archive(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return made.getvalue()


@pytest.fixture
def engine() -> Iterator[Engine]:
    with closing(Engine.connect()) as opened:
        yield opened


class Others:
    """Every image that a test did not load: those of other tests come and go meanwhile."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.ours: set[str] = set()

    def load(self, *, made: int, named: bool = False, kind: str = "default") -> str:
        """An image of one small file, made in the given year; gives its id."""
        layer = archive({"made": f"{made} {secrets.token_hex(8)}".encode()})
        config = {
            "architecture": "amd64",
            "os": "linux",
            "created": f"{made}-01-01T00:00:00Z",
            "config": {"Labels": {IMAGE_LABEL: kind, PYTHON_LABEL: PYTHON}, "Cmd": ["/made"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        }
        text = json.dumps(config).encode()
        tags = [f"{REPOSITORY}:{PYTHON}"] if named else None
        manifest = [{"Config": "config.json", "RepoTags": tags, "Layers": ["layer.tar"]}]
        files = {"manifest.json": json.dumps(manifest).encode(), "config.json": text}
        list(self._engine.client.load_image(archive({**files, "layer.tar": layer})))
        self.ours.add(digest(text))
        return digest(text)

    def __contains__(self, image: object) -> bool:
        return image not in self.ours


@pytest.fixture
def others(engine: Engine) -> Iterator[Others]:
    found = Others(engine)
    yield found
    for image in engine.images(f"{PYTHON_LABEL}={PYTHON}"):
        engine.client.remove_image(image["Id"], force=True)


def test_only_an_older_default_without_a_name_is_removed(
    engine: Engine, others: Others
) -> None:
    """A younger one is a build's in the making; a project's is named by its digest alone."""
    old, kept = others.load(made=2001), others.load(made=2002)
    younger = others.load(made=2004)
    project = others.load(made=2005, kind="project")
    current = others.load(made=2003, named=True)
    others.ours.remove(kept)

    assert remove_superseded(engine, keep=others) == [old]
    left = {image["Id"] for image in engine.images(f"{PYTHON_LABEL}={PYTHON}")}
    assert left == {kept, younger, project, current}


def test_one_that_a_container_is_made_from_stays(engine: Engine, others: Others) -> None:
    old = others.load(made=2001)
    others.load(made=2003, named=True)
    with engine.looking_into(old):
        assert remove_superseded(engine, keep=others) == []

    assert remove_superseded(engine, keep=others) == [old]


def test_nothing_is_superseded_without_a_later_one(engine: Engine, others: Others) -> None:
    others.load(made=2001)

    assert remove_superseded(engine, keep=others) == []
