"""`wardline doctor` on settings that no broker opens with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from permissions.cli.root import app

if TYPE_CHECKING:
    from pathlib import Path

WRONG = {
    "approvers.olga.public_key": '[approvers.olga]\ngroups = ["payments"]\npublic_key = "none"\n',
    "the key /none/log.pem cannot be read": '[trace]\nkey = "file:/none/log.pem"\n',
    "trace.kye": '[trace]\nkye = "env:KEY"\n',
}


@pytest.mark.parametrize("said", WRONG)
def test_a_setting_that_cannot_be_used_is_found(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wardline.toml").write_text(WRONG[said])
    monkeypatch.chdir(tmp_path)

    told = CliRunner().invoke(app, ["doctor", "--json"])

    findings = {found["subject"]: found for found in json.loads(told.stdout)["findings"]}
    assert said in findings["settings"]["detail"]
    assert findings["settings"]["works"] is False


def test_settings_in_order_are_not_mentioned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    told = CliRunner().invoke(app, ["doctor", "--json"])

    subjects = [found["subject"] for found in json.loads(told.stdout)["findings"]]
    assert subjects
    assert "settings" not in subjects
