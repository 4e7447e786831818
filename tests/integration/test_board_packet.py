"""What a review board gets: it verifies without this project, and answers the board's questions.

The questions are asked of the folder alone, with nothing but JSON and the steps it prints.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1.statement_pb2 import Statement
from logs import write_state
from typer.testing import CliRunner

from permissions.assurance.packet_readme import QUESTIONS
from permissions.assurance.packet_statements import packet_statements
from permissions.cli.root import app
from permissions.drills.injected_mail import DRILL
from permissions.drills.result import Result
from permissions.gathered import Finding, Gathered, measured
from permissions.pdp.bundle import load_bundle
from permissions.signing.dsse import Envelope
from permissions.signing.keys import generate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ALONE = {"PATH": "/usr/bin:/bin"}
TOOLS = """
from typing import Annotated
from wardline import AmountArg, RecipientArg, tool

@tool(effect="send", impact="high", sandbox="process")
def pay(to: Annotated[str, RecipientArg("account")], amount: Annotated[str, AmountArg("EUR")]) -> str:
    "Pays."
    return "paid"
"""
EXEMPTION = {"finding": "0" * 12, "code": "probe.open", "text": "case 7 on docker is open",
             "reason": "the kernel is replaced in December", "by": "olga", "until": "2026-12-31"}  # fmt: skip
RISK = {"id": "payment-redirected", "title": "A mail has the agent pay somebody else",
        "severity": "critical", "likelihood": "likely", "owner": "olga", "due": "2027-03-31",
        "status": "mitigated", "residual": "a person who says yes to it"}  # fmt: skip


def gather(folder: Path) -> None:
    """What the gate and a drill left there."""
    kept, policies = Gathered(folder), str(load_bundle().revision)
    figures = {"variant": "V5", "plan": "none", "suite": "all",
               "attacks": {"share": 0.003, "wilson": [0.001, 0.011]}}  # fmt: skip
    rows = {"7": {"docker": {"status": "open", "promised": True}}}
    part = {"part": "probe", "holds": True, "sentence": "let by", "exempted": [EXEMPTION]}
    for name, said, evidence, findings in (
        ("evaluation", "1 of 1 thresholds hold", {"figures": [figures], "gates": []}, ()),
        ("policy-tests", "all pass", {"tests": 9, "covered_share": 0.97, "rules": {}}, ()),
        ("probe", "1 open", {"columns": ["docker"], "rows": rows, "missing": {}},
         (Finding(code="probe.open", text="case 7 on docker is open"),)),
        ("register", "1 risks", {"risks": [RISK]}, ()),
        ("gate", "the release gate holds: 8 parts", {"parts": [part], "refused": []}, ()),
    ):  # fmt: skip
        kept.keep(measured(name, said, evidence, at=1, findings=findings, policies=policies))
    played = Result(DRILL, "2026-11-30T12:00:00+00:00", policies)
    played.seconds = {"detect": 2.0, "stop": 1.0, "prove": 3.0}
    kept.keep(played.measured(at=1))


@pytest.fixture(scope="module")
def packet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("board")
    write_state(root / "state", runs=["run-a"], calls=2)
    (root / "board_tools.py").write_text(TOOLS)
    (root / "wardline.toml").write_text(
        'state = "state"\n[approvers.olga]\ngroups = ["security"]\n'
    )
    (root / "wardline-risks.toml").write_text("form = 1\n")
    generate(root / "release.pem")
    gather(root / "evidence")
    (root / "gate.toml").write_text('form = 1\ntools = "board_tools"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("WARDLINE_CONFIG", str(root / "wardline.toml"))
        patch.setenv("XDG_STATE_HOME", str(root / "xdg"))
        first = CliRunner().invoke(app, ["assure", "card", "--format", "json", "--out",
                                         "last.json", "--evidence", "evidence"])  # fmt: skip
        assert first.exit_code == 0, first.output
        (root / "gate.toml").rename(root / "wardline-gate.toml")
        done = CliRunner().invoke(
            app,
            ["assure", "packet", "case", "--sign", "file:release.pem", "--evidence", "evidence",
             "--since", "last.json"],
            catch_exceptions=False,
        )  # fmt: skip
    assert done.exit_code == 0, done.output
    return root / "case"


def followed(packet: Path) -> list[int]:
    """How each step of the packet's README ends, in an environment without this project."""
    steps = re.findall(r"^\$ (.+)$", (packet / "README.md").read_text(), re.MULTILINE)
    return [
        subprocess.run(
            ["bash", "-o", "pipefail", "-c", step], cwd=packet, env=ALONE, capture_output=True,
            check=False,
        ).returncode
        for step in steps
    ]  # fmt: skip


def test_the_printed_steps_verify_it(packet: Path) -> None:
    assert followed(packet) == [0] * 6


def test_it_has_what_the_gate_read(packet: Path) -> None:
    assert {path.name for path in (packet / "inputs").iterdir()} == {
        "policies-in-force.json", "wardline-gate.toml", "wardline-risks.toml",
    }  # fmt: skip


def answers(packet: Path) -> dict[str, Any]:
    """What somebody finds who reads the README's table, and the file each row names."""

    def at(file: str) -> Any:
        return json.loads((packet / file).read_text())

    card = at("system-card.json")
    return {
        "May this release go out, and what decides that?": at("gathered/gate.json")["outcome"],
        "Which tools may the agent use, and what can each do?": [
            (each["name"], each["effect"], each["isolation"]) for each in card["tools"]["list"]
        ],
        "Which policies decide, and how much of them is tested?": (
            card["policies"]["revision"], card["policies"]["tests"]["covered_share"],
        ),
        "Who is asked, and for what?": (
            card["approvals"]["approvers"][0]["name"],
            card["approvals"]["terms"]["critical"]["quorum"],
        ),
        "What isolates the tools, and was it measured?": card["isolation"]["open"],
        "How many attacks got through, and how sure is that?": [
            (each["share"], each["wilson"]) for each in card["evaluation"]["figures"]
        ],
        "What was let by, by whom, and until when?": [
            (each["code"], each["by"], each["until"])
            for each in card["exemptions"]["in_force"]
        ],
        "Which risks are left, and who answers for each?": [
            (each["id"], each["owner"], each["due"]) for each in card["risks"]["list"]
        ],
        "Is the record unaltered, and is anything missing from it?": (
            at("verdict.json")["integrity"]["verdict"], at("verdict.json")["completeness"]["gaps"],
        ),
        "Was an incident practised, and how fast was it found and stopped?": card["drills"][
            "injected-mail"
        ]["seconds"],
        "What does all this not protect from?": any(
            "Root on the host" in each for each in card["limits"]["outside"]
        ),
        "What changed since the last release?": card["changes"]["what"],
    }  # fmt: skip


def test_a_board_s_questions_are_answered_by_the_packet_alone(packet: Path) -> None:
    """Each question stands in the README with its file, and the file has the answer."""
    readme = (packet / "README.md").read_text()

    found = answers(packet)

    assert [*found] == [asked for asked, _, _ in QUESTIONS]
    assert len(found) >= 10
    for asked, file, where in QUESTIONS:
        assert f"| {asked} | `{file}` | {where} |" in readme
        assert (packet / file).is_file()
    assert [*found.values()] == [
        "passed",
        [("pay", "send", "process")],
        (str(load_bundle().revision), 0.97),
        ("olga", 2),
        ["case 7 on docker"],
        [(0.003, [0.001, 0.011])],
        [("probe.open", "olga", "2026-12-31")],
        [("payment-redirected", "olga", "2027-03-31")],
        ("consistent", 0),
        {"detect": 2.0, "stop": 1.0, "prove": 3.0},
        True,
        ["tool pay: new"],
    ]


def test_the_statements_are_in_toto_s(packet: Path) -> None:
    lines = (packet / "statements.jsonl").read_bytes().splitlines()
    test, ours = (json.loads(Envelope.parse(line).payload) for line in lines)

    for each in (test, ours):
        assert ParseDict(each, Statement()).type == "https://in-toto.io/Statement/v1"
    result = ParseDict(
        test["predicate"], test_result_pb2.TestResult(), ignore_unknown_fields=False
    )
    assert result.result == "WARNED"
    assert [*result.warned_tests] == ["probe"]
    assert [*result.failed_tests] == []
    assert ours["predicate"]["exemptions"]["in_force"] == [EXEMPTION]
    assert ours["predicate"]["parts"].keys() == {
        path.stem for path in (packet / "gathered").iterdir()
    }


def other_verdict(packet: Path) -> None:
    path = packet / "gathered" / "probe.json"
    path.write_text(path.read_text().replace('"failed"', '"passed"'))


def other_payload(packet: Path) -> None:
    path = packet / "statements.jsonl"
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([rest[0].replace(b'"sig":"', b'"sig":"AAAA'), first]))


def other_key(packet: Path) -> None:
    generate(packet.parent / "other.pem")
    subprocess.run(
        ["openssl", "pkey", "-in", packet.parent / "other.pem", "-pubout", "-out",
         packet / "packet-key.pem"], check=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_verdict, b"is about another gathered/probe.json"),
        (other_payload, b"is not signed by packet-key.pem"),
        (other_key, b"is not signed by packet-key.pem"),
    ],
)
def test_a_changed_statement_or_file_is_found(
    change: Callable[[Path], None], said: bytes, packet: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "case"
    shutil.copytree(packet, copy)
    change(copy)

    done = subprocess.run(
        ["python3", "-I", "verify_statements.py"],
        cwd=copy,
        env=ALONE,
        capture_output=True,
        check=False,
    )

    assert done.returncode == 1
    assert said in done.stderr


def test_without_anything_gathered_there_is_no_packet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wardline.toml").write_text("")
    generate(tmp_path / "release.pem")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WARDLINE_CONFIG", str(tmp_path / "wardline.toml"))

    done = CliRunner().invoke(
        app, ["assure", "packet", "case", "--sign", "file:release.pem", "--json"]
    )

    assert done.exit_code == 2
    assert "nothing was gathered in .wardline-evidence" in done.stdout
    assert not (tmp_path / "case").exists()


def test_without_the_gate_s_yes_a_packet_says_failed(tmp_path: Path) -> None:
    """No gate, a gate that does not hold, and one that does: what release tools are told."""
    passed = measured("trace", "whole", {}, at=1)
    red = Finding(code="trace.lacks", text="not anchored")
    gates = {
        "FAILED": measured("gate", "no", {"parts": []}, at=1, findings=(red,)),
        "PASSED": measured("gate", "yes", {"parts": []}, at=1),
    }
    card: Any = {"made": "", "policies": {"revision": ""}, "exemptions": {}}
    key = generate(tmp_path / "key.pem")

    def told(**results: Any) -> Any:
        said = packet_statements({}, results, card=card, record={}, signer=key)
        return json.loads(Envelope.parse(said.splitlines()[0]).payload)["predicate"]["result"]

    assert told(trace=passed) == "FAILED"
    assert {word: told(trace=passed, gate=gate) for word, gate in gates.items()} == {
        word: word for word in gates
    }
