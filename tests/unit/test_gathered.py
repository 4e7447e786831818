"""What was measured is read back as it was kept, and refused when it was altered."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from permissions.errors import ConfigError
from permissions.gathered import Finding, Gathered, PartResult, measured, not_measured

NOON = 1_800_000_000_000_000
RED = (Finding(code="probe.open", text="case 3 is open", file="a.toml", line=2),)


def test_a_measurement_is_read_back(tmp_path: Path) -> None:
    gathered = Gathered(tmp_path / "evidence")
    result = measured("probe", "one open", {"share": 0.5, "rows": [1]}, at=NOON, findings=RED)

    file = gathered.keep(result)

    assert file.name == "20270115T080000.000000Z.json"
    assert gathered.newest("probe") == result
    assert result.outcome == "failed"
    assert gathered.all() == {"probe": result}


def test_the_newest_counts_and_the_others_are_history(tmp_path: Path) -> None:
    gathered = Gathered(tmp_path)
    for at in (NOON + 5, NOON, NOON + 2_000_000):
        gathered.keep(measured("probe", "holds", {}, at=at))

    found = [each.measured_at for each in gathered.history("probe")]

    assert found == [NOON, NOON + 5, NOON + 2_000_000]
    assert gathered.newest("probe") == measured("probe", "holds", {}, at=NOON + 2_000_000)


def test_nothing_was_measured_where_nothing_is(tmp_path: Path) -> None:
    gathered = Gathered(tmp_path / "none")

    assert gathered.newest("probe") is None
    assert gathered.all() == {}


def test_a_measurement_is_never_written_over(tmp_path: Path) -> None:
    gathered = Gathered(tmp_path)
    gathered.keep(measured("probe", "holds", {}, at=NOON))

    with pytest.raises(FileExistsError):
        gathered.keep(measured("probe", "holds", {"other": 1}, at=NOON))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("evidence", {"rows": [2]}),
        ("outcome", "passed"),
        ("part", "policy-check"),
        ("measured_at", NOON + 1),
        ("more", 1),
    ],
)
def test_what_was_altered_is_refused(tmp_path: Path, name: str, value: object) -> None:
    gathered = Gathered(tmp_path)
    result = measured("probe", "one open", {"rows": [1]}, at=NOON, findings=RED)
    file = gathered.keep(result)
    file.write_text(json.dumps({**json.loads(file.read_text()), name: value}))

    with pytest.raises(ConfigError, match="measure probe again"):
        gathered.newest("probe")


def test_what_was_not_measured_is_no_pass() -> None:
    assert not_measured("probe", "no backend works here", at=NOON).outcome == "not_measured"


def test_a_failure_without_a_finding_is_none() -> None:
    document = measured("probe", "holds", {}, at=NOON).model_dump(mode="json")

    with pytest.raises(ValidationError, match="findings"):
        PartResult.model_validate_json(json.dumps({**document, "outcome": "failed"}))
