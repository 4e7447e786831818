"""Calls as in-toto Statements (v1) in signed DSSE envelopes, one a line.

The subject of a statement is the last entry of its call in the log, by the hash of its leaf; so
whoever has the log can tie the two. Whoever signs it says "this is what the log says", no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from permissions.signing.dsse import sign

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.export.calls import Call
    from permissions.model import JsonObject
    from permissions.signing.dsse import Envelope
    from permissions.signing.keys import Signer

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://github.com/wardline/wardline/attestations/call/v1"
PAYLOAD: Final = "application/vnd.in-toto+json"


def statements(
    calls: Iterable[Call], *, origin: str, integrity: str, signer: Signer
) -> Iterator[Envelope]:
    """One envelope for each call."""
    for call in calls:
        payload = orjson.dumps(statement(call, origin=origin, integrity=integrity))
        yield sign(payload, payload_type=PAYLOAD, signers=[signer])


def statement(call: Call, *, origin: str, integrity: str) -> JsonObject:
    """What is said of one call."""
    subject = {"name": f"{origin}/{call.entries[-1]}", "digest": {"sha256": call.leaf.hex()}}
    return {
        "_type": STATEMENT,
        "subject": [subject],
        "predicateType": PREDICATE,
        "predicate": {
            "log": {"origin": origin, "integrity": integrity, "entries": call.entries},
            "run": call.run,
            "call": call.id,
            "tool": call.tool,
            "subject": call.subject,
            "decision": {
                "permitted": call.permitted,
                "rules": call.rules,
                "reasons": call.reasons,
                "revision": call.revision,
            },
            "approvers": call.approvers,
            "isolation": call.isolation,
            "end": call.end,
            "status": call.status,
            "began": call.began,
            "ended": call.ended,
        },
    }
