"""A small policy whose answer the request's tool names, and requests to put to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from permissions.errors import PdpAnswerError, PdpUndefinedError
from permissions.pdp.bundle import PolicyBundle

if TYPE_CHECKING:
    from permissions.model import JsonObject, JsonValue

SAMPLE = """package wardline.main

_empty := {"reasons": [], "obligations": [], "access_request": null, "rules": []}

_reason := {"code": "sample.no", "agent": "No.", "operator": "", "nearest": null}

_numbers := numbers.range(1, 10000)

response := {"decision": true, "context": _empty} if input.resource.id == "permit"

response := {
	"decision": false,
	"context": object.union(_empty, {"reasons": [_reason]}),
} if input.resource.id == "deny"

response := {
	"decision": false,
	"context": object.union(_empty, {"reasons": [_reason]}),
} if not input.resource

response := {
	"decision": true,
	"context": object.union(_empty, {"rules": [input.context.call]}),
} if input.resource.id == "echo"

response := {"decision": "yes"} if input.resource.id == "malformed"

response := {"decision": true} if input.resource.id == "conflict"

response := {"decision": false} if input.resource.id == "conflict"

response := lower(input.resource.properties.args.number) if input.resource.id == "mistyped"

response := {"decision": true, "context": _empty} if {
	input.resource.id == "loop"
	some a in _numbers
	some b in _numbers
	some c in _numbers
	a + b + c == 0
}

response := [[a, b] |
	some a in _numbers
	some b in _numbers
] if input.resource.id == "bomb"
"""


def sample_bundle() -> PolicyBundle:
    """The sample as a bundle."""
    return PolicyBundle.of({"main/main.rego": SAMPLE})


def sample_request(tool: str, call: str = "call-1", **args: JsonValue) -> JsonObject:
    """A request in the contract's form."""
    return {
        "subject": {
            "type": "agent",
            "id": "clerk",
            "properties": {"roles": [], "on_behalf_of": None, "act": []},
        },
        "action": {"name": "tools/call", "properties": {"effect": "read", "impact": "low"}},
        "resource": {
            "type": "tool",
            "id": tool,
            "properties": {
                "args": args,
                "args_digest": "sha256:a",
                "tool_digest": "sha256:b",
                "isolation": "none",
                "stateful": False,
                "confirms": None,
                "workspace": "copy",
                "control": [],
                "marks": {},
                "targets": [],
            },
        },
        "context": {
            "run": "run-1",
            "call": call,
            "time": 1000,
            "plan": None,
            "provenance": {},
            "labels": [],
            "usage": {"calls": {"used": 1, "limit": 50}},
            "approval": None,
            "environment": {"name": "test", "workspace": "/srv/desk", "isolation": []},
            "facts": {},
            "detected": {"secrets": []},
            "history": [],
        },
    }


def sample_answer(document: JsonObject) -> JsonValue:
    """What the sample policy answers, in Python."""
    empty: dict[str, Any] = {
        "reasons": [],
        "obligations": [],
        "access_request": None,
        "rules": [],
    }
    reason = {"code": "sample.no", "agent": "No.", "operator": "", "nearest": None}
    match document["resource"]["id"]:
        case "permit":
            return {"decision": True, "context": empty}
        case "deny":
            return {"decision": False, "context": {**empty, "reasons": [reason]}}
        case "echo":
            return {
                "decision": True,
                "context": {**empty, "rules": [document["context"]["call"]]},
            }
        case "malformed":
            return {"decision": "yes"}
        case "conflict" | "mistyped":
            raise PdpAnswerError("the policy failed")
        case _:
            raise PdpUndefinedError("no value")
