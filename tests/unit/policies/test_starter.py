"""The policies that a repository of a coding agent starts from."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from permissions.authoring.table_tests import question_of, read_table, run_tables, table_files
from permissions.authoring.trial import Judge
from permissions.coding.starter import starter_files, write_starter
from permissions.coding.tools import TOOLS
from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.bundle import load_bundle, shipped_folder
from permissions.pdp.lint.bundle import check_bundle
from permissions.tools.decorator import guard_of

if TYPE_CHECKING:
    from pathlib import Path

TABLES = {name: text for name, text in starter_files() if name.startswith("data/")}
DEFINITIONS = [guard_of(each).definition for each in TOOLS]


@pytest.mark.slow
def test_it_decides_its_samples(tmp_path: Path) -> None:
    """Public reports of what got past the hooks of coding agents among them."""
    write_starter(tmp_path)

    run = run_tables(load_bundle(overlay=tmp_path), tmp_path, load_tools=lambda _: DEFINITIONS)

    assert [f"{e.name}: {e.detail}" for e in run.results if e.outcome != "pass"] == []
    assert len(run.results) > 60


@pytest.mark.slow
def test_it_is_sound(tmp_path: Path) -> None:
    write_starter(tmp_path)

    assert check_bundle(load_bundle(overlay=tmp_path)) == []


@pytest.mark.opa
@pytest.mark.slow
def test_opa_decides_the_samples_alike(tmp_path: Path) -> None:
    write_starter(tmp_path / "overlay")
    bundle = load_bundle(overlay=tmp_path / "overlay")
    (path,) = table_files(tmp_path / "overlay")
    table, _ = read_table(path, path.name)
    known = {each.name: each for each in DEFINITIONS}
    asked = [question_of(each, known, tmp_path) for each in table.tests]
    for name, text in bundle.modules.items():
        (tmp_path / "policies" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "policies" / name).write_text(text)
    (tmp_path / "data.json").write_text(json.dumps({**bundle.data, "asked": asked}))
    done = subprocess.run(
        ["opa", "eval", "--format=raw", "--stdin-input", "-d", tmp_path / "policies",
         "-d", tmp_path / "data.json", "--import", "rego.v1",
         f"[answer | some q in data.asked; answer := {ENTRYPOINT} with input as q]"],
        input="{}", capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    judge = Judge(bundle)

    assert json.loads(done.stdout) == [judge.decide(each).response for each in asked]


def test_it_has_every_secret_name_of_the_shipped_table() -> None:
    shipped = json.loads((shipped_folder() / "data" / "filesystem.json").read_text())
    table = json.loads(TABLES["data/filesystem.json"])

    assert {k: v for k, v in table.items() if k.startswith(("secret", "not_", "copy"))} == {
        k: v for k, v in shipped.items() if k.startswith(("secret", "not_", "copy"))
    }
    moved = {*shipped["protected_names"]} - {*table["protected_names"]}
    assert moved <= {*table["run_later_names"]}


def test_what_steers_the_agent_at_once_stays_closed() -> None:
    closed = json.loads(TABLES["data/filesystem.json"])["protected_names"]

    assert {".claude", ".codex", ".cursor", ".gemini", ".git", ".wardline", "wardline.toml",
            ".mcp.json", ".bashrc", ".husky"} <= {*closed}  # fmt: skip


def test_only_the_tool_of_the_hook_is_handed_over() -> None:
    shell = json.loads(TABLES["data/shell.json"])

    assert shell["handed_over"] == ["coding.run_command"]
    assert {"sudo", "nsenter", "mount", "crontab"} <= {*shell["denied_programs"]}


def test_what_is_there_is_kept_when_it_is_written_again(tmp_path: Path) -> None:
    write_starter(tmp_path)
    (tmp_path / "data" / "shell.json").write_text("mine")
    (tmp_path / "data" / "git.json").unlink()

    assert write_starter(tmp_path) == [tmp_path / "data" / "git.json"]
    assert (tmp_path / "data" / "shell.json").read_text() == "mine"
