"""A register is read whole, and one that could mean something else is refused."""

from pathlib import Path

import pytest

from permissions.assurance.register import line_of, read_register
from permissions.errors import ConfigError

RISK = """
[[risk]]
id = "payment-redirected"
title = "The agent pays somebody else"
severity = "critical"
likelihood = "likely"
owner = "olga"
due = 2027-03-31
covers = { marks = ["recipient"], effects = ["irreversible"] }
mitigations.policies = ["provenance"]
mitigations.probes = [3]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "risks.toml"
    path.write_text(text)
    return path


def test_a_register_is_read(tmp_path: Path) -> None:
    register = read_register(written(tmp_path, f"form = 1\n{RISK}"))

    (risk,) = register.risk
    assert (risk.owner, str(risk.due), risk.status) == ("olga", "2027-03-31", "open")
    assert [*risk.mitigations.all()] == [("policies", "provenance"), ("probes", "3")]
    assert risk.covers.marks == ("recipient",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RISK, "form"),
        (f"form = 2\n{RISK}", "form"),
        (f"form = 1\n{RISK}{RISK}", "stands twice"),
        (f"form = 1\n{RISK}mitigation = 1\n", "risk/0/mitigation"),
        (f"form = 1\n{RISK}mitigations.policy = ['a']\n", "risk/0/mitigations/policy"),
        ("form = 1\n[[risk]]\nid = 'A b'\n", "risk/0/id"),
        (f"form = 1\n{RISK}".replace("2027-03-31", '"soon"'), "risk/0/due"),
        (f"form = 1\n{RISK}".replace('"critical"', '"grave"'), "risk/0/severity"),
        ("form = ", "no TOML"),
        ("\x00", "no TOML"),
    ],
    ids=lambda each: None if "\n" in each or "\x00" in each else each,
)
def test_what_is_no_register_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_register(written(tmp_path, text))


def test_a_register_that_is_not_there_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="wardline assure init"):
        read_register(tmp_path / "none.toml")


def test_a_risk_is_found_in_its_file() -> None:
    assert line_of(f"form = 1\n{RISK}", "payment-redirected") == 4
    assert line_of("form = 1\n", "payment-redirected") == 1
