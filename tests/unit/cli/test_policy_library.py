"""`wardline policy library`: packages are listed, shown, and switched on without losing anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from click.testing import CliRunner

from permissions.cli.root import load
from permissions.pdp.bundle import load_bundle
from permissions.pdp.library import library_names

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def run(*arguments: object) -> Result:
    return CliRunner().invoke(load("policy"), ["library", *map(str, arguments)])


def test_list_says_of_each_what_it_denies_asks_and_needs() -> None:
    found = json.loads(run("list", "--json").stdout)["packages"]

    assert [each["name"] for each in found] == [*library_names()]
    assert all(each["denies"] and each["asks"] and each["needs"] for each in found)
    assert run("list").stdout.count(" denies ") == len(found)


def test_show_gives_the_rules_and_the_table() -> None:
    found = json.loads(run("show", "git", "--json").stdout)

    assert "package wardline.layers.git" in found["rego"]
    assert "push" in found["table"]["publishes"]
    assert "package wardline.layers.git" in run("show", "git").stdout


def test_an_unknown_package_is_named_with_those_there_are(tmp_path: Path) -> None:
    for result in (run("show", "gti"), run("add", "gti", "--to", tmp_path / "mine")):
        assert result.exit_code == 2
        assert "'gti'" in result.stderr
        assert "git" in result.stderr
    assert not (tmp_path / "mine").exists()


def test_add_keeps_what_is_there(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    run("add", "hours", "--to", mine)
    table = mine / "data" / "hours.json"
    table.write_text(table.read_text().replace("18:00", "17:00"))

    result = run("add", "git", "hours", "--to", mine, "--json")

    assert json.loads(result.stdout)["packages"] == ["hours", "git"]
    tables = load_bundle(overlay=mine).data["wardline"]["tables"]
    assert tables["hours"]["end"] == "17:00"
    assert "git" in tables


def test_add_refuses_a_list_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "library.json").write_text('["gitt"]')

    result = run("add", "git", "--to", tmp_path)

    assert result.exit_code == 2
    assert (tmp_path / "library.json").read_text() == '["gitt"]'
