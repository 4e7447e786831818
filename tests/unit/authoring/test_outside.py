"""What other programs find stands beside our findings, at the position they name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from permissions.authoring.outside import outside_findings, programs
from permissions.errors import ConfigError
from permissions.pdp.bundle import PolicyBundle, load_bundle

if TYPE_CHECKING:
    from pathlib import Path

MODULE = (
    "package wardline.policies.m\n\nallow contains x if {\n\tx := input.nothing\n\ty := 1\n}\n"
)


def stand_in(folder: Path, name: str, script: str) -> None:
    """A program of this name that prints what the real one is documented to print."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.opa
def test_what_opa_finds() -> None:
    found = outside_findings(PolicyBundle.of({"m/m.rego": MODULE}), ["opa"])

    assert {str(each).split(": ")[0] for each in found} == {"m/m.rego:4:7", "m/m.rego:5:2"}
    assert all(each.code.startswith("opa.") for each in found)


@pytest.mark.opa
def test_opa_finds_nothing_in_the_shipped_policies() -> None:
    assert outside_findings(load_bundle(), ["opa"]) == []


def test_what_regal_finds_but_for_taste(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report of `regal lint --format json`, as its documentation shows it."""
    report = {
        "violations": [
            {
                "title": title,
                "category": category,
                "description": "Not equals in loop",
                "level": "error",
                "location": {"file": "FOLDER/m/m.rego", "row": 4, "col": 2, "text": "x"},
            }
            for title, category in (("not-equals-in-loop", "bugs"), ("opa-fmt", "style"))
        ]
    }
    text = json.dumps(report).replace("FOLDER", "'\"$4\"'")
    stand_in(tmp_path, "regal", f"echo '{text}'; exit 3")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    found = outside_findings(PolicyBundle.of({"m/m.rego": MODULE}), ["regal"])

    assert programs() == ["regal"]
    assert [str(each) for each in found] == [
        (
            "m/m.rego:4:2: regal.not_equals_in_loop: Not equals in loop;"
            " this is what `regal lint` says"
        )
    ]


def test_a_program_without_an_answer_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, "opa", "echo out of memory >&2; exit 2")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    with pytest.raises(ConfigError, match="opa gave no answer"):
        outside_findings(PolicyBundle.of({"m/m.rego": MODULE}), ["opa"])
