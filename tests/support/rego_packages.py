"""Random bundles: packages of every question, and layers, beside the shipped `main`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rego_policies import LINES, random_arguments, random_policy
from rego_requests import random_request

from permissions.pdp.bundle import PolicyBundle, load_bundle

if TYPE_CHECKING:
    import random

    from permissions.model import JsonObject

_SHARED = ("main", "joined", "lib", "contract")
_OWN = re.compile(r"\b(helper|tern|constant|some_word|args2)\b")
_FUNCTION = re.compile(r"\b([fg])\(")
_ENTRIES = {
    "allow": ['"{code}"', '"{code}"', "_word"],
    "deny": ["{{{voices}}}", "{{{voices}}}", '_entry("{code}")', "_word"],
    "require_approval": [
        '{{{voices}, "terms": {terms}}}',
        'object.union(_entry("{code}"), {{"terms": {terms}}})',
        '_entry("{code}")',
    ],
    "obligations": [
        '{{"id": "{code}", "type": "{type}", "properties": {{}}}}',
        '{{"id": "{code}", "type": _word, "properties": {{}}}}',
    ],
}
_VOICES = '"code": "{code}", "agent": concat("", ["a", "{code}"]), "operator": {operator}, "nearest": null'
_TERMS = [
    "null",
    'lib.approval_terms("high")',
    '{"approvers": ["operators"], "quorum": 1, "expires_in_seconds": 60, "separation_of_duties": true}',
    """{"stages": [{"approvers": ["operators"], "quorum": 1}, {"approvers": ["security"], "quorum": 1}],
     "expires_in_seconds": 60, "separation_of_duties": true}""",
]
_OF_OTHERS = [
    "lib.ordinary_impact",
    'count(lib.targets("path")) > 0',
    "not lib.reaches_out",
    "data.wardline.lib.isolation_rank.none == 0",
    'lib["isolation_rank"].none == 0',
    "count(first.deny) == 0",
    'some {x} in data.wardline.policies.first.allow; {x} != "a"',
    'action.effect == "read"',
]
_OF_ALL = "data.wardline.policies[{x}].deny; count({x}) > 1"


def random_package(rng: random.Random, package: str) -> str:
    """A module of rules that `main` reads, some of them malformed at times."""
    name = package.rsplit(".", 1)[1]
    helpers = random_policy(rng, package).partition("args2 contains")
    rules = []
    for number in range(rng.randrange(1, 7)):
        kind = rng.choice(list(_ENTRIES))
        entry = rng.choices(_ENTRIES[kind], [6, *[1] * (len(_ENTRIES[kind]) - 1)])[0]
        code = f"{name}.c{number}"
        operator = rng.choice(['"o"', '"o"', "_word", 'sprintf("%s", [_word])'])
        entry = entry.format(
            code=code,
            voices=_VOICES.format(code=code, operator=operator),
            terms=rng.choice(_TERMS),
            type=rng.choice(["evidence", "label"]),
        )
        lines = rng.sample(LINES, rng.randrange(1, 3))
        if rng.random() < 0.4 and name != "first":
            lines.append(rng.choice(_OF_OTHERS))
            if not package.startswith("wardline.policies"):
                lines.append(rng.choice(["lib.ordinary_impact", _OF_ALL]))
        body = "\n\t".join(line.format(x=f"x{n}", y=f"y{n}") for n, line in enumerate(lines))
        rules.append(f"{kind} contains {entry} if {{\n\t{body}\n}}\n")
    text = f"""package {package}

import data.wardline.lib
import data.wardline.policies.first
import input.action.properties as action
import input.resource.properties.args

_word := {rng.choice(['"w"', "args.s", "upper(_s)"])}

_entry(code) := {{"code": code, "agent": "a", "operator": _word, "nearest": null}}

{"".join(rules)}
args2 contains{helpers[2]}"""
    return _FUNCTION.sub(r"_\1(", _OWN.sub(r"_\1", text))


def random_bundle(rng: random.Random) -> PolicyBundle:
    """The shipped frame with random packages in it. The linter would refuse most."""
    shipped = load_bundle()
    modules = {
        path: text for path, text in shipped.modules.items() if path.split("/")[0] in _SHARED
    }
    wanted = ["policies.first", "policies.second", "egress.third", "effects.fourth"]
    if rng.random() < 0.6:
        wanted += ["layers.fifth", "layers.sixth"][: rng.randrange(1, 3)]
    for each in wanted:
        below, name = each.split(".")
        folder = name if below == "policies" else f"{below}/{name}"
        modules[f"{folder}/{name}.rego"] = random_package(rng, f"wardline.{each}")
    return PolicyBundle.of(modules, shipped.data)


def random_question(rng: random.Random) -> JsonObject:
    """A question, with arguments that such packages read."""
    question = random_request(rng)
    resource = question.get("resource")
    if isinstance(resource, dict) and isinstance(resource.get("properties"), dict):
        resource["properties"]["args"] = random_arguments(rng)
    return question
