"""The table "Said twice" of docs/reference/trace-format.md, written from that page alone.

It belongs to `second_verifier`, and like that shares no code with the broker.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import rfc8785
from second_votes import b64, out_of_order, sha256, signed_by, unproven

Tags = Callable[[str, bytes], list[str]]
"""The tags some bytes may have in the run at hand, under a name."""


def said_twice(
    entry: dict[str, Any], opened: dict[str, bytes], call: dict[str, Any], tags: Tags | None
) -> list[str]:
    """What the table "Said twice" of the page finds."""
    kind, body, named = entry["type"], entry["body"], entry["contents"]
    found: list[str] = []

    def same(member: str, value: object) -> None:
        empty: tuple[object, ...] = (None, [], "")
        if body.get(member) != value and (body.get(member), value in empty) != (None, True):
            found.append(f"{kind} says another {member} than its contents")

    def same_number(member: str, value: list[Any]) -> None:
        same(member, len(value))

    def tagged(member: str, data: bytes) -> None:
        if tags is not None and body.get(member) not in tags(member, data):
            found.append(f"{kind} says another {member} than its contents")

    def has(*names: str) -> None:
        if not set(names) & set(named):
            found.append(f"{kind} has no {names[0]}")

    def payloads() -> list[dict[str, Any]]:
        envelopes = sorted(
            (name for name in opened if name.startswith("envelope_")),
            key=lambda name: int(name.rpartition("_")[2]),
        )
        return [json.loads(b64(json.loads(opened[each])["payload"])) for each in envelopes]

    if kind == "intent":
        has("arguments")
        call["args"], call["arguments"] = body.get("args"), opened.get("arguments")
        if call["arguments"] == b'"[redacted:not inspected]"':
            call["unread"], call["arguments"] = True, None
        if "args" in body and "arguments" in opened:
            tagged("args", opened["arguments"])
        if "key" in opened:
            tagged("key", opened["key"])
    elif kind == "start" and call.get("unread"):
        found.append("start of a call whose arguments were not looked through")
    elif kind == "start" and body.get("args") != call.get("args"):
        found.append("start is with other arguments")
    elif kind == "decision":
        has("response")
        has("input", "input_patch")
        if "input" in opened:
            call["input"] = json.loads(opened["input"])
        asked = call.get("input")
        if "input_patch" in opened and asked is not None:
            asked = applied(json.loads(json.dumps(asked)), json.loads(opened["input_patch"]))
        if asked is not None and set(opened) & {"input", "input_patch"}:
            same("action", asked["action"]["name"])
            if asked["action"]["name"] == "tools/call" and call.get("arguments"):
                about = asked["resource"]["properties"]["args"]
                if about != json.loads(call["arguments"]):
                    found.append("decision is about other arguments")
        if "response" in opened:
            answer = json.loads(opened["response"])
            context = answer["context"]
            same("permitted", answer["decision"])
            same("requestable", context["access_request"] is not None)
            same("rules", context["rules"])
            same("reasons", [each["code"] for each in context["reasons"]])
            same("obligations", [each["type"] for each in context["obligations"]])
    elif kind == "request" and "shown" in opened:
        shown = json.loads(opened["shown"])
        asked = shown["call"]
        same("request", shown["id"])
        same("expires_at", shown["expires_at"])
        same("approvers", asked["terms"]["approvers"])
        same("quorum", asked["terms"]["quorum"])
        if call.get("arguments") not in (None, asked["arguments"].encode()):
            found.append("request shows other arguments")
        bound = {**asked, "arguments": "sha256:" + sha256(asked["arguments"].encode()).hex()}
        binding = rfc8785.dumps({"call": bound, "type": "wardline.approval.binding/v1"})
        call.setdefault("terms", {})[shown["id"]] = asked
        if "shown" not in body.get("redacted", []):
            call.setdefault("shown", {})[shown["id"]] = (
                "sha256:" + sha256(opened["shown"]).hex(),
                "sha256:" + sha256(binding).hex(),
            )
        elif b"[redacted:" not in opened["shown"]:
            found.append("request says that what was shown is redacted, and it is not")
    elif kind == "approval":
        has("envelope_0")
        has("voters")
        said = payloads()
        if tags is not None and said:
            same("approvers", sorted({each["approver"] for each in said}))
        for each in said:
            shown_to = each["shown_digest"], each["binding"]
            known = call.get("shown", {}).get(body["request"], shown_to)
            if (each["request"], each["verdict"], shown_to) != (
                body["request"],
                "approve",
                known,
            ):
                found.append("approval rests on an answer to something else")
        raws = [opened[f"envelope_{n}"] for n in range(len(said)) if f"envelope_{n}" in opened]
        if body["request"] in call.get("shown", {}) and len(raws) == len(said):
            found.extend(out_of_order(raws, said, call["terms"][body["request"]]["terms"]))
        if "voters" in opened and len(said) == len(
            [name for name in named if name.startswith("envelope_")]
        ):
            voters = json.loads(opened["voters"])
            raw = [json.loads(opened[f"envelope_{n}"]) for n in range(len(said))]
            asked = call.get("terms", {}).get(body["request"])
            found.extend(unproven(voters, raw, said, asked))
    elif kind in ("resolution", "grant"):
        has("envelope_0")
        has("voters")
        if "envelope_0" not in opened:
            return found
        envelope = json.loads(opened["envelope_0"])
        answer = json.loads(b64(envelope["payload"]))
        if kind == "grant":
            same("grant", answer["id"])
            if not 0 < body["use"] <= answer["uses"]:
                found.append("grant was used too often")
        else:
            same("of", answer["call"])
            same("found", answer["found"])
        same("approver", answer["approver"])
        voters = json.loads(opened.get("voters", b"[]"))
        if voters and not signed_by(voters[0]["key"], envelope):
            found.append(f"{kind} rests on an answer its voter did not sign")
    elif kind == "plan":
        has("plan")
        if "plan" in opened:
            tagged("plan", opened["plan"])
            same("steps", len(json.loads(opened["plan"])["steps"]))
    elif (
        kind == "effect"
        and body["kind"] == "changes"
        and opened.get("changes", b'"[redacted:not inspected]"')
        != b'"[redacted:not inspected]"'
    ):
        changes = json.loads(opened["changes"])
        tagged("change_set", changes["digest"].encode())
        for member in ("created", "changed", "deleted", "bytes"):
            same(member, changes[member])
        for member in ("protected", "refused", "conflicts"):
            same(member, len(changes[member]))
    elif kind == "denied" or (kind == "effect" and body["kind"] == "fate"):
        members = ("request", "approver", "verdict")
        envelopes = [name for name in named if name.startswith("envelope_")]
        if len(payloads()) == len(envelopes):
            same("answers", [{name: each[name] for name in members} for each in payloads()])
    elif kind == "stop" and body["phase"] == "begun" and "statement" in opened:
        statement = json.loads(b64(json.loads(opened["statement"])["payload"]))
        for member in ("stop", "scope", "name", "by"):
            same(member, statement[member])
        if "running" in opened:
            same_number("running", json.loads(opened["running"]))
    elif kind == "stop" and body["phase"] == "ended" and "proof" in opened:
        proof = json.loads(opened["proof"])
        for member in ("running", "ended", "not_stopped", "requests", "approvals", "grants"):
            same_number(member, proof[member])
        same("running_on", [each["call"] for each in proof["not_stopped"]][:100])
    elif kind == "resume":
        has("statement")
        if "statement" in opened:
            statement = json.loads(b64(json.loads(opened["statement"])["payload"]))
            same("stop", statement["lifts"])
            same("by", statement["by"])
            same("request", statement["request"])
            if statement["request"] is not None and "shown" in opened:
                shown = "sha256:" + sha256(opened["shown"]).hex()
                answers = payloads()
                if (statement["shown"].encode(), len(statement["votes"])) != (
                    opened["shown"],
                    len(answers),
                ):
                    found.append("resume says another agreement")
                for each in answers:
                    asked = (each["verdict"], each["request"], each["shown_digest"])
                    if asked != ("approve", statement["request"], shown):
                        found.append("resume rests on an answer to something else")
    return found


def applied(document: Any, patch: list[dict[str, Any]]) -> Any:
    for operation in patch:
        *above, last = [
            token.replace("~1", "/").replace("~0", "~")
            for token in operation["path"].split("/")[1:]
        ]
        target = document
        for token in above:
            target = target[token]
        if operation["op"] == "remove":
            del target[last]
        else:
            target[last] = operation["value"]
    return document
