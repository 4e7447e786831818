"""Random questions in the contract's form, and spoilt ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from policy_cases import base_document
from rego_samples import sample_request

if TYPE_CHECKING:
    import random

    from permissions.model import JsonObject


def random_request(rng: random.Random) -> JsonObject:
    """A question in the contract's form, with a fault in one of ten."""
    request = sample_request(rng.choice(["pay", "read_file", "fetch", "run"]))
    request["action"]["properties"] = {
        "effect": rng.choice(["read", "write", "send", "execute", "irreversible"]),
        "impact": rng.choice(["low", "medium", "high", "critical"]),
    }
    properties = request["resource"]["properties"]
    properties["isolation"] = rng.choice(["none", "process", "container", "kernel"])
    targets = [random_target(rng, f"a{n}") for n in range(rng.randrange(4))]
    properties["targets"] = targets
    properties["args"] = {target["argument"]: "x" for target in targets}
    properties["control"] = sorted({t["argument"] for t in targets if rng.random() < 0.7})
    context = request["context"]
    context["plan"] = random_plan(rng)
    context["provenance"] = {f"/{t['argument']}": random_origin(rng) for t in targets}
    context["labels"] = rng.choice([[], ["untrusted"], ["untrusted", "secret"]])
    context["usage"] = {
        "calls": {"used": rng.randrange(60), "limit": rng.choice([50, None])},
        "cost": {"used": 0, "limit": None},
        "unseen_files": {"used": rng.choice([0, 99, 200]), "limit": None},
        "unseen_bytes": {"used": rng.choice([0, 5242880]), "limit": None},
    }
    context["approval"] = random_approval(rng)
    boundaries = ["process", "container", "kernel"]
    context["environment"]["isolation"] = rng.sample(boundaries, rng.randrange(4))
    kind = rng.choice(["tool", "connection", "change_set"])
    if kind != "tool":
        request = further_question(rng, request, kind)
    if rng.random() < 0.1:
        spoil(rng, request)
    return request


def further_question(rng: random.Random, call: JsonObject, kind: str) -> JsonObject:
    """What a call may lead to, with the subject and the context of the call."""
    asked = base_document(kind)
    properties: JsonObject = asked["resource"]["properties"]
    if kind == "connection":
        properties["host"] = rng.choice(["api.example.com", "pypi.org", "localhost", "a.lan"])
        properties["method"] = rng.choice([None, "GET", "POST"])
        properties["profile"] = rng.choice([None, "web"])
    else:
        properties["changes"] = [random_change(rng) for _ in range(rng.randrange(30))]
        properties["counts"]["deleted"] = rng.randrange(2)
        properties["bytes"] = rng.choice([10, 2**30])
        properties["complete"] = rng.random() < 0.9
        properties["refused"] = rng.randrange(2) * rng.randrange(2)
    action = {**asked["action"], "properties": call["action"]["properties"]}
    return {**call, "action": action, "resource": asked["resource"]}


def random_change(rng: random.Random) -> JsonObject:
    seen = {
        "type": rng.choice(["file", "link"]),
        "size": rng.choice([10, None]),
        "mode": rng.choice(["0644", None]),
        "executable": rng.random() < 0.1,
    }
    return {
        **seen,
        "path": rng.choice(["out/a", "out", "b", ".x/b", "a.pem"][: rng.randrange(1, 6)]),
        "kind": rng.choice(["created", "changed"]),
        "target": None,
        "protected": rng.random() < 0.02,
        "was": rng.choice([None, seen]),
    }


def random_target(rng: random.Random, argument: str) -> JsonObject:
    path = rng.choice(["notes.txt", "../x", ".ssh/id_rsa", ".github/ci.yml", "a/secret.pem"])
    target: JsonObject = rng.choice(
        [
            {
                "kind": "path",
                "access": rng.choice(["read", "write"]),
                "path": f"/srv/desk/{path}",
                "resolved": rng.choice([f"/srv/desk/{path}", "/etc/passwd"]),
                "inside_workspace": rng.random() < 0.7,
                "relative": rng.choice([path, None]),
                "hidden": rng.random() < 0.3,
                "links": rng.choice([None, 1, 2]),
            },
            {
                "kind": "host",
                "scheme": rng.choice(["https", "http", "file"]),
                "host": rng.choice(["api.example.com", "10.0.0.5", "pypi.org", "ü.example"]),
                "port": rng.choice([443, 80, 22]),
                "path": "/",
                "address_class": rng.choice([None, "global", "private", "metadata"]),
            },
            {
                "kind": "recipient",
                "scheme": rng.choice(["email", "account"]),
                "address": rng.choice(["a@example.com", "mallory@evil.test", "DE02"]),
                "domain": rng.choice(["example.com", None]),
            },
            {
                "kind": "amount",
                "currency": rng.choice(["EUR", "USD", "XXX"]),
                "minor": rng.choice([0, 999, 98000, 10**9, -5]),
            },
            {
                "kind": "command",
                "argv": rng.choice([["ls"], ["rm", "-rf", "/"], ["python3", "x.py"]]),
                "program": rng.choice(["ls", "rm", "python3"]),
                "shell": rng.random() < 0.3,
                "commands": [{"program": rng.choice(["ls", "ssh"]), "argv": []}],
                "complete": rng.random() < 0.7,
                "declared": rng.random() < 0.3,
            },
            {"kind": "resource", "type": rng.choice(["record", "table"]), "name": path},
            {"kind": "secret", "new": rng.random() < 0.5},
            {
                "kind": "sql",
                "dialect": rng.choice(["postgres", "duckdb"]),
                "statements": [random_statement(rng) for _ in range(rng.randrange(3))],
            },
        ]
    )
    return {**target, "argument": argument}


def random_statement(rng: random.Random) -> JsonObject:
    names = ["orders", "a.csv", "/etc/passwd", "c:\\x", "main.t"]
    functions = ["count", "readfile", "pg_read_file", "parquet_scan", "utl_http.request"]
    classes = ["read", "describe", "define", "copy", "session", "other"]
    return {
        "classes": rng.sample(classes, rng.randrange(3)),
        "reads": rng.sample(names, rng.randrange(3)),
        "writes": rng.sample(names, rng.randrange(2)),
        "columns": [],
        "every_column": rng.random() < 0.3,
        "functions": rng.sample(functions, rng.randrange(3)),
        "unknown_functions": [],
        "limit": rng.choice([None, 10]),
        "one_row": rng.random() < 0.3,
        "where": rng.random() < 0.7,
    }


def random_plan(rng: random.Random) -> JsonObject | None:
    verdicts = ["matched", "undeclared", "exhausted", "not_ready", "mismatch", "expired"]
    if rng.random() < 0.5:
        return None
    return {
        "id": "plan-1",
        "digest": "sha256:c",
        "step": rng.choice(["pay", None]),
        "verdict": rng.choice(verdicts),
        "detail": rng.choice([None, "amount"]),
        "required": rng.random() < 0.5,
    }


def random_origin(rng: random.Random) -> JsonObject:
    return {
        "origin": rng.choice(["user", "plan", "approval", "tool", "default", "unknown"]),
        "source": rng.choice(["read_file", None]),
        "trusted": rng.random() < 0.5,
        "control": rng.random() < 0.5,
        "from": rng.choice(
            [None, {"call": "call-0", "entry": 3, "pointer": "/0/id", "cut": None}]
        ),
        "linked": rng.random() < 0.5,
        "carries": rng.choice([[], [], ["url"]]),
    }


def random_approval(rng: random.Random) -> JsonObject | None:
    if rng.random() < 0.6:
        return None
    people = rng.sample(["alice", "bob", "carol"], rng.randrange(1, 4))
    return {
        "id": "request-1",
        "approvers": people,
        "groups": rng.sample(["operators", "security", "finance"], rng.randrange(4)),
        "quorum": rng.randrange(1, 3),
        "approved_until": rng.choice([0, 1000, 10**16]),
        "policy_revision": "sha256:d",
        "args_digest": rng.choice(["sha256:a", "sha256:z"]),
        "stages": [
            {"approvers": [person], "groups": [rng.choice(["operators", "security"])]}
            for person in people
        ],
    }


def spoil(rng: random.Random, value: Any) -> None:
    """Removes or replaces one member somewhere."""
    while True:
        key = (
            rng.choice(sorted(value)) if isinstance(value, dict) else rng.randrange(len(value))
        )
        inner = value[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
            value = inner
            continue
        if isinstance(value, dict) and rng.random() < 0.5:
            del value[key]
        else:
            value[key] = rng.choice([None, 1, "x", True, [], {}])
        return
