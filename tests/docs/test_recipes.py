"""Recipes and the pages of the library: their files are written, their commands run as shown.

A block after "`mine/x`:" is that file. A block `console` holds commands and all that they print,
where `…` stands for what is another each time, and alone on a line for the lines after it.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from permissions.cli.root import load

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(
    r"(?:`(mine/[^`\n]+|[a-z_]+\.py)`:\n\n)?```(\w+)[^\n]*\n(.*?)```", re.DOTALL
)
_STEP = re.compile(r"^\$ wardline (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


def sections() -> list[tuple[str, str]]:
    """Each page of the library, and each recipe: every one begins in an empty folder."""
    found = [
        (path.stem, path.read_text())
        for path in sorted((DOCS / "reference/library").glob("*.md"))
    ]
    recipes = (DOCS / "guides" / "recipes.md").read_text().split("\n## ")
    found += [(text.partition("\n")[0], text) for text in recipes[1:]]
    return [(name, text) for name, text in found if "```console" in text]


SECTIONS = sections()


@pytest.mark.slow
@pytest.mark.parametrize("text", [t for _, t in SECTIONS], ids=[n for n, _ in SECTIONS])
def test_what_is_shown_is_what_happens(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    for file, kind, body in _BLOCK.findall(text):
        if file:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(body)
        elif kind == "console":
            for command, shown in _STEP.findall(body):
                noun, *words = shlex.split(command)
                result = CliRunner().invoke(load(noun), words)
                wanted = re.escape(shown).replace("…\\\n", r"(.*\n)*").replace("…", r"[^ \n]*")
                # What stands on stderr beside a success hangs on what this machine has.
                said = result.stdout if result.exit_code == 0 else result.output
                assert re.fullmatch(wanted, said), f"{command}\n{said}"


def test_there_are_ten_recipes_and_a_page_for_each_package() -> None:
    from permissions.pdp.library import library_names

    names = [name for name, _ in SECTIONS]

    assert names[: len(library_names())] == list(library_names())
    assert len(names) >= len(library_names()) + 10
