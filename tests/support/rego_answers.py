"""What the embedded engine answers, and questions to put to it and to OPA."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rego_mutations import mutated
from rego_requests import random_request

from permissions.errors import PdpInputError
from permissions.pdp.input_json import input_bytes
from permissions.pdp.regorus.engine import UNDEFINED, Engine
from permissions.pdp.regorus.errors import EngineError

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from permissions.model import JsonObject

FAILED = "failed"

LAYER = """package wardline.layers.team

allow contains "team.tools" if input.resource.id in {"pay", "read_file", "fetch"}

deny contains {"code": "team.night", "agent": "a", "operator": "o", "nearest": null} if {
	[hour, _, _] := time.clock([input.context.time * 1000, "Europe/Berlin"])
	hour < 6
}

obligations contains {"id": "team.e", "type": "evidence", "properties": {}} if {
	input.action.properties.effect != "read"
}
"""


def embedded_answers(
    modules: Mapping[str, str], data: JsonObject, rule: str, documents: list[JsonObject]
) -> list[Any]:
    """The rule's value per input in a list of one, empty when undefined, or `FAILED`."""
    engine = Engine(modules, json.dumps(data))
    return [answer_of(engine, rule, input_bytes(each).decode()) for each in documents]


def answer_of(engine: Engine, rule: str, document: str) -> Any:
    """The rule's value for one input in a list of one, empty when undefined, or `FAILED`."""
    try:
        value = engine.ask(rule, document)
    except EngineError:
        return FAILED
    return [] if value == UNDEFINED else [json.loads(value)]


def requests(rng: random.Random, count: int) -> list[JsonObject]:
    """Questions, three of four of them spoilt somewhere."""
    found: list[JsonObject] = []
    while len(found) < count:
        document = mutated(rng, random_request(rng), rng.choice([0, 1, 2, 5]))
        try:
            input_bytes(document)
        except PdpInputError:
            continue
        found.append(document)
    return found
