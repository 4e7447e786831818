"""The embedded engine and the real OPA give the same answer, byte for byte.

The reference is `opa eval` with strict builtin errors, asked for all inputs of a test at once.
"""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rego_requests import random_request
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
