"""One decision, by this project's decision points, under the small policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import orjson
from measure import Timed, main, timed, timed_async
from work import REQUESTS

from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.bundle import load_bundle
from permissions.pdp.embedded.pdp import EmbeddedPdp
from permissions.pdp.regorus.engine import Engine

if TYPE_CHECKING:
    from permissions.model import JsonObject

POLICY = Path(__file__).parent / "policy"
CALLS = 6_000


def documents() -> list[JsonObject]:
    """The six requests in the form of the policy contract, as far as the policy looks."""
    return [
        {
            "subject": {"type": "agent", "id": "bench", "properties": {"roles": [each.role]}},
            "action": {"name": "tools/call", "properties": {}},
            "resource": {
                "type": "tool",
                "id": each.tool,
                "properties": {"args": {"path": each.path, "host": each.host}},
            },
            "context": {},
        }
        for each in REQUESTS
    ]


def said(*, permitted: bool, access_request: Any) -> str:
    """The answer in the words of `work`."""
    if permitted:
        return "allow"
    return "deny" if access_request is None else "ask"


def in_process() -> Timed:
    """The engine in the caller's own process: JSON in, JSON out."""
    bundle = load_bundle(POLICY)
    engine = Engine(bundle.modules, json.dumps(bundle.data))
    inputs = documents()

    def call(index: int) -> bool:
        which = index % len(REQUESTS)
        answer = orjson.loads(engine.ask(ENTRYPOINT, orjson.dumps(inputs[which]).decode()))
        context = answer["context"]
        word = said(permitted=answer["decision"], access_request=context["access_request"])
        return word == REQUESTS[which].answer

    return timed(call, CALLS)


def isolated() -> Timed:
    """The default decision point: an evaluator in a process of its own."""

    async def ask() -> Timed:
        inputs = documents()
        async with EmbeddedPdp(load_bundle(POLICY)) as pdp:

            async def call(index: int) -> bool:
                which = index % len(REQUESTS)
                decision = await pdp.evaluate(inputs[which])
                word = said(
                    permitted=decision.permitted, access_request=decision.access_request
                )
                return word == REQUESTS[which].answer

            return await timed_async(call, CALLS)

    return anyio.run(ask)


if __name__ == "__main__":
    main({"in-process": in_process, "isolated": isolated})
