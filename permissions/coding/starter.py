"""The policies a repository starts from: an overlay whose tables let a coding agent work.

Reads all but secrets, writes inside of the repository, asks a person before anything leaves it,
and never touches keys or what steers agents, editors and git. Its files are the repository's own
from then on. The table of files is made from the shipped one, so that it has all of its names.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from permissions.errors import ConfigError
from permissions.files import create, make_folder
from permissions.pdp.bundle import shipped_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = ".wardline-policies"
"""Where `wardline init` puts it, beside `wardline.toml`."""


def starter_files() -> Iterator[tuple[str, str]]:
    """Each file by its path in the overlay."""
    source = shipped_folder() / "starters" / "repository"
    for name in ("library.json", "repository_test.yaml"):
        yield name, (source / name).read_text("utf-8")
    for table in sorted((source / "data").glob("*.json")):
        yield f"data/{table.name}", table.read_text("utf-8")
    yield "data/filesystem.json", json.dumps(_filesystem(), indent=1) + "\n"


def write_starter(folder: Path) -> list[Path]:
    """Writes what is not there yet, and gives it; what is there stays as it is.

    Raises:
        ConfigError: a file cannot be written.
    """
    written = []
    for name, text in starter_files():
        path = folder / name
        try:
            make_folder(path.parent, mode=0o755)
            create(path, text.encode(), mode=0o644)
        except FileExistsError:
            continue
        except OSError as err:
            raise ConfigError(f"{path} cannot be written: {err.strerror}") from err
        written.append(path)
    return written


def _filesystem() -> dict[str, object]:
    """The shipped table, with what a repository's work needs.

    What others run later (CI, a test's set-up, what agents are told) is changed with a person;
    what steers the agent, editors and git at once stays closed.
    """
    shipped = json.loads((shipped_folder() / "data" / "filesystem.json").read_text("utf-8"))
    said = json.loads(
        (shipped_folder() / "starters" / "repository" / "filesystem.json").read_text("utf-8")
    )
    asked = said["with_a_person"]
    closed = [name for name in shipped["protected_names"] if name not in asked]
    later = sorted({*shipped["run_later_names"], *asked})
    return {
        **shipped,
        "roots": said["roots"],
        "protected_names": closed,
        "run_later_names": later,
    }
