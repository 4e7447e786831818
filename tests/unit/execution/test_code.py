"""Staged code: what a sandboxed tool may import, and what it never gets to see."""

from __future__ import annotations

import os
import sys
import sysconfig
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from effort import sampled

from permissions.errors import ExecutionError
from permissions.execution import code
from permissions.execution.base import Execution
from permissions.execution.code import OURS, CodeStage, import_path, installed_roots
from permissions.execution.sandboxed import SandboxedExecutor
from permissions.execution.secret_files import SecretFiles
from permissions.pdp.bundle import load_bundle
from sandbox.backends.bubblewrap import BubblewrapSandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

COUNT = iter(range(1000))
READS_A_SECRET = '''
from pathlib import Path
from wardline import tool

@tool(effect="read", impact="low", sandbox="process")
def act() -> str:
    """Reads a file beside its code."""
    return Path(__file__).with_name("credentials.json").read_text()
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a package, and with everything a sandbox must not see."""
    root = tmp_path / "project"
    name = f"staged_package_{next(COUNT)}"
    package = root / name
    files = {
        "__init__.py": "",
        "tools.py": "def act(text: str) -> str:\n    return text\n",
        "deep/__init__.py": "",
        "deep/data.json": "{}",
        "deep/.env": "x-secret",
        ".git/config": "x-secret",
        "__pycache__/old.pyc": "x-secret",
    }
    outside = {".wardline/keys/log.pem": "x-secret", ".git/config": "x-secret", "key.pem": "x"}
    for path, text in {**{f"{name}/{k}": v for k, v in files.items()}, **outside}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (package / "link.pem").symlink_to(root / "key.pem")
    (package / "linked").symlink_to(root / ".wardline")
    return package


@contextmanager
def imported(package: Path, module: str = "tools") -> Iterator[ModuleType]:
    """A module of the project, and the project gone from this process afterwards."""
    from importlib import import_module

    sys.path.insert(0, str(package.parent))
    try:
        yield import_module(f"{package.name}.{module}")
    finally:
        sys.path.remove(str(package.parent))
        for name in [name for name in sys.modules if name.startswith(package.name)]:
            del sys.modules[name]


@pytest.fixture
def stage(tmp_path: Path) -> CodeStage:
    (tmp_path / "code").mkdir()
    return CodeStage(tmp_path / "code")


def staged(stage: CodeStage, package: Path) -> Path:
    with imported(package):
        return stage.stage(f"{package.name}.tools")[0]


def names(root: Path, package: Path) -> list[str]:
    own = root / package.name
    return sorted(str(each.relative_to(own)) for each in own.rglob("*") if each.is_file())


def test_only_the_package_itself_is_staged(stage: CodeStage, project: Path) -> None:
    """No state folder, no `.git`, nothing hidden, nothing that a link leads to."""
    root = staged(stage, project)

    assert names(root, project) == [
        "__init__.py",
        "deep/__init__.py",
        "deep/data.json",
        "tools.py",
    ]
    assert {each.name for each in root.iterdir()} == {project.name, *OURS}
    assert not any(each.is_symlink() for each in root.rglob("*"))
    assert not any(
        b"x-secret" in each.read_bytes() for each in (root / project.name).rglob("*.*")
    )


def test_what_holds_secrets_is_in_no_stage(stage: CodeStage, project: Path) -> None:
    """Also below a package, and again when the policies name another."""
    for name in ("credentials.json", "deep/tls.key", "deep/payroll.csv", "deep/plain.csv"):
        (project / name).write_text("x-secret")
    secrets = SecretFiles.of(load_bundle().data)
    more = SecretFiles.of(load_bundle().data, ["payroll.csv"])
    module = f"{project.name}.tools"

    with imported(project):
        first, then = (stage.stage(module, each)[0] for each in (secrets, more))
        said = stage.left_out(module, more)

    assert {"credentials.json", "deep/tls.key"}.isdisjoint(names(first, project))
    assert {"deep/payroll.csv", "deep/plain.csv", "tools.py"} <= {*names(first, project)}
    assert {*names(first, project)} - {*names(then, project)} == {"deep/payroll.csv"}
    left_out = ("credentials.json", "deep/payroll.csv", "deep/tls.key")
    assert said == tuple(f"{project.name}/{name}" for name in left_out)


@pytest.mark.bwrap
async def test_a_tool_that_misses_such_a_file_says_which(tmp_path: Path, project: Path) -> None:
    (project / "credentials.json").write_text("{}")
    (project / "tools.py").write_text(READS_A_SECRET)
    (tmp_path / "code").mkdir()
    executor = SandboxedExecutor(
        BubblewrapSandbox(),
        stage=CodeStage(tmp_path / "code"),
        profiles={},
        secrets=SecretFiles.of(load_bundle().data),
    )

    with imported(project) as module:
        given = Execution(
            definition=module.act.guard.definition,
            arguments=module.act.guard.definition.validate({}),
            targets=[],
            workspace=tmp_path / "project",
            profile=None,
            deadline_seconds=20,
            run="run-1",
        )
        executor.enforces(given)
        outcome = await executor.execute(given)

    assert outcome.detail == "FileNotFoundError"
    why = "it may hold secrets, by its name"
    assert outcome.notes == (f"{project.name}/credentials.json: {why}",)
    assert why in str(outcome.error)


def test_installed_packages_follow_the_staged_ones(stage: CodeStage, project: Path) -> None:
    with imported(project):
        roots = stage.stage(f"{project.name}.tools")

    assert roots[1:] == installed_roots()


def test_code_that_lies_deep_in_an_installed_package_is_staged(
    stage: CodeStage, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name leads nowhere from the folder of installed packages: data of one, run as code."""
    paths = {**sysconfig.get_paths(), "purelib": str(project.parent.parent)}
    monkeypatch.setattr(code, "sysconfig", SimpleNamespace(get_paths=lambda: paths))

    assert (staged(stage, project) / project.name / "tools.py").is_file()


def test_the_same_code_is_staged_once_and_changed_code_elsewhere(
    stage: CodeStage, project: Path
) -> None:
    """The name is a digest of the files, so what runs is what the record names."""
    first, second = staged(stage, project), staged(stage, project)
    (project / "tools.py").write_text("def act(text: str) -> str:\n    return 'changed'\n")
    third = staged(stage, project)

    assert first == second != third
    assert "changed" not in (first / project.name / "tools.py").read_text()


def test_a_sandbox_user_can_read_the_stage_and_change_nothing(
    stage: CodeStage, project: Path
) -> None:
    root = staged(stage, project)

    for path in (root, *root.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


def test_code_that_is_in_no_file_is_refused(stage: CodeStage) -> None:
    with pytest.raises(ExecutionError, match="in no file"):
        stage.stage("no_such_module")


def test_more_than_can_be_copied_is_refused(stage: CodeStage, project: Path) -> None:
    for number in range(code.MAX_FILES):
        (project / f"f{number}.txt").touch()

    with pytest.raises(ExecutionError, match="put sandboxed tools into a package"):
        staged(stage, project)


def top_level() -> None: ...


def test_a_function_is_known_by_its_import_path() -> None:
    assert import_path(top_level) == (top_level.__module__, "top_level")


def test_a_function_inside_another_cannot_be_imported() -> None:
    def inner() -> None: ...

    with pytest.raises(ExecutionError, match="move it to the top level"):
        import_path(inner)


@pytest.fixture
def as_main() -> Iterator[Any]:
    """A function that claims to be of the program that was started."""

    def act() -> None: ...

    act.__module__, act.__qualname__ = "__main__", "act"
    main = sys.modules["__main__"]
    yield act
    sys.modules["__main__"] = main


class Main:
    """Stands in `sys.modules` for the program that was started."""

    __spec__: Any = None

    def __init__(self, **names: Any) -> None:
        vars(self).update(names)


def test_a_function_of_the_program_is_known_by_its_file(as_main: Any) -> None:
    sys.modules["__main__"] = Main(__file__="/srv/agent/job.py")  # type: ignore[assignment]

    assert import_path(as_main) == ("job", "act")


def test_a_function_of_a_started_module_is_known_by_its_name(as_main: Any) -> None:
    class Spec:
        name = "agent.job"

    sys.modules["__main__"] = Main(__spec__=Spec)  # type: ignore[assignment]

    assert import_path(as_main) == ("agent.job", "act")


def test_a_function_typed_into_a_shell_is_refused(as_main: Any) -> None:
    sys.modules["__main__"] = Main()  # type: ignore[assignment]

    with pytest.raises(ExecutionError, match="put it into a file"):
        import_path(as_main)


def test_what_is_changed_in_place_is_staged_again(stage: CodeStage, project: Path) -> None:
    """Same size and same time of writing: the time of change is the kernel's own."""
    file = project / "tools.py"
    before = file.stat()
    first = staged(stage, project)
    same = staged(stage, project)
    file.write_text(file.read_text().replace("return text", "return TEXT"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    second = staged(stage, project)

    assert same == first
    assert file.stat().st_size == before.st_size
    assert second != first


@pytest.mark.slow
@pytest.mark.parametrize("how", ["edited", "added", "linked", "planted"])
def test_a_copy_that_others_changed_is_replaced(
    stage: CodeStage, project: Path, tmp_path: Path, how: str
) -> None:
    """Also one that was there before this process looked at it for the first time."""
    root = staged(stage, project)
    tools = root / project.name / "tools.py"
    was = tools.read_text()
    if how == "added":
        (root / project.name / "evil.py").write_text("evil")
    else:
        tools.unlink()
        (tmp_path / "evil").write_text("evil")
        tools.symlink_to(tmp_path / "evil") if how == "linked" else tools.write_text("evil")
    again = CodeStage(root.parent) if how == "planted" else stage

    root = staged(again, project)

    assert (root / project.name / "tools.py").read_text() == was
    assert not (root / project.name / "tools.py").is_symlink()
    assert not (root / project.name / "evil.py").exists()


def edit(root: Path, name: str) -> None:
    (root / name / "tools.py").chmod(0o644)
    (root / name / "tools.py").write_text("evil = 1")


def plant(root: Path, name: str) -> None:
    (root / "sitecustomize.py").write_text("evil = 1")


def turn_into_a_link(root: Path, name: str) -> None:
    aside = root.parent / "elsewhere"
    root.rename(aside)
    (aside / name / "tools.py").write_text("evil = 1")
    root.symlink_to(aside)


def same_size_and_time(root: Path, name: str) -> None:
    file = root / name / "tools.py"
    before, text = file.stat(), file.read_text()
    file.write_text(text.replace("act", "ACT"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def take_a_part_away(root: Path, name: str) -> None:
    (root / name / "deep" / "__init__.py").unlink()


CHANGES = [edit, plant, turn_into_a_link, same_size_and_time, take_a_part_away]


@pytest.mark.parametrize("opened", sampled(["anew", "once"], {"once"}, named=str))
@pytest.mark.parametrize(
    "change", sampled(CHANGES, {"edit"}, named=lambda change: change.__name__)
)
def test_a_copy_that_somebody_changed_is_replaced_before_it_runs(
    change: Callable[[Path, str], None], opened: str, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "code").mkdir()
    first = CodeStage(tmp_path / "code")
    root = staged(first, project)
    before = {each: each.read_bytes() for each in root.rglob("*") if each.is_file()}
    change(root, project.name)

    again = staged(first if opened == "once" else CodeStage(tmp_path / "code"), project)

    assert again == root
    assert not again.is_symlink()
    assert {each: each.read_bytes() for each in again.rglob("*") if each.is_file()} == before
