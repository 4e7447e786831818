"""`wardline doctor` on settings that no broker opens with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from effort import sampled
from typer.testing import CliRunner

from permissions.cli.root import app
from sandbox.doctor import Finding, diagnose

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.xdist_group("doctor")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def probed() -> list[Finding]:
    """What this machine can isolate: the same for each of these tests, and slow to find out."""
    return anyio.run(diagnose)


@pytest.fixture
def known_machine(probed: list[Finding], monkeypatch: pytest.MonkeyPatch) -> None:
    async def found_before() -> list[Finding]:
        return probed

    # The real answer, found once: probing takes seconds and says the same each time.
    monkeypatch.setattr("permissions.cli.doctor.diagnose", found_before)


WRONG = {
    "approvers.olga.public_key": '[approvers.olga]\ngroups = ["payments"]\npublic_key = "none"\n',
    "the key /none/log.pem cannot be read": '[trace]\nkey = "file:/none/log.pem"\n',
    "trace.kye": '[trace]\nkye = "env:KEY"\n',
}


@pytest.mark.slow
@pytest.mark.parametrize("said", sampled(WRONG, {"trace.kye"}, named=str))
@pytest.mark.usefixtures("known_machine")
def test_a_setting_that_cannot_be_used_is_found(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wardline.toml").write_text(WRONG[said])
    monkeypatch.chdir(tmp_path)

    told = CliRunner().invoke(app, ["doctor", "--json", "--config", "wardline.toml"])

    findings = [found for found in json.loads(told.stdout)["findings"] if not found["works"]]
    assert told.exit_code == 1
    assert any(said in found["detail"] for found in findings)


def doctor(*arguments: str) -> tuple[int, dict[str, Any]]:
    told = CliRunner().invoke(app, ["doctor", "--json", *arguments])
    return told.exit_code, json.loads(told.stdout)


def found(document: dict[str, Any], subject: str) -> dict[str, Any]:
    return next(each for each in document["findings"] if each["subject"] == subject)


@pytest.mark.slow
def test_without_settings_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    code, document = doctor()

    assert code in {0, 6}
    assert document["settings"] == {"file": None, "origin": "defaults", "obeyed": True}
    assert "no wardline.toml here or above" in found(document, "settings")["detail"]
    assert "nobody" in found(document, "approvers")["detail"]


@pytest.mark.slow
@pytest.mark.usefixtures("known_machine")
def test_the_settings_in_force_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `init`, from a folder below; and who is missing for critical calls."""
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(app, ["init", "--name", "olga"])
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")

    code, document = doctor()

    file = str(tmp_path / "wardline.toml")
    assert code in {0, 6}
    assert document["settings"] == {"file": file, "origin": "found", "obeyed": True}
    assert file in found(document, "settings")["detail"]
    said = found(document, "approvers")["detail"]
    assert "olga" in said
    assert "calls of critical impact need 2 of security, and there is 1" in said


@pytest.mark.slow
@pytest.mark.usefixtures("known_machine")
def test_settings_that_are_not_trusted_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wardline.toml").write_text('environment = "theirs"\n')
    monkeypatch.chdir(tmp_path)

    code, document = doctor()

    assert code == 1
    assert document["settings"]["obeyed"] is False
    assert "wardline trust" in found(document, "settings")["detail"]


@pytest.mark.parametrize("name", ["log.pem", pytest.param("vault.key", marks=pytest.mark.slow)])
@pytest.mark.slow
@pytest.mark.usefixtures("known_machine")
def test_a_key_of_the_state_folder_that_cannot_be_used_fails(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(app, ["init", "--name", "olga"])
    (tmp_path / ".wardline/keys" / name).write_text("broken")

    code, document = doctor()

    assert code == 1
    assert not found(document, "keys")["works"]


@pytest.mark.slow
@pytest.mark.usefixtures("known_machine")
def test_policies_that_are_not_there_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WARDLINE_PDP__OVERLAY", str(tmp_path / "gone"))

    code, document = doctor()

    assert code == 1
    assert not found(document, "policies")["works"]


@pytest.mark.slow
@pytest.mark.usefixtures("known_machine")
def test_policies_that_must_not_be_used_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They can be read, and no broker opens with them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine/loose").mkdir(parents=True)
    (tmp_path / "mine/loose/loose.rego").write_text(
        "package wardline.policies.loose\n\ndeny contains lowr(1)\n"
    )
    monkeypatch.setenv("WARDLINE_PDP__OVERLAY", str(tmp_path / "mine"))

    code, document = doctor()

    assert code == 1
    assert "lowr" in found(document, "policies")["detail"]


@pytest.mark.slow
@pytest.mark.usefixtures("known_machine")
def test_arguments_nobody_described_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unmarked_desk.py").write_text(
        "from wardline import tool\n\n\n"
        "@tool(effect='write', impact='low')\n"
        "def save(path: str) -> str:\n    return path\n"
    )
    monkeypatch.chdir(tmp_path)

    code, document = doctor("--tools", "unmarked_desk")

    assert code == 1
    assert "path" in found(document, "tools")["detail"]
