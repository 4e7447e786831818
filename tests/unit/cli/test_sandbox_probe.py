"""`wardline sandbox probe`: which findings make it fail, and what it says without a backend."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from permissions.cli.root import app
from permissions.cli.sandbox_probe import document, exit_code, print_table
from sandbox.probes import Finding, Outcome

if TYPE_CHECKING:
    from pathlib import Path


def finding(status: str, *, promised: bool = True) -> Finding:
    outcome = Outcome(status, "said")  # type: ignore[arg-type]  # one of the four
    return Finding(5, "bubblewrap", outcome, promised)


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        pytest.param([], 6, id="nothing was attempted"),
        pytest.param([finding("blocked")], 0, id="blocked"),
        pytest.param([finding("not_applicable")], 0, id="nothing to attempt"),
        pytest.param([finding("open", promised=False)], 0, id="open, never promised"),
        pytest.param([finding("not_tried", promised=False)], 0, id="not tried, never promised"),
        pytest.param([finding("blocked"), finding("open")], 6, id="one open among all"),
        pytest.param([finding("blocked"), finding("not_tried")], 1, id="one not tried"),
        pytest.param([finding("open"), finding("not_tried")], 6, id="one of each"),
    ],
)
def test_what_was_not_seen_to_hold_fails(findings: list[Finding], code: int) -> None:
    """A row that could not be tried is not a pass, and not the same as an open one."""
    assert exit_code(findings) == code


def test_the_document_tells_what_was_not_tried_from_what_is_open() -> None:
    said = document([finding("not_tried")], {})

    assert (said["broken"], said["not_tried"]) == ([], [5])
    assert said["rows"][0]["results"]["bubblewrap"]["status"] == "not_tried"


def test_the_table_tells_what_was_not_tried_from_what_is_open(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each of the four is said in its own words, and what was not promised is marked so."""
    statuses = ("blocked", "open", "not_tried", "not_applicable")

    print_table([*map(finding, statuses), finding("not_tried", promised=False)], {})

    said = capsys.readouterr().out
    words = ("blocked", "OPEN", "NOT TRIED", "not applicable", "not tried (not promised)")
    assert all(f"bubblewrap   {word:<14} said" in said for word in words)
    assert "1 blocked, 1 open, 0 open and not promised, 2 not tried, 1 not applicable" in said
    assert "promised and not tried: 5" in said


def test_the_document_names_what_is_broken() -> None:
    said = document([finding("open")], {"docker": "no engine"})

    assert said["broken"] == [5]
    assert said["missing"] == {"docker": "no engine"}
    (row,) = said["rows"]
    assert row["results"] == {
        "bubblewrap": {"status": "open", "detail": "said", "promised": True}
    }


def test_without_a_backend_nothing_is_promised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Exit code 6, and the way to get one."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")

    done = CliRunner().invoke(app, ["sandbox", "probe", "--backend", "docker", "--json"])

    assert done.exit_code == 6
    said = json.loads(done.stdout)
    assert said["rows"] == []
    assert "docker" in said["missing"]


@pytest.mark.bwrap
def test_a_case_can_be_asked_for_by_its_number() -> None:
    arguments = ["sandbox", "probe", "--backend", "bubblewrap", "--case", "42", "--case", "51"]

    done = CliRunner().invoke(app, arguments)

    assert done.exit_code == 0
    assert "bubblewrap: 2 blocked, 0 open" in done.stdout
    assert "42 bubblewrap: blocked" in done.stderr


@pytest.mark.parametrize("arguments", [["--backend", "chroot"], ["--case", "76"]])
def test_what_the_table_does_not_have_is_wrong_usage(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["sandbox", "probe", *arguments]).exit_code == 2
