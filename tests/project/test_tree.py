"""The tree has no circle, neither between modules nor between folders, typing imports counted."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("wardline", "permissions", "sandbox", "agents_demo")


def modules() -> dict[str, Path]:
    """Every module of the product by its dotted name; a package goes by its folder's."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def imported(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The modules one file names in an import, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                member = f"{node.module}.{alias.name}"
                if member in known:
                    yield member
                elif node.module in known:
                    yield node.module


def circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups that reach each other (Tarjan's strongly connected components, without the trivial)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = [stack.pop()]
            while group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for node in edges:
        if node not in index:
            visit(node)
    return found


def module_edges() -> dict[str, set[str]]:
    known = modules()
    return {
        name: {other for other in imported(path, known) if other != name}
        for name, path in known.items()
    }


def folder_edges(level: int) -> dict[str, set[str]]:
    """Imports between folders `level` deep; a module that lies higher is a room of its own."""
    known = modules()

    def room(name: str) -> str:
        return ".".join(name.split(".")[: level + 1])

    edges: dict[str, set[str]] = {room(name): set() for name in known}
    for name, others in module_edges().items():
        for other in others:
            # A folder's own module is the folder's name and docstring, not a room in it.
            if known[other].name != "__init__.py" and room(other) != room(name):
                edges[room(name)].add(room(other))
    return edges


def test_no_two_modules_import_each_other() -> None:
    assert circles(module_edges()) == []


@pytest.mark.parametrize("level", [1, 2, 3])
def test_no_two_folders_import_each_other(level: int) -> None:
    assert circles(folder_edges(level)) == []


def test_a_circle_is_found() -> None:
    edges: dict[str, set[str]] = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}

    assert circles(edges) == [["a", "b", "c"]]


@pytest.mark.parametrize(
    "folder",
    sorted(
        path.parent for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")
    ),
    ids=lambda folder: str(folder.relative_to(ROOT)),
)
def test_a_folder_says_what_belongs_in_it(folder: Path) -> None:
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""

    assert len(said.split()) >= 10
