"""Calls as OCSF events of the class API Activity (6003), for a SIEM; one JSON object a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.export.calls import Call
    from permissions.model import JsonObject

VERSION: Final = "1.6.0"
_CATEGORY, _CLASS = 6, 6003
_ACTIVITIES = {"read": 2, "write": 3}
"""What the schema has a number for; a send, an execution and the irreversible are `Other`."""
_OTHER = 99
_INFORMATIONAL, _LOW, _MEDIUM = 1, 2, 3
_SUCCESS, _FAILURE, _UNKNOWN = 1, 2, 0
_ALLOWED, _DENIED = 1, 2


def events(
    calls: Iterable[Call], *, origin: str, integrity: str, build: str
) -> Iterator[JsonObject]:
    """One event for each call; times are milliseconds, as the schema has them."""
    product = {"name": "Wardline", "vendor_name": "Wardline", "version": build}
    for call in calls:
        activity = _ACTIVITIES.get(call.effect or "", _OTHER)
        event: JsonObject = {
            "activity_id": activity,
            "category_uid": _CATEGORY,
            "class_uid": _CLASS,
            "type_uid": _CLASS * 100 + activity,
            "time": call.began // 1000,
            "severity_id": _severity(call),
            "status_id": _status(call),
            "status_code": call.status or call.end,
            "action_id": _DENIED if call.end == "denied" else _ALLOWED,
            "metadata": {
                "version": VERSION,
                "product": product,
                "profiles": ["security_control"],
                "uid": f"{origin}/{call.entries[-1]}",
                "correlation_uid": call.run,
                "log_name": origin,
            },
            "actor": _actor(call),
            "api": {
                "operation": call.tool or "(not registered)",
                "request": {"uid": call.id},
                "service": {"name": "wardline"},
            },
            "src_endpoint": {"name": "agent"},
            "unmapped": _unmapped(call, integrity),
        }
        if activity == _OTHER:
            event["activity_name"] = call.effect or "unknown"
        if call.ended is not None:
            event["end_time"] = call.ended // 1000
            event["duration"] = (call.ended - call.began) // 1000
        if call.reasons:
            event["status_detail"] = ", ".join(call.reasons)
        yield event


def _actor(call: Call) -> JsonObject:
    """The subject is an agent or a service unless it says that it is a person."""
    subject = call.subject or {}
    name = str(subject.get("id") or "unknown")
    user = {"name": name, "type_id": 1 if subject.get("type") == "user" else 3}
    return {"user": user, "app_name": str(subject.get("type") or "agent")}


def _severity(call: Call) -> int:
    if call.end == "gap":
        return _MEDIUM
    return _INFORMATIONAL if call.end == "ran" and call.status == "ok" else _LOW


def _status(call: Call) -> int:
    if call.end in ("gap", "open"):
        return _UNKNOWN
    return _SUCCESS if call.end == "ran" and call.status == "ok" else _FAILURE


def _unmapped(call: Call, integrity: str) -> JsonObject:
    return {
        "rules": call.rules,
        "reasons": call.reasons,
        "approvers": call.approvers,
        "isolation": call.isolation,
        "policy_revision": call.revision,
        "arguments": None
        if call.arguments is None
        else call.arguments.decode(errors="replace"),
        "leaf_index": call.entries[-1],
        "leaf_hash": call.leaf.hex(),
        "integrity": integrity,
    }
