"""Policies that let every call through, for what is not about policies."""

from __future__ import annotations

LOOSE = """package wardline.main

default response := {
    "decision": false,
    "context": {
        "reasons": [{"code": "main.no", "agent": "No.", "operator": "", "nearest": null}],
        "obligations": [],
        "access_request": null,
        "rules": [],
    },
}

response := {
    "decision": true,
    "context": {"reasons": [], "obligations": [], "access_request": null, "rules": ["all"]},
} if {
    input.action.name == "tools/call"
}
"""
