"""Calls as OpenTelemetry spans, one OTLP/JSON object a line (what an OTLP file receiver reads).

A run is a trace, each call a span below its run's; a value that came from an earlier call is a
link to it. The GenAI names are of a convention in development, so they are pinned here.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.export.calls import Call, Origin
    from permissions.model import JsonObject

SCHEMA: Final = "https://opentelemetry.io/schemas/1.37.0"
OPERATION: Final = "gen_ai.operation.name"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_CALL_RESULT: Final = "gen_ai.tool.call.result"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
AGENT_ID: Final = "gen_ai.agent.id"
EXECUTE_TOOL: Final = "execute_tool"
ERROR_TYPE: Final = "error.type"
_INTERNAL, _OK, _ERROR = 1, 1, 2


def spans(
    calls: Iterable[Call], *, origin: str, integrity: str, build: str
) -> Iterator[JsonObject]:
    """One `TracesData` for each call; times are nanoseconds, as the protocol has them."""
    resource = _attributes(
        {
            "service.name": "wardline",
            "service.version": build,
            "wardline.log.origin": origin,
            "wardline.log.integrity": integrity,
        }
    )
    scope = {"name": "wardline.trace", "version": build}
    for call in calls:
        scoped = {"scope": scope, "schemaUrl": SCHEMA, "spans": [_span(call, origin)]}
        yield {
            "resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [scoped]}]
        }


def _span(call: Call, origin: str) -> JsonObject:
    failed = has_failed(call)
    links = [
        {
            "traceId": span_id(16, origin, call.run),
            "spanId": span_id(8, origin, call.run, each.call),
            "attributes": _attributes(link_facts(each)),
        }
        for each in call.origins
        if each.call is not None
    ]
    return {
        "traceId": span_id(16, origin, call.run),
        "spanId": span_id(8, origin, call.run, call.id),
        "name": span_name(call),
        "kind": _INTERNAL,
        "startTimeUnixNano": str(call.began * 1000),
        "endTimeUnixNano": str((call.ended or call.began) * 1000),
        "attributes": _attributes(facts(call, failed=failed)),
        "links": links,
        "status": {"code": _ERROR, "message": call.status or call.end}
        if failed
        else {"code": _OK},
    }


def has_failed(call: Call) -> bool:
    """Whether a call did not run, or not to a good end."""
    return call.end != "ran" or call.status != "ok"


def span_name(call: Call) -> str:
    """What a call's span is called."""
    return f"{EXECUTE_TOOL} {call.tool}" if call.tool else EXECUTE_TOOL


def link_facts(origin: Origin) -> JsonObject:
    """Attributes of a link to the call that a value came from."""
    return {
        "wardline.argument": origin.argument,
        "wardline.trusted": origin.trusted,
        "wardline.pointer": origin.pointer,
    }


def facts(call: Call, *, failed: bool) -> JsonObject:
    """Attributes of a call's span; None where the call has no such thing."""
    return {
        OPERATION: EXECUTE_TOOL,
        TOOL_NAME: call.tool,
        TOOL_TYPE: "function",
        TOOL_CALL_ID: call.id,
        TOOL_CALL_ARGUMENTS: _text(call.arguments),
        TOOL_CALL_RESULT: _text(call.result),
        CONVERSATION_ID: call.run,
        AGENT_ID: (call.subject or {}).get("id"),
        ERROR_TYPE: (call.reasons[0] if call.reasons else call.status or call.end)
        if failed
        else None,
        "wardline.decision": call.permitted,
        "wardline.rules": call.rules,
        "wardline.reasons": call.reasons,
        "wardline.approvers": call.approvers,
        "wardline.isolation": call.isolation,
        "wardline.policy.revision": call.revision,
        "wardline.end": call.end,
        "wardline.leaf.index": call.entries[-1],
        "wardline.leaf.hash": call.leaf.hex() or None,
    }


def span_id(size: int, *parts: str | None) -> str:
    """Hex digits that are the same for the same call each time it is exported."""
    said = "\x00".join(part or "" for part in parts).encode(errors="surrogatepass")
    return hashlib.sha256(said).hexdigest()[: 2 * size]


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode(errors="replace")


def _attributes(facts: JsonObject) -> list[JsonObject]:
    return [
        {"key": name, "value": _value(value)}
        for name, value in facts.items()
        if value is not None and value != []
    ]


def _value(value: Any) -> JsonObject:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case list():
            return {"arrayValue": {"values": [_value(each) for each in value]}}
        case _:
            return {"stringValue": str(value)}
