"""One word for one thing: what the glossary's last column lists stands nowhere else."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = "docs/reference/glossary.md"
SUFFIXES = {"", ".eml", ".json", ".md", ".py", ".rego", ".sh", ".toml", ".txt"}
OWN = {GLOSSARY, "tests/project/test_words.py", "LICENSE"}
"""Where the words have to stand, and a text that is not ours."""

NOT_YET: tuple[str, ...] = ()
"""Folders that are not held to the glossary yet, with all that is in them."""


class Exempt(NamedTuple):
    """A use of a word that is right: where, in which words, and why."""

    files: str
    text: str
    why: str


EXEMPT = (
    Exempt(
        "**", r"separation[ _]of[ _]duties|duties\s+(are|is)\s+separated", "NIST's own name"
    ),
    Exempt("**", r"wall[ _-](clock|seconds|time)\w*", "the clock on the wall, not a boundary"),
    Exempt(
        "**",
        r"(in|into|out of|take\w*|took)[\s_]+((the|its|their|his)[\s_]+)?place",
        "an idiom",
    ),
    Exempt("**", r"tree heads", "what the C2SP formats sign"),
    Exempt("**", r"in[_ ]place", "an idiom"),
    Exempt("**", r"io\.wardline\.place", "a property in the SBOMs of images that exist"),
    Exempt("tests/bench/toolkit.py", r"Audit_?Log", "what the toolkit calls its own"),
)


class Hit(NamedTuple):
    file: str
    line: int
    word: str
    say: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.word!r}; say {self.say}"


def gone() -> Iterator[tuple[re.Pattern[str], str, str]]:
    """Each word of the last column, how it is found, and what to say instead."""
    for row in (ROOT / GLOSSARY).read_text().split("## Collisions")[0].splitlines():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if len(cells) != 3 or cells[0] == "say" or set(cells[0]) == {"-"}:
            continue
        for word in filter(None, map(str.strip, cells[2].split(","))):
            if word.startswith("`"):
                exact = re.escape(word.strip("`"))
                yield re.compile(rf"(?<![\w-]){exact}(?![\w-])"), word.strip("`"), cells[0]
            else:
                # The words of a phrase may stand in an identifier or on two lines of a comment.
                words = r"[\s_#-]+".join(map(re.escape, word.split()))
                found = rf"(?<![A-Za-z0-9]){words}(?![A-Za-z0-9])"
                yield re.compile(found, re.IGNORECASE), word, cells[0]


GONE = list(gone())
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def hits(file: str, text: str) -> Iterator[Hit]:
    """Each word in a text, or in the file's own name, that is gone."""
    exempt = [each for each in EXEMPT if Path(file).match(each.files) or each.files == "**"]
    written = f"{file}\n{text}"
    parted = _CAMEL.sub("_", written)
    lowered = parted.lower()
    for pattern, word, say in GONE:
        if word.split()[0].lower() not in lowered and word not in written:
            continue  # fifty patterns over four megabytes are most of this test's time
        body = parted if pattern.flags & re.IGNORECASE else written
        for found in pattern.finditer(body):
            around = [
                span
                for each in exempt
                for span in re.finditer(each.text, body, re.IGNORECASE)
                if span.start() <= found.start() and found.end() <= span.end()
            ]
            if not around:
                yield Hit(file, body.count("\n", 0, found.start()), word, say)


def folder(file: str) -> str:
    """The part of the project a file belongs to, as `permissions/trace`; `.` for the top."""
    parents = Path(file).parts[:-1]
    return "/".join(parents[: 3 if parents[:1] == ("tests",) else 2]) or "."


def texts() -> dict[str, list[str]]:
    """Every text of the project by its folder: what git knows of, and what is new."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    found: dict[str, list[str]] = {}
    for file in sorted(set(listed) - OWN):
        if Path(file).suffix in SUFFIXES and (ROOT / file).is_file():
            found.setdefault(folder(file), []).append(file)
    return found


TEXTS = texts()


@pytest.mark.parametrize(
    "part",
    [
        part
        for part in sorted(TEXTS)
        if not f"{part}/".startswith(tuple(f"{each}/" for each in NOT_YET))
    ],
)
def test_words_that_are_gone_stay_gone(part: str) -> None:
    found = [
        str(hit)
        for file in TEXTS[part]
        for hit in hits(file, (ROOT / file).read_text(errors="replace"))
    ]

    assert not found, "\n".join(["see docs/reference/glossary.md", *found])


@pytest.mark.parametrize(
    "text",
    ["its duty", "two_duties", "class DutyList", "a way\n# out", "WAY_OUT", "WorkspaceLayer()"],
)
def test_a_word_that_is_gone_is_found(text: str) -> None:
    assert len(list(hits("a.py", text))) == 1


@pytest.mark.parametrize(
    "text", ["separation of duties", "wall_seconds=3", "in place of it", "replace", "charm"]
)
def test_a_word_that_is_right_is_not_found(text: str) -> None:
    assert list(hits("a.py", text)) == []


def test_each_exemption_is_used_and_says_why() -> None:
    everything = "\n".join(
        (ROOT / file).read_text(errors="replace") for files in TEXTS.values() for file in files
    )

    assert [
        each
        for each in EXEMPT
        if not each.why or not re.search(each.text, everything, re.IGNORECASE)
    ] == []


if __name__ == "__main__":  # python tests/project/test_words.py [FOLDER...]: lists what is left
    for part in sys.argv[1:] or sorted(TEXTS):
        for file in TEXTS[part]:
            for hit in hits(file, (ROOT / file).read_text(errors="replace")):
                sys.stdout.write(f"{hit}\n")
