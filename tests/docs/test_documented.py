"""What a reader can meet is written down: names, codes, commands, settings, obligations, markers."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import sandbox
import wardline
from permissions import errors
from permissions.cli.root import NOUNS, load
from permissions.obligations.obligations import KNOWN
from permissions.pdp.bundle import load_bundle
from permissions.pdp.lint.bundle import check_bundle
from permissions.pdp.policy_tests import run_tests
from permissions.pdp.review.bundle import review_bundle
from permissions.reasons import Code
from permissions.setup.config import BrokerConfig

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

_LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)\s]+)\)")
_COMMAND = re.compile(r"^\$? *wardline((?: [a-z][a-z-]*)+)", re.MULTILINE)
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)


def page(name: str) -> str:
    return (DOCS / name).read_text()


def code_in(text: str) -> str:
    """Only what stands in code marks: a word in prose documents nothing."""
    return "\n".join(_CODE.findall(text))


def policy_in(name: str, folder: Path) -> Path:
    """The Rego of a page as a folder of policies, each package where it has to stand."""
    return packages_of(re.findall(r"```rego\n(.*?)```", page(name), re.DOTALL), folder)


def packages_of(texts: list[str], folder: Path) -> Path:
    """Packages as a folder of policies."""
    for text in texts:
        package = re.search(r"^package wardline\.(\S+)", text, re.MULTILINE)
        assert package
        path = package[1].removeprefix("policies.").replace(".", "/")
        file = folder / path.removesuffix("_test") / f"{Path(path).name}.rego"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def missing(names: list[str], text: str) -> list[str]:
    return [
        name for name in names if not re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", text)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("guide", ["guides/egress.md", "guides/write-policies.md"])
def test_the_policies_of_a_guide_break_no_other(guide: str, tmp_path: Path) -> None:
    """On top of the shipped policies they leave their tests as they were, and pass their own."""
    bundle = load_bundle(overlay=policy_in(guide, tmp_path))

    run = run_tests(bundle)

    assert [*check_bundle(bundle), *review_bundle(bundle)] == []
    assert run.passed, run


@pytest.mark.slow
@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_whole_packages_of_the_docs_pass_review(file: Path, tmp_path: Path) -> None:
    """What a reader copies has no finding that a policy of theirs would have."""
    name = str(file.relative_to(ROOT / "docs")) if file.is_relative_to(ROOT / "docs") else ""
    blocks = re.findall(r"```rego\n(.*?)```", file.read_text(), re.DOTALL)
    whole = [text for text in blocks if "package wardline." in text and "…" not in text]
    if not name or not whole or not any(" if " in text or "contains" in text for text in whole):
        return
    bundle = load_bundle(overlay=packages_of(whole, tmp_path))

    assert [*check_bundle(bundle), *review_bundle(bundle)] == []


def test_public_names_are_documented() -> None:
    """Each name both packages export is in the docs, in code marks."""
    text = "\n".join(code_in(file.read_text()) for file in PAGES)

    assert missing([*wardline.__all__, *sandbox.__all__], text) == []


def test_findings_are_documented() -> None:
    """Each code that is written in the loader, the linter or the review, and no other."""
    folders = ("permissions/pdp", "permissions/setup")
    sources = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    code = re.compile(r"\b(?:bundle|rego|review)\.[a-z_]+\b")
    given = {
        found
        for source in sources
        for found in re.findall(r'"((?:bundle|rego|review)\.[a-z_]+)"', source.read_text())
    }
    told = set(code.findall(code_in(page("reference/findings.md"))))

    assert given - told == set()
    assert told - given == {"review.some_code"}


def test_reason_codes_are_documented() -> None:
    """Each code the broker gives is on its page."""
    assert missing([code.value for code in Code], page("reference/reason-codes.md")) == []


def test_exceptions_are_documented() -> None:
    """Each exception of the package is on its page, in the tree and in the table."""
    names = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.BrokerError)
    ]

    text = page("reference/errors.md")

    assert [name for name in names if text.count(name) < 2] == []


def test_obligations_are_documented() -> None:
    """Each type of obligation a policy may attach is in the policy contract."""
    assert missing([f"`{name}`" for name in KNOWN], page("reference/policy-contract.md")) == []


def test_settings_are_documented() -> None:
    """Each setting is on its page."""
    text = page("reference/settings.md")

    assert [name for name in BrokerConfig.model_fields if f"`{name}" not in text] == []


def test_markers_and_make_targets_are_documented() -> None:
    """A contributor finds each test marker and each make target in one page."""
    markers = [mark.partition(":")[0] for mark in PROJECT["tool"]["pytest"]["markers"]]
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^#   (make \w+)", makefile, re.MULTILINE)

    text = page("CONTRIBUTING.md")

    assert targets
    assert missing([*(f"`{mark}`" for mark in markers), *targets], text) == []


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(file: Path) -> None:
    """Each relative link names a file, and its anchor a heading of that file."""
    broken = []
    for link in _LINK.findall(file.read_text()):
        path, _, anchor = link.partition("#")
        target = file.parent / path if path else file
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


def test_every_page_is_reachable() -> None:
    """A reader who follows links from the README meets each page."""
    met: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        file = ahead.pop()
        if file in met or file.suffix != ".md":
            continue
        met.add(file)
        links = (link.partition("#")[0] for link in _LINK.findall(file.read_text()))
        ahead += [(file.parent / path).resolve() for path in links if path]

    assert [str(file.relative_to(ROOT)) for file in PAGES if file not in met] == []


def anchors(file: Path) -> set[str]:
    headings = re.findall(r"^#+ +(.+)$", file.read_text(), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        for heading in headings
    }


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_mentioned_commands_exist(file: Path) -> None:
    """Each `wardline ...` in a code mark is a command that exists."""
    code = code_in(file.read_text()).replace("`", "\n")
    unknown = [words for words in _COMMAND.findall(code) if not exists(words.split())]

    assert unknown == []


def exists(words: list[str]) -> bool:
    """Whether the words lead to a command; what follows a command are its arguments."""
    if words[0] not in NOUNS:
        return False
    command = load(words[0])
    for word in words[1:]:
        children = getattr(command, "commands", None)
        if not children:
            return True
        if word not in children:
            return False
        command = children[word]
    return True
