"""The public surface: one list, what reaches it, what hides it, and what importing it costs.

`__all__` of `wardline` and its modules is the list. `docs/reference/api.md` is written from it
and every example of README and docs imports from it.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from statistics import median
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

import sandbox
import wardline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

ROOT = Path(__file__).parents[2]
PUBLIC = {
    name: import_module(name)
    for name in (
        "wardline",
        *(
            f"wardline.{each.name}"
            for each in iter_modules(wardline.__path__)
            if not each.name.startswith("_")
        ),
    )
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_PYTHON = re.compile(r"^```py(?:thon)?\b[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_ROW = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)

HEAVY = {
    "agents",
    "anyio",
    "cryptography",
    "docker",
    "jsonschema",
    "langchain",
    "langchain_core",
    "langgraph",
    "opa_client",
    "pydantic",
    "pydantic_ai",
    "re2",
    "regorus",
    "rich",
    "sandbox",
    "typer",
}
"""Nothing of this may be loaded by `import wardline`, nor by decorating a function."""

_PROBE = """
import json, sys, time
before = time.process_time()
import wardline
{use}
after = time.process_time()
print(json.dumps([after - before, sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""
_DECORATE = """
@wardline.tool(effect="read", impact="low")
def look(path: str) -> str:
    return path
"""


def probe(use: str = "") -> tuple[float, set[str]]:
    """Seconds of processor time, and the top-level modules that were loaded."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", _PROBE.format(use=use)],
        capture_output=True,
        text=True,
        check=True,
        timeout=150,
    )
    seconds, loaded = json.loads(done.stdout)
    return seconds, set(loaded)


def imports(source: str) -> Iterator[tuple[str, str]]:
    """Module and name of each import of ours."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def unlisted(source: str) -> list[str]:
    """What an example takes from us that is on no list."""
    ours = {"wardline", "permissions", "sandbox", "agents_demo"}
    return [
        f"{module}.{name}"
        for module, name in imports(source)
        if module.partition(".")[0] in ours
        and (module not in PUBLIC or (name and name not in PUBLIC[module].__all__))
    ]


@pytest.mark.parametrize("module", PUBLIC.values(), ids=PUBLIC)
def test_every_listed_name_is_there_sorted_and_described(module: ModuleType) -> None:
    """`from module import *` works, a reader finds a name by its path, and help() tells."""
    names = module.__all__

    assert names == sorted(names)
    assert [name for name in names if getattr(module, name, None) is None] == []
    assert [
        name
        for name in names
        if isinstance(getattr(module, name), type | FunctionType)
        and not getattr(module, name).__doc__
    ] == []


@pytest.mark.parametrize("module", PUBLIC.values(), ids=PUBLIC)
def test_a_public_module_holds_what_it_lists_and_nothing_else(module: ModuleType) -> None:
    """What a type checker sees, what is loaded late, and the list are the same names."""
    tree = ast.parse(Path(str(module.__file__)).read_text())
    seen = {
        name
        for home, name in imports(ast.unparse(tree))
        if home.partition(".")[0] in {"permissions", "sandbox"}
    }

    assert seen == set(module.__all__)
    assert set(getattr(module, "_HOMES", module.__all__)) == seen
    assert not [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]


def test_all_of_the_sandbox_is_within_reach() -> None:
    """What the package `sandbox` exports can be had without naming that package."""
    assert set(sandbox.__all__) <= set(PUBLIC["wardline.sandbox"].__all__)


def test_the_reference_lists_exactly_the_public_names() -> None:
    page = (ROOT / "docs/reference/api.md").read_text()
    parts = re.split(r"^## `([\w.]+)`$", page, flags=re.MULTILINE)[1:]
    listed = {
        name: _ROW.findall(text) for name, text in zip(parts[::2], parts[1::2], strict=True)
    }

    assert listed == {name: module.__all__ for name, module in PUBLIC.items()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_use_public_names_only(page: Path) -> None:
    assert [
        each for source in _PYTHON.findall(page.read_text()) for each in unlisted(source)
    ] == []


def test_an_import_from_within_is_found() -> None:
    source = "import permissions.model\nfrom wardline import tool, Guard\nimport json"

    assert unlisted(source) == ["permissions.model.", "wardline.Guard"]


def test_there_are_examples_to_look_at() -> None:
    used = {
        module
        for page in PAGES
        for source in _PYTHON.findall(page.read_text())
        for module, _ in imports(source)
    }

    assert {"wardline", "wardline.sandbox", "wardline.testing", "wardline.langgraph"} <= used


@pytest.mark.parametrize("name", ["wardline", "wardline.sandbox"])
def test_unknown_names_are_attribute_errors(name: str) -> None:
    """Names are loaded on first use, and a typo still fails as it should."""
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'Brocker'"):
        PUBLIC[name].Brocker  # noqa: B018


@pytest.mark.parametrize("use", ["", _DECORATE], ids=["import", "import and decorate"])
def test_importing_loads_nothing_heavy(
    use: str, record_property: Callable[[str, object], None]
) -> None:
    """Putting a tool under the broker loads no framework, engine, SDK or terminal library."""
    runs = [probe(use) for _ in range(3)]

    record_property("import_cpu_ms", round(median(run[0] for run in runs) * 1000, 1))
    assert runs[0][1] & HEAVY == set()


def python(folder: Path, source: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a program that stands in `folder`, as a user would."""
    (folder / "app.py").write_text(source)
    return subprocess.run(
        [sys.executable, "app.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        **options,
    )


@pytest.mark.parametrize(
    ("file", "package"),
    [
        ("permissions.py", "permissions"),
        ("permissions/__init__.py", "permissions"),
        ("sandbox.py", "sandbox"),
        ("sandbox/__init__.py", "sandbox"),
    ],
)
def test_what_hides_a_package_is_named(tmp_path: Path, file: str, package: str) -> None:
    """A user's own module of the same name: which one it is, and what to do."""
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("RATE = 1\n")

    done = python(tmp_path, "import wardline\n")

    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    hiding = tmp_path / file.removesuffix("/__init__.py")
    assert last.startswith(
        f"ImportError: {hiding} hides Wardline's own package {package!r}, which lies in "
    )
    assert "rename yours" in last


def test_what_hides_a_package_and_is_imported_already_is_named(tmp_path: Path) -> None:
    """The user's module is in use before ours is asked for."""
    (tmp_path / "permissions.py").write_text("RATE = 1\n")

    done = python(tmp_path, "import sys, permissions\nsys.path.pop(0)\nimport wardline\n")

    assert f"{tmp_path / 'permissions.py'} hides Wardline's own package" in done.stderr


def test_folders_that_hide_nothing_are_no_matter(tmp_path: Path) -> None:
    """Folders of data and policies of a user's project may have our names."""
    for folder in ("permissions", "sandbox", "policies", "agents_demo"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "notes.txt").write_text("mine\n")
    (tmp_path / "policies" / "__init__.py").touch()
    (tmp_path / "agents_demo" / "__init__.py").touch()

    done = python(tmp_path, "from wardline import tool, open_broker\nprint(tool.__name__)\n")

    assert (done.stdout, done.stderr) == ("tool\n", "")
