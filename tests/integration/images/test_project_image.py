"""Images from projects, on a real engine and without an index: the wheels are the test's own.

The project brings its own build backend, so what a build is allowed to do is seen as well.
"""

from __future__ import annotations

import io
import json
import secrets
import subprocess
import sys
import tarfile
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest
from typer.testing import CliRunner
from wheels import make_wheel, pinned

from permissions.cli.root import app
from sandbox import (
    CommandJob,
    PythonJob,
    SandboxProfile,
    SandboxUnavailableError,
)
from sandbox.backends.docker import DockerSandbox
from sandbox.backends.docker.engine import Engine
from sandbox.backends.docker.image import (
    CONTENT_LABEL,
    LOCK_LABEL,
    PROJECT_LABEL,
    PYTHON_LABEL,
    add_layer,
    python_tag,
    with_sbom,
)
from sandbox.backends.docker.inspect import read_sbom
from sandbox.backends.docker.project_image import Built, build_project
from sandbox.backends.oci import OciSandbox, roots
from sandbox.errors import ImageRefusedError, SbomTamperedError
from sandbox.images.layer import SBOM
from sandbox.pool.pool import PrewarmedPool
from sandbox.preparation import prepare_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("project-image"),
]

NAME = f"shop{secrets.token_hex(3)}"
"""Of the project: other runs of these tests on this engine must not find the same image."""

BACKEND = """
import base64, hashlib, json, os, socket, zipfile

def build_wheel(target, config_settings=None, metadata_directory=None):
    try:
        socket.create_connection(("192.0.2.1", 80), 1)
        reached = True
    except OSError:
        reached = False
    # No sandbox's own number: what is written here is part of the image's content.
    seen = {"user": os.getuid() >= 1000, "reached": reached, "env": ".env" in os.listdir(".")}
    files = {
        "shop.py": open("shop.py").read() + f"\\nBUILT = {seen!r}\\n",
        "NAME-1.2.dist-info/METADATA": "Metadata-Version: 2.4\\nName: NAME\\nVersion: 1.2\\n\\n",
        "NAME-1.2.dist-info/WHEEL": "Wheel-Version: 1.0\\nTag: py3-none-any\\n",
        "NAME-1.2.dist-info/entry_points.txt": "[console_scripts]\\npython3 = shop:total\\n",
    }
    record = ""
    for name, text in files.items():
        digest = hashlib.sha256(text.encode()).digest()
        said = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        record += f"{name},sha256={said},{len(text)}\\n"
    files["NAME-1.2.dist-info/RECORD"] = record + "NAME-1.2.dist-info/RECORD,,\\n"
    name = "NAME-1.2-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(target, name), "w") as archive:
        for each, text in files.items():
            archive.writestr(zipfile.ZipInfo(each), text)
    return name
""".replace("NAME", NAME)

PYPROJECT = """
[project]
name = "NAME"
version = "1.2"
dependencies = ["small>=1"]
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
""".replace("NAME", NAME)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with closing(Engine.connect()) as opened:
        yield opened
        for each in opened.client.images(filters={"label": PROJECT_LABEL}):
            for tag in each["RepoTags"] or ():
                if tag.startswith(f"wardline/project:{NAME}-"):
                    opened.client.remove_image(tag)


def project(folder: Path, *, lock: str | None = None, pyproject: str = PYPROJECT) -> Path:
    """The project of these tests, with a lock of one wheel."""
    root = folder / "shop"
    root.mkdir(parents=True)
    wheel = make_wheel(folder / "wheels")
    find = f"--no-index\n--find-links {wheel.parent}\n"
    (root / "requirements.txt").write_text(find + (lock or pinned(wheel)) + "\n")
    (root / "pyproject.toml").write_text(pyproject)
    (root / "backend.py").write_text(BACKEND)
    (root / "shop.py").write_text("import small\n\ndef total(rows):\n    return sum(rows)\n")
    (root / ".env").write_text("SECRET=1")
    return root


async def build(root: Path) -> Built:
    return await build_project(root, progress=lambda _: None)


@dataclass(frozen=True)
class Shop:
    root: Path
    built: Built
    profile: SandboxProfile


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Shop:
    root = project(tmp_path_factory.mktemp("project"))
    built = anyio.run(build, root)
    return Shop(root, built, SandboxProfile(image=built.id))


def labels(engine: Engine, image: str) -> Mapping[str, str]:
    found: Mapping[str, str] = engine.image(image)["Config"]["Labels"]
    return found


async def test_the_project_and_its_lock_can_be_imported_and_required(shop: Shop) -> None:
    source = "import shop, small\ndef f():\n    return [shop.total([1, 2]), small.VERSION, shop.BUILT]\n"
    job = PythonJob("f", source=source, requires=("small==1.0", f"{NAME}>=1"))
    async with DockerSandbox() as sandbox:
        result = await sandbox.run(job, shop.profile)

    assert result.error is None
    total, version, built = result.value
    assert (total, version) == (3, "1.0")
    assert built == {"user": True, "reached": False, "env": False}


@pytest.mark.oci
async def test_a_root_file_system_of_it_has_the_same_packages(
    shop: Shop, tmp_path: Path
) -> None:
    """Prepared from the image, for a runtime without the engine, and not among the machine's."""
    source = "import small\ndef f():\n    return small.VERSION\n"
    folder = tmp_path / "roots"
    make = partial(prepare_image, shop.built.id, lambda _: None, folder=folder)
    root = await anyio.to_thread.run_sync(make)
    # The only one there, so the backend tries its runtime with it as well.
    record = root.path / "record.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "is_default": True}))
    async with OciSandbox(root_folder=folder) as sandbox:
        found = await sandbox.run(
            PythonJob("f", source=source, requires=("small==1.0", NAME)), shop.profile
        )
        with pytest.raises(SandboxUnavailableError, match=r"lacks small>=2: it has 1\.0"):
            await sandbox.run(
                PythonJob("f", source=source, requires=("small>=2",)), shop.profile
            )

    assert found.value == "1.0"
    assert found.enforced["image"] == shop.built.id
    assert shop.built.id not in {each.image for each in roots.prepared()}
    assert [each.image for each in roots.prepared(folder)] == [shop.built.id]


async def test_a_command_finds_the_packages_and_the_real_python(shop: Shop) -> None:
    """The script the project calls python3 is not on any PATH."""
    code = "import shop, sys; print(shop.total([1]), sys.version_info[:2])"
    async with DockerSandbox() as sandbox:
        result = await sandbox.run(CommandJob(("python3", "-c", code)), shop.profile)

    version = tuple(map(int, python_tag().split(".")))
    assert result.stdout.decode() == f"1 {version}\n"


@pytest.mark.parametrize("pooled", [False, True], ids=["cold", "prewarmed"])
async def test_what_the_image_lacks_is_refused_before_the_call(
    shop: Shop, *, pooled: bool
) -> None:
    """Also by a sandbox that was prewarmed for another job's requirements."""
    fine = PythonJob("f", source="def f():\n    return 1\n", requires=("small",))
    lacking = PythonJob("f", source="def f():\n    return 1\n", requires=("small>=2",))
    async with PrewarmedPool(DockerSandbox()) as pool:
        if pooled:
            assert await pool.prepare(fine, shop.profile)
        with pytest.raises(SandboxUnavailableError) as caught:
            await pool.run(lacking, shop.profile)
        assert pool.metrics.hits == int(pooled)

    assert "lacks small>=2: it has 1.0" in str(caught.value)
    assert "wardline sandbox build" in caught.value.remedy


async def test_the_same_lock_and_sources_are_the_same_image(shop: Shop, tmp_path: Path) -> None:
    """Whatever folder they are in; one changed line of the project is another one."""
    again = await build(shop.root)
    changed = project(tmp_path)
    (changed / "shop.py").write_text("import small\n\ndef total(rows):\n    return 0\n")
    other = await build(changed)

    assert (again.id, again.content, again.is_new) == (shop.built.id, shop.built.content, False)
    assert other.content != shop.built.content


def test_the_labels_and_the_sbom_say_what_is_in_it(shop: Shop, engine: Engine) -> None:
    found = labels(engine, shop.built.id)
    sbom = read_sbom(engine, shop.built.id)

    assert found[PYTHON_LABEL] == python_tag()
    assert found[PROJECT_LABEL] == f"{NAME}==1.2"
    assert found[LOCK_LABEL].startswith("sha256:")
    assert found[CONTENT_LABEL] == shop.built.content
    assert sbom.importable == {NAME: "1.2", "small": "1.0"}
    small = next(part for part in sbom.parts if part.name == "small")
    assert pinned(shop.root.parent / "wheels" / "small-1.0-py3-none-any.whl").endswith(
        small.sha256
    )
    assert any(part.kind == "debian" and part.name == "libc6" for part in sbom.parts)


def test_the_image_can_be_exported_as_a_root_file_system(shop: Shop, engine: Engine) -> None:
    """What another runtime would start holds the packages under the same names."""
    with engine.looking_into(shop.built.id) as look:
        found = look.archive("/opt/wardline/packages/shop.py", most=1 << 20)

    assert found is not None


@pytest.mark.parametrize("change", ["another", "gone"])
async def test_a_tampered_sbom_is_said_and_requirements_are_refused(
    change: str, shop: Shop, engine: Engine
) -> None:
    """Added to a good image, whose label is inherited."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        name = SBOM if change == "another" else f"{SBOM.rpartition('/')[0]}/.wh.sbom.cdx.json"
        entry = tarfile.TarInfo(name)
        entry.size = 2
        tar.addfile(entry, io.BytesIO(b"{}"))
    tag = f"wardline-test/{NAME}:{change}"
    image = add_layer(engine, shop.built.id, layer, labels={}, tag=tag)
    try:
        if change == "gone" and _has_sbom(engine, image):
            pytest.fail("the engine did not take the whiteout")
        with pytest.raises(SbomTamperedError, match="not the one its label names"):
            read_sbom(engine, image)
        job = PythonJob("f", source="def f():\n    return 1\n", requires=("small",))
        async with DockerSandbox() as sandbox:
            with pytest.raises(SbomTamperedError):
                await sandbox.run(job, SandboxProfile(image=image))
        with pytest.raises(SbomTamperedError):
            prepare_image(image, lambda _: None)
        told = CliRunner().invoke(app, ["sandbox", "sbom", image])
        assert (told.exit_code, told.stdout) == (5, "")
    finally:
        engine.client.remove_image(tag)


def _has_sbom(engine: Engine, image: str) -> bool:
    with engine.looking_into(image) as look:
        return look.archive(f"/{SBOM}", most=1 << 20) is not None


def test_a_default_image_gets_its_sbom_too(shop: Shop, engine: Engine) -> None:
    base = labels(engine, shop.built.id)["io.wardline.base"]
    image = with_sbom(engine, base, tag=f"wardline-test/{NAME}:default")
    try:
        sbom = read_sbom(engine, image)
    finally:
        engine.client.remove_image(f"wardline-test/{NAME}:default")

    assert sbom.importable == {}
    assert len(sbom.parts) > 20


REFUSED = {
    "another hash": ("small==1.0 --hash=sha256:" + "0" * 64, PYPROJECT, "HASH"),
    "no such package": ("absent==1.0 --hash=sha256:" + "0" * 64, PYPROJECT, "absent"),
    "unresolvable": ("small>=2", PYPROJECT, "cannot be resolved"),
    "older than the project": (
        None,
        PYPROJECT.replace("small>=1", "small>=1.5"),
        "lock it again",
    ),
    "a build that fails": (
        None,
        PYPROJECT.replace('"backend"', '"absent"'),
        "ModuleNotFoundError",
    ),
    "a project for another Python": (
        None,
        PYPROJECT.replace("[build-system]", 'requires-python = "<3"\n[build-system]'),
        "needs Python",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_no_image_is_refused_with_its_reason(
    case: tuple[str | None, str, str], tmp_path: Path
) -> None:
    lock, pyproject, said = case
    root = project(tmp_path, lock=lock, pyproject=pyproject)

    with pytest.raises(ImageRefusedError, match=said):
        await build(root)


async def test_a_package_without_a_wheel_is_refused_and_not_built(tmp_path: Path) -> None:
    """Its setup.py would leave a mark on this machine."""
    root = project(tmp_path, lock="bad==1.0")
    sdist = tmp_path / "wheels" / "bad-1.0.tar.gz"
    mark = tmp_path / "mark"
    with tarfile.open(sdist, "w:gz") as tar:
        for name, text in (
            ("bad-1.0/setup.py", f"open({str(mark)!r}, 'w').close()"),
            ("bad-1.0/PKG-INFO", "Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    locked = f"bad==1.0 --hash=sha256:{'0' * 64}"

    for line in ("bad==1.0", locked):
        text = f"--no-index\n--find-links {tmp_path / 'wheels'}\n{line}\n"
        (root / "requirements.txt").write_text(text)
        with pytest.raises(ImageRefusedError, match="an image takes wheels only"):
            await build(root)

    assert not mark.exists()


async def test_nothing_of_a_project_runs_on_this_machine(tmp_path: Path) -> None:
    """Neither its setup.py, nor a `pip` or an interpreter in its folder."""
    root = project(tmp_path)
    mark = tmp_path / "mark"
    trap = f"open({str(mark)!r}, 'w').close()\n"
    for name in ("setup.py", "pip.py", "uv.py", "sitecustomize.py", "tomllib.py", "shop2.pth"):
        (root / name).write_text(trap)
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "python").write_text(f"#!/bin/sh\ntouch {mark}\n")
    (root / ".venv" / "bin" / "python").chmod(0o755)

    assert (await build(root)).packages == 2
    assert not mark.exists()


async def test_a_uv_lock_is_read_by_uv_without_the_project(tmp_path: Path) -> None:
    """Its own format, written here for one wheel of a folder."""
    root = project(tmp_path, pyproject=PYPROJECT.replace("[build-system]", "[ignored]"))
    wheel = tmp_path / "wheels" / "small-1.0-py3-none-any.whl"
    digest = pinned(wheel).rpartition(":")[2]
    (root / "uv.lock").write_text(
        f"""version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "{NAME}"
version = "1.2"
source = {{ virtual = "." }}
dependencies = [{{ name = "small" }}]

[package.metadata]
requires-dist = [{{ name = "small", specifier = ">=1" }}]

[[package]]
name = "small"
version = "1.0"
source = {{ registry = "{wheel.parent}" }}
wheels = [{{ path = "small-1.0-py3-none-any.whl", hash = "sha256:{digest}" }}]
"""
    )
    pyproject = (root / "pyproject.toml").read_text()
    (root / "pyproject.toml").write_text(
        pyproject.replace("[project]", '[project]\nrequires-python = ">=3.11"')
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PIP_NO_INDEX", "1")
        environment.setenv("PIP_FIND_LINKS", str(wheel.parent))
        built = await build(root)

    assert built.packages == 1


def test_the_command_prints_the_id_alone(shop: Shop) -> None:
    """Steps go to stderr; `ls` and `sbom` show it."""
    run = CliRunner()

    command = [sys.executable, "-m", "permissions", "sandbox", "build", str(shop.root)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    listed = run.invoke(app, ["sandbox", "ls", "--json"])
    sbom = run.invoke(app, ["sandbox", "sbom", shop.built.id, "--json"])
    text = run.invoke(app, ["sandbox", "sbom", shop.built.id])

    assert built.returncode == 0
    assert built.stdout == f"{shop.built.id}\n"
    assert "there already" in built.stderr
    images = json.loads(listed.stdout)["images"]
    assert {f"{NAME}==1.2"} <= {
        each["project"] for each in images if each["id"] == shop.built.id
    }
    assert json.loads(sbom.stdout)["specVersion"] == "1.6"
    assert "python small 1.0 (MIT) in /opt/wardline/packages" in text.stdout


def test_an_image_that_is_not_there_has_its_exit_code() -> None:
    done = CliRunner().invoke(app, ["sandbox", "sbom", "sha256:" + "0" * 64])

    assert done.exit_code == 6
