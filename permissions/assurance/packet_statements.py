"""What the packet's signer says: in-toto Statements (v1) in DSSE envelopes. Pure.

One is a test result (`https://in-toto.io/attestation/test-result/v0.1`) that release tools read;
one is ours, and names each part with the digest of what was measured, each exemption, and how far
the record goes. Both are about files of the packet, by their SHA-256.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Literal

import orjson

from permissions.export.statements import PAYLOAD, STATEMENT
from permissions.signing.dsse import sign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.gathered import PartResult
    from permissions.signing.keys import Signer
    from permissions.vocabulary import JsonObject

TEST_RESULT: Final = "https://in-toto.io/attestation/test-result/v0.1"
ASSURANCE: Final = "https://github.com/wardline/wardline/attestations/assurance/v1"


def packet_statements(
    attached: Mapping[str, bytes],
    results: Mapping[str, PartResult],
    *,
    card: JsonObject,
    record: JsonObject,
    signer: Signer,
) -> bytes:
    """The lines of `statements.jsonl`.

    Args:
        attached: files of the packet, by name.
        results: the newest of each part.
        card: the system card.
        record: origin, size, root and verdict of the log.
        signer: signs both.
    """
    subject = [
        {"name": name, "digest": {"sha256": hashlib.sha256(data).hexdigest()}}
        for name, data in sorted(attached.items())
    ]
    predicates = (
        (TEST_RESULT, _test_result(results)),
        (ASSURANCE, _assurance(results, card, record)),
    )
    lines = []
    for kind, predicate in predicates:
        statement = {
            "_type": STATEMENT,
            "subject": subject,
            "predicateType": kind,
            "predicate": predicate,
        }
        envelope = sign(orjson.dumps(statement), payload_type=PAYLOAD, signers=[signer])
        lines.append(envelope.dumps() + b"\n")
    return b"".join(lines)


def _test_result(results: Mapping[str, PartResult]) -> JsonObject:
    """What release tools ask: did it pass?

    What the gate let by with a signed exemption is a warning, and so is what was not measured.
    """
    gate = results.get("gate")
    parts = () if gate is None else gate.evidence.get("parts", ())
    let_by = {each["part"] for each in parts if each["holds"]}
    warned = {
        name
        for name, result in results.items()
        if result.outcome == "not_measured" or (result.outcome == "failed" and name in let_by)
    }
    failed = {name for name, each in results.items() if each.outcome == "failed"} - warned
    return {
        "result": _verdict(gate, is_clean=not warned | failed),
        "configuration": [
            {"name": f"gathered/{name}.json", "digest": {"sha256": _digits(result)}}
            for name, result in sorted(results.items())
        ],
        "passedTests": sorted(results.keys() - warned - failed),
        "warnedTests": sorted(warned),
        "failedTests": sorted(failed),
    }


def _verdict(
    gate: PartResult | None, *, is_clean: bool
) -> Literal["PASSED", "WARNED", "FAILED"]:
    """The gate's, which alone counts exemptions; without it nothing passed."""
    if gate is None or gate.outcome != "passed":
        return "FAILED"
    return "PASSED" if is_clean else "WARNED"


def _digits(result: PartResult) -> str:
    return str(result.evidence_digest).removeprefix("sha256:")


def _assurance(
    results: Mapping[str, PartResult], card: JsonObject, record: JsonObject
) -> JsonObject:
    gate = results.get("gate")
    return {
        "made": card["made"],
        "policies": card["policies"]["revision"],
        "gate": "not measured" if gate is None else gate.sentence,
        "parts": {
            name: {
                "outcome": result.outcome,
                "evidence_digest": result.evidence_digest,
                "measured_at": result.measured_at,
                "policies": result.policies,
            }
            for name, result in sorted(results.items())
        },
        "exemptions": card["exemptions"],
        "record": record,
    }
