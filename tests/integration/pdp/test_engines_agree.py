"""The embedded engine and the real OPA give the same answer, byte for byte.

The reference is `opa eval` with strict builtin errors, asked for all inputs of a test at once.
"""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from policy_cases import base_document
from rego_samples import sample_request

from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.bundle import PolicyBundle, load_bundle
from permissions.pdp.input_json import input_bytes
from permissions.pdp.lint.bundle import check_bundle
from permissions.pdp.regorus.engine import UNDEFINED, Engine
from permissions.pdp.regorus.errors import EngineError

if TYPE_CHECKING:
    from permissions.model import JsonObject, JsonValue

pytestmark = [pytest.mark.opa, pytest.mark.slow]

TABLES = Path(__file__).parents[2] / "cases" / "tables.json"
SEED = 20261123
REQUESTS = 600
POLICIES = 60


def opa_answers(
    bundle: PolicyBundle, rule: str, documents: list[JsonObject], folder: Path
) -> list[JsonValue]:
    """The rule's value per input, in a list of one; empty when undefined or failed."""
    for path, text in bundle.modules.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "data.json").write_text(json.dumps(bundle.data))
    (folder / "questions.json").write_text(json.dumps({"questions": documents}))
    done = subprocess.run(
        [
            *("opa", "eval", "--format", "json"),
            *("--data", ".", f"[[v | v := {rule} with input as q] | some q in data.questions]"),
        ],
        capture_output=True,
        check=False,
        text=True,
        cwd=folder,
    )
    answer = json.loads(done.stdout)
    assert "errors" not in answer, answer["errors"]
    found: list[JsonValue] = answer["result"][0]["expressions"][0]["value"]
    return found


def embedded_answers(
    bundle: PolicyBundle, rule: str, documents: list[JsonObject]
) -> list[JsonValue]:
    engine = Engine(bundle.modules, json.dumps(bundle.data))
    answers: list[JsonValue] = []
    for document in documents:
        try:
            value = engine.ask(rule, input_bytes(document).decode())
        except EngineError as err:
            answers.append(err.fault)
            continue
        answers.append([] if value == UNDEFINED else [json.loads(value)])
    return answers


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
        ]
    )
    return {**target, "argument": argument}


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
        "origin": rng.choice(["user", "plan", "tool", "default", "unknown"]),
        "source": rng.choice(["read_file", None]),
        "trusted": rng.random() < 0.5,
        "control": rng.random() < 0.5,
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


@pytest.mark.parametrize("filled", [False, True], ids=["shipped tables", "filled tables"])
def test_the_shipped_policies(tmp_path: Path, filled: bool) -> None:  # noqa: FBT001
    rng = random.Random(SEED)  # noqa: S311 - the same requests each time
    documents = [random_request(rng) for _ in range(REQUESTS)]
    shipped = load_bundle()
    tables = shipped.data["wardline"]["tables"] | (
        json.loads(TABLES.read_text()) if filled else {}
    )
    bundle = PolicyBundle.of(shipped.modules, {"wardline": {"tables": tables}})

    ours = embedded_answers(bundle, ENTRYPOINT, documents)

    assert ours == opa_answers(bundle, ENTRYPOINT, documents, tmp_path)
    decisions = [answer[0] for answer in ours]
    assert {answer["decision"] for answer in decisions} == {True, False}
    assert len({rule for answer in decisions for rule in answer["context"]["rules"]}) > 20


LINES = [
    *(f"args.{name} {operator} 1" for name in "abn" for operator in ("<", "==", "!=")),
    'startswith(args.s, "a")',
    'contains(args.t, "b")',
    "args.s in args.list",
    "some {x} in args.list; {x} == args.s",
    "every {x} in args.list {{ is_string({x}) }}",
    'glob.match("a*", [], args.s)',
    'regex.match("^a+$", args.s)',
    "count(args.list) > 1",
    "not args.a",
    "not args.a == 1",
    "{x} := args.n; not {x} < 2",
    "{x} := args.s; not lower({x}) == {x}",
    "{x} := args.list; not count({x}) == 2",
    "helper",
    "not helper",
    'graded("a")',
    "is_null(input.context.plan)",
]


def random_policy(rng: random.Random) -> str:
    """Rules over a few arguments, made of what the linter admits."""

    def body() -> str:
        lines = rng.sample(LINES, rng.randrange(1, 4))
        return "\n\t".join(line.format(x=f"x{n}") for n, line in enumerate(lines))

    return f"""package wardline.main

import input.resource.properties.args

default response := {{"decision": false}}

response := {{"decision": true, "hits": hits}} if {{
	{body()}
}}

hits contains 1 if {{
	{body()}
}}

hits contains args.s if {{
	{body()}
}}

helper if args.{rng.choice("abnst")} == {rng.choice(["1", '"a"'])}

graded(x) if x == args.{rng.choice("st")}
"""


def random_arguments(rng: random.Random) -> JsonObject:
    names = rng.sample(["a", "b", "n", "s", "t", "list"], rng.randrange(1, 7))
    scalars = ["a", "b", "Aa", "é", 1, 2, None]
    return {
        name: rng.sample(["a", "b", 1], rng.randrange(4))
        if name == "list"
        else rng.choice(scalars)
        for name in names
    }


def test_random_policies(tmp_path: Path) -> None:
    """A failed evaluation is a denial, whatever OPA would say; all else is equal."""
    rng = random.Random(SEED)  # noqa: S311 - the same policies each time
    compared = 0
    for number in range(POLICIES):
        bundle = PolicyBundle.of({"main.rego": random_policy(rng)})
        assert check_bundle(bundle) == []
        documents = [sample_request("t", **random_arguments(rng)) for _ in range(20)]
        folder = tmp_path / str(number)
        folder.mkdir()

        ours = embedded_answers(bundle, ENTRYPOINT, documents)

        theirs = opa_answers(bundle, ENTRYPOINT, documents, folder)
        for mine, their in zip(ours, theirs, strict=True):
            if isinstance(mine, list):
                compared += 1
                assert mine == their, bundle.modules["main.rego"]
    assert compared > POLICIES * 10
