"""The policy files themselves: names, metadata, format, their own tests on both engines."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from permissions.pdp.bundle import load_bundle, shipped_folder
from permissions.pdp.lint.bundle import require_sound
from permissions.pdp.regorus.engine import Engine

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = shipped_folder()
BUNDLE = load_bundle()
QUESTIONS = {"egress", "effects"}
"""Folders of packages about something else than a call."""
AUTHORS = {"allow", "deny", "require_approval", "obligations"}
LEAST_COVERAGE = 95
SHARED = {"contract", "joined", "lib", "main"}

RULE = re.compile(r"^(?:default )?([a-z_]\w*)", re.MULTILINE)
TEST = re.compile(r"^(test_\w+) if", re.MULTILINE)


def rules_of(text: str) -> list[str]:
    """Names at the beginning of a line, which is where `opa fmt` puts every rule."""
    return [name for name in RULE.findall(text) if name not in {"package", "import", "else"}]


def package_of(text: str) -> str:
    found = re.search(r"^package (\S+)$", text, re.MULTILINE)
    assert found is not None
    return found[1]


def opa(*arguments: str) -> subprocess.CompletedProcess[str]:
    executable = shutil.which("opa") or "opa"
    return subprocess.run(
        [executable, *arguments], capture_output=True, check=False, text=True, timeout=150
    )


def test_the_shipped_bundle_is_sound() -> None:
    require_sound(BUNDLE)


@pytest.mark.parametrize("path", sorted(BUNDLE.modules))
def test_a_folder_is_a_package_with_its_tests_beside_it(path: str) -> None:
    *above, folder, name = path.split("/")
    below = [] if folder in SHARED else above or ["policies"]

    assert above in ([], *([question] for question in QUESTIONS))
    assert name == f"{folder}.rego"
    assert package_of(BUNDLE.modules[path]) == ".".join(["wardline", *below, folder])
    assert path.replace(".rego", "_test.rego") in BUNDLE.tests


@pytest.mark.parametrize(
    "path", sorted(p for p in BUNDLE.modules if p.split("/")[0] not in SHARED)
)
def test_authors_rules_have_no_other_names(path: str) -> None:
    """`denies contains` would be a rule that nobody ever asks for."""
    public = {name for name in rules_of(BUNDLE.modules[path]) if not name.startswith("_")}

    assert public
    assert public <= AUTHORS


@pytest.mark.parametrize("path", sorted(BUNDLE.modules))
def test_package_and_public_rules_carry_metadata(path: str) -> None:
    text = BUNDLE.modules[path]
    head, _, body = text.partition("\npackage ")

    assert head.startswith("# METADATA\n# scope: package\n# title: ")
    assert "related_resources" in head
    said: set[str] = set()
    for block in re.split(r"\n\n+", body)[1:]:  # the first is the package's own name
        lines = block.splitlines()
        rule = next((line for line in lines if not line.startswith("#")), "")
        name = next(iter(rules_of(rule)), "_")
        if name.startswith("_") or name in said:
            continue
        if path.split("/", maxsplit=1)[0] in SHARED:
            said.add(name)  # its metadata stands over the first of several definitions
        assert lines[0] == "# METADATA", f"{path}: {name} has no metadata"
        assert lines[1].startswith("# title: ")


@pytest.mark.parametrize(
    "path", sorted(p for p in BUNDLE.modules if p.split("/")[0] not in SHARED)
)
def test_codes_begin_with_their_package(path: str) -> None:
    folder = path.split("/")[-2]
    codes = re.findall(r'"code": "([^"]+)"', BUNDLE.modules[path])
    codes += re.findall(r'_ask\(\s*"([^"]+)"', BUNDLE.modules[path])
    codes += re.findall(r'^allow contains "([^"]+)"', BUNDLE.modules[path], re.MULTILINE)

    assert all(code.startswith(f"{folder}.") for code in codes)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", code) for code in codes)


@pytest.mark.slow
def test_the_embedded_engine_passes_every_rego_test() -> None:
    """The same tests `opa test` runs; a name that is not true there is a failure here."""
    engine = Engine({**BUNDLE.modules, **BUNDLE.tests}, "{}")
    asked = {
        f"data.{package_of(text)}.{name}": engine.ask(f"data.{package_of(text)}.{name}", "{}")
        for text in BUNDLE.tests.values()
        for name in TEST.findall(text)
    }

    assert len(asked) > 100
    assert {rule: value for rule, value in asked.items() if value != "true"} == {}


@pytest.mark.opa
@pytest.mark.slow
def test_opa_passes_every_rego_test_and_covers_the_policies() -> None:
    verdict = opa("test", "--bundle", str(FOLDER))
    report: dict[str, Any] = json.loads(
        opa("test", "--bundle", str(FOLDER), "--coverage", "--format=json").stdout
    )

    assert verdict.returncode == 0, verdict.stdout
    # A bundle's files stand in the report twice, once under a doubled path without numbers.
    covered = {
        path: file["coverage"]
        for name, file in report["files"].items()
        for path in BUNDLE.modules
        if "coverage" in file and name.endswith(f"/{path}")
    }
    assert covered.keys() == BUNDLE.modules.keys()
    assert {name: part for name, part in covered.items() if part < LEAST_COVERAGE} == {}


@pytest.mark.opa
def test_opa_formats_and_checks_the_policies() -> None:
    """Strictly, and against the input's schema, so that a misspelt member is an error."""
    schema = str(FOLDER / "schemas" / "input.json")
    unformatted = opa("fmt", "--list", str(FOLDER))
    checked = opa("check", "--strict", "--bundle", str(FOLDER), "--schema", schema)

    assert (unformatted.returncode, unformatted.stdout) == (0, "")
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.opa
def test_the_schema_finds_a_misspelt_member(tmp_path: Path) -> None:
    module = tmp_path / "typo.rego"
    module.write_text('package typo\n\np if input.action.properties.efect == "read"\n', "utf-8")
    checked = opa("check", "--schema", str(FOLDER / "schemas" / "input.json"), str(module))

    assert checked.returncode != 0
    assert "efect" in checked.stderr
