"""The library: packages of policies that a team switches on by name, each a layer.

A package is a folder of `policies/library/` in the form of an overlay: one layer, one table, its
samples. It is in force only where a folder of policies or an overlay names it, in a file
`library.json` that holds a list of names. A layer narrows, so a package can only deny and ask.

What a package is for stands in the metadata of its Rego (`custom`), for people and programs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

NAMES_FILE = "library.json"
"""Beside `data/` of whoever switches packages on."""


@dataclass(frozen=True, slots=True)
class LibraryPackage:
    """One package, in words.

    Attributes:
        denies: what it denies, in one line.
        asks: what it asks a person about; "nothing" for some.
        needs: what has to be marked or listed before it does anything.
        folder: where its files are.
    """

    name: str
    title: str
    denies: str
    asks: str
    needs: str
    folder: Path

    @property
    def layer(self) -> Path:
        """Its Rego."""
        return self.folder / "layers" / self.name / f"{self.name}.rego"

    @property
    def table(self) -> Path:
        """Its table, as it is shipped."""
        return self.folder / "data" / f"{self.name}.json"


@cache
def library_folder() -> Path:
    """Where the packages are (a real folder, never inside a zip archive)."""
    return Path(str(resources.files("permissions") / "_policies" / "library")).resolve()


@cache
def library_names() -> tuple[str, ...]:
    """Every package, sorted."""
    return tuple(sorted(each.name for each in library_folder().iterdir() if each.is_dir()))


def library_package(name: str) -> LibraryPackage:
    """One package by its name.

    Raises:
        KeyError: there is none of this name.
    """
    if name not in library_names():
        raise KeyError(name)
    folder = library_folder() / name
    text = (folder / "layers" / name / f"{name}.rego").read_text("utf-8")
    said = _metadata(text)
    custom = said["custom"]
    return LibraryPackage(
        name, said["title"], custom["denies"], custom["asks"], custom["needs"], folder
    )


def names_in(text: str) -> list[str]:
    """The packages that the text of a `library.json` switches on, without one twice.

    Raises:
        ValueError: it is no list of names that the library has.
    """
    named = json.loads(text)
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        raise ValueError('it is no list of names, as in ["git", "sql"]')
    if unknown := sorted(set(named) - set(library_names())):
        raise ValueError(f"the library has no {', '.join(unknown)[:200]}")
    return list(dict.fromkeys(named))


def _metadata(text: str) -> dict[str, Any]:
    """The annotations of the package: the comment at the top of its file, in YAML."""
    import yaml

    lines = text.partition("\npackage ")[0].splitlines()
    said = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[1:])
    return dict(yaml.safe_load(said))
