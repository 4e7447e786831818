"""`wardline assure`: what it writes to start from, and what it refuses."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
from typer.testing import CliRunner

from permissions.assurance.checking import judge_register
from permissions.assurance.register import Register, read_register
from permissions.assurance.terms import read_terms
from permissions.assurance.verdict import GATE_PART
from permissions.cli import root
from permissions.cli.assure.scene import known_in, open_scene
from permissions.gathered import Finding, Gathered, measured
from permissions.testing import Person

if TYPE_CHECKING:
    from typer.testing import Result

ROOT = Path(__file__).parents[3]
OLGA = Person("olga", ("security",))
OPEN = Finding(code="probe.open", text="case 3 is open")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with settings that know olga, as the working directory."""
    settings = tmp_path / "wardline.toml"
    settings.write_text(
        f'[approvers.olga]\ngroups = ["security"]\npublic_key = "{OLGA.signer.public}"\n'
    )
    monkeypatch.setenv("WARDLINE_CONFIG", str(settings))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: object) -> Result:
    return CliRunner().invoke(root.app, ["assure", *map(str, words)])


def test_a_starter_is_written_and_never_over_another(here: Path) -> None:
    first = run("init", "--owner", "olga", "--tools", "shop")

    assert first.exit_code == 0, first.output
    register = read_register(here / "wardline-risks.toml")
    assert {risk.owner for risk in register.risk} == {"olga"}
    assert all(risk.due and risk.due > date(2026, 1, 1) for risk in register.risk)
    assert read_terms(here / "wardline-gate.toml").tools == "shop"

    (here / "wardline-risks.toml").write_text("mine")
    again = run("init", "--owner", "eve")

    assert again.exit_code == 0
    assert "is there already, and stays as it is" in again.output
    assert (here / "wardline-risks.toml").read_text() == "mine"


def test_a_starter_without_an_owner_says_so(here: Path) -> None:
    assert run("init").exit_code == 0

    register = read_register(here / "wardline-risks.toml")

    assert {risk.owner for risk in register.risk} == {""}
    assert read_terms(here / "wardline-gate.toml").tools is None


def test_all_that_the_starter_names_is_there(here: Path) -> None:
    """Only what was not measured yet, and tools that nobody named, are findings of it."""
    run("init", "--owner", "olga")
    scene = open_scene(here / "wardline-gate.toml", None, here / "evidence")
    path = here / "wardline-risks.toml"
    register = read_register(path)
    known = known_in(scene, register, {})

    judged = judge_register(
        register, path.read_text(), "risks", known, today=date(2026, 1, 1), basis="b", at=0
    )

    assert {each.code for each in judged.findings} == {
        "register.unmeasured",
        "register.no_tools",
    }
    figures = {f"{gate.variant}/{gate.figure}" for gate in scene.terms.evaluation.gates}  # type: ignore[union-attr]
    named = {name for risk in register.risk for name in risk.mitigations.evaluations}
    assert named <= figures


def test_the_starter_fits_the_published_schema(here: Path) -> None:
    run("init", "--owner", "olga")
    schema = json.loads((ROOT / "docs/reference/schemas/risk-register.json").read_text())
    document = tomllib.loads((here / "wardline-risks.toml").read_text())

    jsonschema.validate(json.loads(json.dumps(document, default=str)), schema)
    document["risk"][0]["mitigation"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(json.dumps(document, default=str)), schema)
    assert json.loads(run("schema", "register").stdout) == schema
    assert schema["title"] == Register.__name__


@pytest.fixture
def asked(here: Path) -> Path:
    """The gate was asked, and found something."""
    (here / "wardline-gate.toml").write_text("form = 1\n")
    verdict = measured(GATE_PART, "does not hold", {"parts": []}, at=7, findings=(OPEN,))
    Gathered(here / ".wardline-evidence").keep(verdict)
    return here


def exempt(
    folder: Path, *words: str, finding: str = OPEN.id, until: int = 30, who: Person = OLGA
) -> Result:
    key = folder / f"{who.name}.pem"
    if not key.exists():
        key.write_bytes(_pem(who))
        key.chmod(0o600)
    day = (datetime.now(UTC) + timedelta(days=until)).date().isoformat()
    return run(
        *("exempt", finding, "--reason", "SEC-7", "--until", day, "--key", f"file:{key}"),
        *words,
    )


def _pem(who: Person) -> bytes:
    import hashlib

    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(who.name.encode()).digest())
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_an_exemption_is_added_to_the_file(asked: Path) -> None:
    for number in (1, 2):
        done = exempt(asked)
        assert done.exit_code == 0, done.output
        assert len((asked / "wardline-exemptions.jsonl").read_text().splitlines()) == number
    said = json.loads(exempt(asked, "--json").stdout)
    assert (said["finding"], said["by"]) == (OPEN.id, "olga")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"finding": "0" * 12}, "no finding of the last gate (1 findings)"),
        ({"until": 91}, "longer than 90 days"),
        ({"until": -1}, "it ended on"),
        ({"who": Person("eve", ())}, "belongs to no registered approver"),
    ],
    ids=["finding", "long", "over", "nobody"],
)
def test_an_exemption_that_may_not_be_is_refused(
    asked: Path, options: dict[str, object], said: str
) -> None:
    done = exempt(asked, **options)  # type: ignore[arg-type]

    assert done.exit_code in (2, 3)
    assert said in " ".join(done.output.split())
    assert not (asked / "wardline-exemptions.jsonl").exists()


def test_an_unknown_part_is_refused(asked: Path) -> None:
    done = run("gate", "--only", "policies")

    assert done.exit_code == 2
    assert "'policies' is none of policy-check" in " ".join(done.output.split())


def test_what_was_altered_ends_the_gate(asked: Path) -> None:
    (file,) = (asked / ".wardline-evidence/gate").iterdir()
    file.write_text(file.read_text().replace("case 3", "case 4").replace('"parts"', '"part"'))

    done = exempt(asked)

    assert done.exit_code == 2
    assert "measure gate again" in " ".join(done.output.split())
