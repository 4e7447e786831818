"""The library: each package is sound, decides its samples alike on both engines, and is told of."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from permissions.authoring.table_tests import question_of, read_table, run_tables, table_files
from permissions.authoring.trial import Judge
from permissions.errors import BrokerError, PolicyLoadError
from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.bundle import load_bundle, shipped_folder
from permissions.pdp.library import library_names, library_package
from permissions.pdp.lint.bundle import check_bundle
from permissions.pdp.review.bundle import review_bundle
from permissions.pdp.review.scene import Known

if TYPE_CHECKING:
    from permissions.pdp.bundle import PolicyBundle

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "library"
LEAST_COVERAGE = 0.95
each_package = pytest.mark.parametrize("name", library_names())


@cache
def with_package(name: str) -> PolicyBundle:
    return load_bundle(overlay=library_package(name).folder)


@cache
def samples(name: str) -> list[tuple[str, str, Any]]:
    (path,) = table_files(library_package(name).folder)
    table, _ = read_table(path, path.name)
    return [(each.name, each.expect.decision, each) for each in table.tests]


def test_the_library_has_what_teams_start_from() -> None:
    assert library_names() == (
        "cloud", "coding", "commands", "delegation", "files", "git", "hosts", "hours", "http", "labels",
        "mail", "mcp", "payments", "personal_data", "rates", "secrets", "sql",
    )  # fmt: skip


def test_no_package_is_in_force_unasked() -> None:
    assert not [
        path for path in load_bundle().modules if path.startswith(("library", "layers"))
    ]


@pytest.mark.slow
@each_package
def test_a_package_is_sound_and_raises_no_doubt(name: str) -> None:
    bundle = with_package(name)

    assert check_bundle(bundle) == []
    assert [str(each) for each in review_bundle(bundle, Known())] == []


@each_package
def test_a_package_is_a_layer_that_only_narrows(name: str) -> None:
    package = library_package(name)

    assert [*package.folder.rglob("*.rego")] == [package.layer]
    assert "\nallow contains" not in package.layer.read_text()
    assert (
        f'"code": "{name}.' in package.layer.read_text()
        or "obligations" in package.layer.read_text()
    )


@pytest.mark.slow
@each_package
def test_a_package_decides_its_samples(name: str) -> None:
    bundle = with_package(name)

    run = run_tables(bundle, library_package(name).folder, load_tools=lambda _: [])

    assert [
        f"{each.name}: {each.detail}" for each in run.results if each.outcome != "pass"
    ] == []
    path = f"layers/{name}/{name}.rego"
    lines = run.coverage[path]
    assert len(lines.covered) / len(lines.covered | lines.missed) >= LEAST_COVERAGE, (
        lines.missed
    )


@each_package
def test_a_package_has_samples_of_each_kind(name: str) -> None:
    found = [decision for _, decision, _ in samples(name)]

    assert "allow" in found
    assert {"deny", "ask"} & {*found}
    assert len(found) >= 6


@pytest.mark.opa
@pytest.mark.slow
@each_package
def test_opa_decides_the_samples_alike(name: str, tmp_path: Path) -> None:
    """Value for value: `opa eval` over the same modules, tables and questions, in one run."""
    bundle, folder = with_package(name), library_package(name).folder
    questions = []
    for _, _, sample in samples(name):
        try:
            questions.append((question_of(sample, {}, folder), sample.tables))
        except BrokerError:
            continue
    plain = [question for question, tables in questions if not tables]
    assert plain
    for path, text in bundle.modules.items():
        file = tmp_path / "policies" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "data.json").write_text(json.dumps({**bundle.data, "asked": plain}))
    query = (
        f"[answer | some question in data.asked; answer := {ENTRYPOINT} with input as question]"
    )
    done = subprocess.run(
        [
            "opa", "eval", "--strict-builtin-errors", "--format=raw", "--stdin-input",
            "-d", tmp_path / "policies", "-d", tmp_path / "data.json",
            "--import", "rego.v1", query,
        ],
        input="{}", capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout

    judge = Judge(bundle)

    assert json.loads(done.stdout) == [judge.decide(each).response for each in plain]


@pytest.mark.opa
@pytest.mark.slow
def test_opa_checks_and_formats_the_library(tmp_path: Path) -> None:
    for name in ("lib", "library"):
        shutil.copytree(shipped_folder() / name, tmp_path / name)
    said = [
        subprocess.run(
            ["opa", *words, tmp_path], capture_output=True, text=True, check=False, timeout=150
        )
        for words in (["check", "--strict"], ["fmt", "--fail", "--list"])
    ]

    assert [(each.returncode, each.stdout + each.stderr) for each in said] == [(0, "")] * 2


@each_package
def test_a_package_is_switched_on_by_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "library.json").write_text(json.dumps([name]))

    assert load_bundle(overlay=tmp_path).revision == with_package(name).revision


def test_a_table_of_the_overlay_is_the_packages_own(tmp_path: Path) -> None:
    (tmp_path / "library.json").write_text('["hours"]')
    (tmp_path / "data").mkdir()
    table = json.loads(library_package("hours").table.read_text())
    (tmp_path / "data" / "hours.json").write_text(json.dumps({**table, "zone": "UTC"}))

    assert load_bundle(overlay=tmp_path).data["wardline"]["tables"]["hours"]["zone"] == "UTC"

    (tmp_path / "data" / "hours.json").write_text('{"zones": "UTC"}')
    with pytest.raises(PolicyLoadError, match=r"bundle\.table"):
        load_bundle(overlay=tmp_path)


@pytest.mark.parametrize("text", ['["gitt"]', '{"git": 1}', "[1]", "[", '"git"', '["../git"]'])
def test_a_list_that_names_no_package_does_not_load(text: str, tmp_path: Path) -> None:
    """A misspelt name would leave a team without what it counts on."""
    (tmp_path / "library.json").write_text(text)

    with pytest.raises(PolicyLoadError, match=r"bundle\.library"):
        load_bundle(overlay=tmp_path)


def test_a_layer_of_ones_own_does_not_take_a_packages_place(tmp_path: Path) -> None:
    (tmp_path / "library.json").write_text('["git"]')
    own = tmp_path / "layers" / "git"
    own.mkdir(parents=True)
    (own / "git.rego").write_text("package wardline.layers.git\n")

    with pytest.raises(PolicyLoadError, match=r"bundle\.closed"):
        load_bundle(overlay=tmp_path)


@each_package
def test_a_package_has_its_page(name: str) -> None:
    page = (DOCS / f"{name}.md").read_text()

    assert len(page.splitlines()) <= 70
    assert f'["{name}"]' in page or f"library add {name}" in page
    for heading in ("## What it stops", "## What it does not", "## Set it"):
        assert heading in page
    codes = {
        part
        for part in library_package(name).layer.read_text().split('"')
        if part.startswith(f"{name}.") and part != "git.exe"
    }
    assert [code for code in codes if code not in page and not code.endswith(".")] == []
