"""The demo's own job through the release gate, and a gap planted in each part of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langgraph")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.bwrap,
    pytest.mark.xdist_group("demo-gate"),
    pytest.mark.unmeasured,  # the gate's guide goes the same way (tests/docs/)
]

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "agents_demo"


class Installation:
    """A copy of the demo's gate, register and policies, with the record of its job."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "wardline-demo/.wardline-demo"
        self.files = folder / "assurance"
        self.environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "WARDLINE_KNOWN_CHECKPOINTS": str(folder / "known"),
        }
        self.environment.pop("WARDLINE_CONFIG", None)

    def wardline(self, *words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "permissions", *map(str, words)]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )

    def gate(self, *only: str, code: int | None = None) -> dict[str, Any]:
        """The gate's verdict; `code` is the exit code it has to have."""
        done = self.wardline(
            *("assure", "gate", "--json", "--thresholds", self.files / "wardline-gate.toml"),
            *("--config", self.settings),
            *("--junit", "gate.xml", "--sarif", "gate.sarif", "--summary", "gate.md"),
            *(word for part in only for word in ("--only", part)),
        )
        assert done.returncode in (0, 1), done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        assert document["holds"] == (done.returncode == 0)
        assert code in (None, done.returncode), done.stdout
        return document

    @property
    def settings(self) -> Path:
        return self.state / "wardline.toml"

    def left(self, part: str, document: dict[str, Any]) -> list[str]:
        """What stands in the way of a part."""
        (found,) = [each for each in document["parts"] if each["part"] == part]
        return [each["text"] for each in found["left"]]

    def edit(self, file: Path, before: str, after: str) -> None:
        text = file.read_text()
        assert before in text, (file, before)
        file.write_text(text.replace(before, after))


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The demo has done its job, and its gate was measured once."""
    installation = Installation(tmp_path_factory.mktemp("demo"))
    done = installation.wardline("demo")
    assert done.returncode == 0, done.stdout
    shutil.copytree(DEMO / "assurance", installation.files)
    for name in ("overlay", "policies"):
        shutil.copytree(DEMO / "overlay", installation.folder / name)
    gate = installation.files / "wardline-gate.toml"
    installation.edit(gate, "../../docs", str(ROOT / "docs"))
    mine = json.dumps(str(installation.folder / "policies"))
    settings = installation.settings.read_text()
    installation.settings.write_text(re.sub(r"overlay = .*", f"overlay = {mine}", settings))
    installation.gate()
    return installation


@pytest.fixture
def demo(released: Installation, tmp_path: Path) -> Installation:
    """A copy of it, to plant a gap in; what was measured is kept."""
    shutil.copytree(released.folder, tmp_path / "copy", symlinks=True)
    installation = Installation(tmp_path / "copy")
    for file in (installation.settings, installation.files / "wardline-gate.toml"):
        text = file.read_text().replace(str(released.folder), str(installation.folder))
        file.write_text(text)
    return installation


def test_the_demo_is_released(released: Installation) -> None:
    document = released.gate("register", code=0)

    assert [part["part"] for part in document["parts"] if not part["holds"]] == []
    assert "<failure" not in (released.folder / "gate.xml").read_text()
    assert json.loads((released.folder / "gate.sarif").read_text())["runs"][0]["results"] == []
    assert "the release gate holds" in (released.folder / "gate.md").read_text()


def test_a_risk_without_owner_is_red(demo: Installation) -> None:
    demo.edit(demo.files / "wardline-risks.toml", 'owner = "olga"', 'owner = ""')

    said = demo.left("register", demo.gate("register", code=1))

    assert "risk invoice-redirects-payment has no owner; name who answers for it" in said


def test_a_policy_that_was_removed_is_red(demo: Installation) -> None:
    whole = demo.folder / "whole"
    shutil.copytree(ROOT / "policies", whole)
    shutil.rmtree(whole / "messaging")
    demo.edit(demo.settings, "[pdp]\n", f"[pdp]\npolicies = {json.dumps(str(whole))}\n")

    document = demo.gate("policy-diff", "register", code=1)

    said = demo.left("register", document)
    gone = "the policy messaging/messaging.unlisted_recipient is no package of the policies"
    assert [text for text in said if gone in text], said
    assert "of other policies" in " ".join(demo.left("evaluation", document))


def test_a_newly_allowed_call_is_red_until_a_person_signs_it_off(demo: Installation) -> None:
    limits = {"EUR": {"without_person": 400_000, "maximum": 500_000}}
    (demo.folder / "policies/data/budgets.json").write_text(json.dumps({"amounts": limits}))

    document = demo.gate("policy-diff", code=1)

    said = demo.left("policy-diff", document)
    now = "a call of draft_payment now runs unasked that the last release asked about (budgets."
    assert any(text.startswith(now) for text in said), said
    (part,) = [each for each in document["parts"] if each["part"] == "policy-diff"]
    for finding in part["left"]:
        done = demo.wardline(
            *("assure", "exempt", finding["id"], "--reason", "our own domain"),
            *("--until", in_a_month(), "--key", f"file:{demo.state / 'approver.pem'}"),
            *("--thresholds", demo.files / "wardline-gate.toml", "--config", demo.settings),
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
    after = demo.gate("policy-diff")
    assert demo.left("policy-diff", after) == []
    (part,) = [each for each in after["parts"] if each["part"] == "policy-diff"]
    assert part["exempted"][0]["exemption"]["by"] == "olga"
    assert "our own domain" in (demo.folder / "gate.md").read_text()


def in_a_month() -> str:
    """A day within the bounds of an exemption."""
    return (datetime.now(UTC) + timedelta(days=30)).date().isoformat()


def test_a_missed_threshold_is_red(demo: Installation) -> None:
    demo.edit(
        demo.files / "wardline-gate.toml",
        'figure = "attacks/share", at_least = 1.0',
        'figure = "attacks/share", at_most = 0.5',
    )

    said = demo.left("evaluation", demo.gate("evaluation", code=1))

    assert said == ["V0, plan none, attacks/share: 1; wanted at most 0.5"]


def test_a_probe_that_is_red_or_cannot_be_tried_is_red(demo: Installation) -> None:
    demo.edit(demo.files / "wardline-gate.toml", '["bubblewrap"]', '["oci"]')
    demo.environment["PATH"] = str(Path(sys.executable).parent)  # no runtime there

    said = demo.left("probe", demo.gate("probe", code=1))

    assert len(said) == 1
    assert said[0].startswith("not measured: no backend works on this machine (oci: ")


def test_an_altered_record_is_red(demo: Installation) -> None:
    (segment,) = sorted((demo.state / "trace").glob("*.jsonl"))[:1]
    data = segment.read_bytes()
    segment.write_bytes(data.replace(b'"type":"intent"', b'"type":"intend"', 1))

    said = demo.left("trace", demo.gate("trace", code=1))

    assert said[0].startswith("the record was altered or cut: ")


def test_a_recorded_call_that_would_be_let_by_now_is_red(demo: Installation) -> None:
    table = demo.folder / "policies/data/messaging.json"
    listed = json.loads(table.read_text())
    table.write_text(json.dumps({**listed, "domains": ["evil.example"]}))

    said = demo.left("what-if", demo.gate("what-if", code=1))

    assert len(said) == 1
    assert "(draft_mail, tools/call) that was denied (provenance.untrusted_control)" in said[0]


def test_a_policy_that_is_not_sound_is_red(demo: Installation) -> None:
    layer = demo.folder / "policies/layers/ours/ours.rego"
    layer.parent.mkdir(parents=True)
    layer.write_text("package wardline.layers.ours\n\ndeny contains x if {\n\ty\n}\n")

    document = demo.gate("policy-check", "policy-tests", code=1)

    assert any(
        "layers/ours/ours.rego:3" in text for text in demo.left("policy-check", document)
    )
    assert demo.left("policy-tests", document)
