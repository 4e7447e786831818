"""`wardline sandbox probe`: which findings make it fail, and what it says without a backend."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from permissions.cli.root import app
from permissions.cli.sandbox_probe import document, is_kept
from sandbox.probes import Finding, Outcome

if TYPE_CHECKING:
    from pathlib import Path


def finding(status: str, *, promised: bool = True) -> Finding:
    outcome = Outcome(status, "said")  # type: ignore[arg-type]  # one of the three
    return Finding(5, "bubblewrap", outcome, promised)


@pytest.mark.parametrize(
    ("findings", "kept"),
    [
        pytest.param([], False, id="nothing was attempted"),
        pytest.param([finding("blocked")], True, id="blocked"),
        pytest.param([finding("not_applicable")], True, id="nothing to attempt"),
        pytest.param([finding("open", promised=False)], True, id="open, never promised"),
        pytest.param([finding("blocked"), finding("open")], False, id="one open among all"),
    ],
)
def test_only_a_broken_promise_fails(findings: list[Finding], kept: bool) -> None:  # noqa: FBT001
    assert is_kept(findings) is kept


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


@pytest.mark.parametrize("arguments", [["--backend", "chroot"], ["--case", "75"]])
def test_what_the_table_does_not_have_is_wrong_usage(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["sandbox", "probe", *arguments]).exit_code == 2
