"""A project is read and never run: its declarations, its locks, its own files."""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import ImageRefusedError
from sandbox.images import project as module
from sandbox.images.locked import (
    Lines,
    check_complete,
    read_lines,
    read_pylock,
)
from sandbox.images.project import archived, read_project
from sandbox.images.wheel import Wheel

if TYPE_CHECKING:
    from pathlib import Path

HASH = "sha256:" + "0" * 64


@dataclass(frozen=True)
class Case:
    id: str
    text: str
    said: str


PROJECTS = [
    Case(
        "another Python", '[project]\nname="a"\nrequires-python=">=3.99"', "needs Python >=3.99"
    ),
    Case(
        "an older Python", '[project]\nname="a"\nrequires-python="<3.11"', "needs Python <3.11"
    ),
    Case("an odd Python", '[project]\nname="a"\nrequires-python="three"', "cannot be read"),
    Case("no TOML", "[project", "no TOML"),
    Case("an odd name", '[project]\nname="$(id)"', "no name and version"),
    Case("dynamic", '[project]\nname="a"\ndynamic=["dependencies"]', "are dynamic"),
    Case("a URL", '[project]\nname="a"\ndependencies=["b @ file:///b"]', "by a URL"),
    Case("no requirement", '[project]\nname="a"\ndependencies=["-e ."]', "not PEP 508"),
]


@pytest.mark.parametrize("case", PROJECTS, ids=lambda case: case.id)
def test_a_project_that_no_image_is_made_of(case: Case, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(case.text)

    with pytest.raises(ImageRefusedError, match=case.said):
        read_project(tmp_path, python="3.11")


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageRefusedError, match="holds no project"):
        read_project(tmp_path, python="3.11")
    with pytest.raises(ImageRefusedError, match="is no folder"):
        read_project(tmp_path / "none", python="3.11")


def test_a_declaration_that_leads_out_of_the_project_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("small==1.0")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "requirements.txt").symlink_to(tmp_path / "secret")

    with pytest.raises(ImageRefusedError, match="leads out of the project"):
        read_project(tmp_path / "in", python="3.11")


def test_the_best_lock_is_taken(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname="a"\n[build-system]\nrequires=[]\n'
    )
    seen = []
    for name in ("requirements.txt", "pylock.toml", "uv.lock"):
        seen.append(read_project(tmp_path, python="3.11").source)
        (tmp_path / name).touch()
    found = read_project(tmp_path, python="3.11")

    assert [*seen, found.source] == [
        "pyproject.toml",
        "requirements.txt",
        "pylock.toml",
        "uv.lock",
    ]
    assert found.backend == "setuptools.build_meta:__legacy__"


LINES = [
    Case("an editable", "-e .", "not taken"),
    Case("another file", "-r other.txt", "not taken"),
    Case("a trusted host", "--trusted-host evil.example", "not taken"),
    Case("building", "--no-binary :all:", "not taken"),
    Case("a path", "./local", "no name with versions"),
    Case("a repository", "git+https://example.org/a.git", "no name with versions"),
    Case("a URL", "a @ https://example.org/a.whl", "URL"),
    Case("a weak hash", "a==1 --hash=md5:00", "sha256"),
]


@pytest.mark.parametrize("case", LINES, ids=lambda case: case.id)
def test_a_requirements_line_that_is_not_taken(case: Case, tmp_path: Path) -> None:
    with pytest.raises(ImageRefusedError, match=case.said):
        read_lines(case.text, root=tmp_path)


def test_a_requirements_file_is_read(tmp_path: Path) -> None:
    text = f"# all\n--find-links wheels\n--no-index\na==1 ; python_version>'3' \\\n  --hash={HASH}\n\n"
    lines = read_lines(text, root=tmp_path)

    assert lines.is_locked
    assert lines.options == (f"--find-links {tmp_path}/wheels", "--no-index")
    assert not read_lines("a==1", root=tmp_path).is_locked
    assert not read_lines(f"a>=1 --hash={HASH}", root=tmp_path).is_locked
    assert read_lines(lines.text(), root=tmp_path) == lines


def test_the_lock_digest_is_of_what_is_pinned(tmp_path: Path) -> None:
    """Not of comments, indexes or the order of lines."""
    one = read_lines(f"a==1 --hash={HASH}\nb==2 --hash={HASH}", root=tmp_path)
    two = read_lines(f"--no-index\nb==2 --hash={HASH}  # b\na==1 --hash={HASH}", root=tmp_path)
    other = read_lines(f"a==1 --hash={HASH[:-1]}1\nb==2 --hash={HASH}", root=tmp_path)

    assert one.digest == two.digest != other.digest


PYLOCK = """
lock-version = "1.0"
created-by = "test"
[[packages]]
name = "a"
version = "1"
wheels = [{ name = "a-1-py3-none-any.whl", url = "https://x/", hashes = { sha256 = "%s" } }]
[[packages]]
name = "b"
version = "1"
marker = "sys_platform == 'win32'"
sdist = { name = "b-1.tar.gz", url = "https://x/", hashes = { sha256 = "00" } }
"""


def test_a_pylock_is_read_for_this_machine() -> None:
    lines = read_pylock(PYLOCK % ("0" * 64))

    assert [(str(pin), set(hashes)) for pin, hashes in lines.pins] == [("a==1", {HASH})]


HEAD = 'lock-version = "1.0"\ncreated-by = "test"\n'


@pytest.mark.parametrize(
    "rule",
    [
        'requires-python = ">=4"',
        'requires-python = "<3.4"',
        "environments = [\"sys_platform == 'win32'\"]",
        "environments = [\"python_version < '3.4'\", \"os_name == 'nt'\"]",
    ],
)
def test_a_pylock_that_excludes_this_python_or_machine_is_refused(rule: str) -> None:
    with pytest.raises(ImageRefusedError, match="not for this Python and machine"):
        read_pylock(PYLOCK.replace("[[packages]]", f"{rule}\n[[packages]]", 1) % ("0" * 64))


@pytest.mark.parametrize(
    "rule",
    [
        'requires-python = ">=3.9"',
        "environments = [\"os_name == 'nt'\", \"os_name == 'posix'\"]",
    ],
)
def test_a_pylock_for_this_machine_is_taken(rule: str) -> None:
    text = PYLOCK.replace("[[packages]]", f"{rule}\n[[packages]]", 1) % ("0" * 64)

    assert [str(pin) for pin, _ in read_pylock(text).pins] == ["a==1"]


@pytest.mark.parametrize(
    "packages",
    [
        '["a name"]',
        '[{name = "a", version = "1", wheels = ["a wheel"]}]',
        '[{name = "a", version = "1", wheels = [{hashes = 1}]}]',
        '[{name = "a b", version = "1", wheels = [{hashes = {sha256 = "%s"}}]}]' % ("0" * 64),
        "1",
    ],
    ids=["no table", "a wheel that is none", "no table of hashes", "no name", "no list"],
)
def test_a_pylock_of_another_form_is_refused(packages: str) -> None:
    with pytest.raises(ImageRefusedError, match="PEP 751"):
        read_pylock(f"{HEAD}packages = {packages}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('lock-version = "2.0"\ncreated-by = "test"\npackages = []', "lock-version 1"),
        ("[", "cannot be read"),
        ('lock-version = "1.0"\npackages = []', "created-by"),
        (f'{HEAD}[[packages]]\nname = "a"\nversion = "1"', "PEP 751"),
        (
            (
                f'{HEAD}[[packages]]\nname = "a"\nversion = "1"\n[packages.sdist]\nname = "a-1.tar.gz"'
                f'\nurl = "https://x/"\nhashes = {{ sha256 = "{"0" * 64}" }}'
            ),
            "takes wheels only",
        ),
        (
            (
                f'{HEAD}[[packages]]\nname = "a"\nvcs = {{ type = "git", url = "https://x/",'
                ' commit-id = "1" }'
            ),
            "takes wheels only",
        ),
        (f'{HEAD}[[packages]]\nname = "a"\nmarker = "what"', "PEP 751"),
    ],
)
def test_a_pylock_that_is_not_taken(text: str, said: str) -> None:
    with pytest.raises(ImageRefusedError, match=said):
        read_pylock(text)


def test_a_lock_older_than_its_project_is_refused(tmp_path: Path) -> None:
    wheels = [Wheel(tmp_path, "a-b", "1.0", "", "", {}, ())]

    check_complete(("A_b>=1", "none; sys_platform=='win32'"), wheels)
    for wanted in ("a-b>=2", "c"):
        with pytest.raises(ImageRefusedError, match="lock it again"):
            check_complete((wanted,), wheels)


def test_nothing_to_pin_is_locked() -> None:
    assert Lines(()).is_locked


def names(root: Path) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(archived(root))) as tar:
        return {f"{entry.name}{' -> ' * entry.issym()}{entry.linkname}" for entry in tar}


def test_what_of_a_project_is_built(tmp_path: Path) -> None:
    """No secrets in dot-files, no environments; links stay links."""
    for name in (".env", ".git/config", "venv/pyvenv.cfg", "venv/big", "src/a.py", "src/a.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "alias").symlink_to("src")

    assert names(tmp_path) == {"src/a.py", "alias -> src"}


@pytest.mark.parametrize("target", ["/etc/passwd", "..", "../../etc", "a/../../x"])
def test_a_link_out_of_the_project_is_refused(target: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(target)

    with pytest.raises(ImageRefusedError, match="'link' is a link that leads out"):
        archived(tmp_path)


def test_a_giant_is_refused_by_its_name_and_not_read(tmp_path: Path) -> None:
    with (tmp_path / "giant.bin").open("wb") as file:
        file.truncate(module.MAX_PROJECT_BYTES + 1)

    with pytest.raises(ImageRefusedError, match=r"'giant\.bin'"):
        archived(tmp_path)


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    """Reading it would wait for ever."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(ImageRefusedError, match="neither a file nor a folder"):
        archived(tmp_path)
