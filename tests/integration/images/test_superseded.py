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


def loaded(engine: Engine, *, made: int, named: bool = False, kind: str = "default") -> str:
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
    list(engine.client.load_image(archive({**files, "layer.tar": layer})))
    return digest(text)


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


@pytest.fixture(autouse=True)
def cleared(engine: Engine) -> Iterator[None]:
    """Removes what a test loaded, when it is over."""
    yield
    for image in engine.images(f"{PYTHON_LABEL}={PYTHON}"):
        engine.client.remove_image(image["Id"], force=True)


class AllBut:
    """Every image but these, also those that other tests load meanwhile: they are kept."""

    def __init__(self, *images: str) -> None:
        self._images = images

    def __contains__(self, image: object) -> bool:
        return image not in self._images


def test_only_an_older_default_without_a_name_is_removed(engine: Engine) -> None:
    """A younger one is a build's in the making; a project's is named by its digest alone."""
    old, kept = loaded(engine, made=2001), loaded(engine, made=2002)
    younger = loaded(engine, made=2004)
    project = loaded(engine, made=2005, kind="project")
    current = loaded(engine, made=2003, named=True)

    assert remove_superseded(engine, keep=AllBut(old, younger, project, current)) == [old]
    left = {image["Id"] for image in engine.images(f"{PYTHON_LABEL}={PYTHON}")}
    assert left == {kept, younger, project, current}


def test_one_that_a_container_is_made_from_stays(engine: Engine) -> None:
    old = loaded(engine, made=2001)
    named = loaded(engine, made=2003, named=True)
    with engine.looking_into(old):
        assert remove_superseded(engine, keep=AllBut(old, named)) == []

    assert remove_superseded(engine, keep=AllBut(old, named)) == [old]


def test_nothing_is_superseded_without_a_later_one(engine: Engine) -> None:
    old = loaded(engine, made=2001)

    assert remove_superseded(engine, keep=AllBut(old)) == []
