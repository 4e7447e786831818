"""One decision, by this project's decision points, and the start of its command line."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import orjson
from calls import governed
from measure import Timed, main, timed, timed_async
from work import REQUESTS

from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.bundle import PolicyBundle, load_bundle
from permissions.pdp.embedded.form import is_plainly_formed
from permissions.pdp.embedded.pdp import EmbeddedPdp
from permissions.pdp.linker.linked import link
from permissions.pdp.regorus.engine import Engine

if TYPE_CHECKING:
    from permissions.model import Decision, JsonObject

POLICY = Path(__file__).parent / "policy"
CALLS = 6_000
PACKAGES = ("budgets", "messaging", "network", "plan", "provenance", "shell")
"""Of the shipped policies, those that have nothing to say about a read that names nothing."""


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


def shipped_in_process() -> Timed:
    """The engine in the caller's own process, linked, on what a governed call asks."""
    return _timed_engine(load_bundle())


def _timed_engine(bundle: PolicyBundle) -> Timed:
    """What an evaluator does with a question: a look at its form, and the rule for that."""
    linked = link(bundle)
    engine = Engine(linked.modules, json.dumps(bundle.data))
    asked = orjson.dumps(_document())

    def call(_: int) -> bool:
        is_formed = bool(linked.formed) and is_plainly_formed(asked)
        rule = linked.formed if is_formed else linked.entrypoint
        return orjson.loads(engine.ask(rule, asked.decode()))["decision"] is True

    return timed(call, 3_000)


def shipped_without(package: str) -> Timed:
    """The same, less one package that does not apply to the call."""
    whole = load_bundle()
    left = {
        path: text for path, text in whole.modules.items() if not path.startswith(f"{package}/")
    }
    if len(left) == len(whole.modules):
        raise ValueError(f"no package {package}")
    return _timed_engine(PolicyBundle.of(left, whole.data))


def shipped_isolated() -> Timed:
    """The same, by the default decision point."""
    document = _document()

    async def run() -> Timed:
        async with EmbeddedPdp(load_bundle()) as pdp:

            async def call(_: int) -> bool:
                return (await pdp.evaluate(document)).permitted

            return await timed_async(call, 3_000)

    return anyio.run(run)


def _document() -> JsonObject:
    """What the policies are asked about a call that was made before."""
    seen: list[JsonObject] = []
    evaluate = EmbeddedPdp.evaluate

    async def noted(self: EmbeddedPdp, document: JsonObject, **more: Any) -> Decision:
        seen.append(document)
        return await evaluate(self, document, **more)

    async def run() -> None:
        async with governed(evidence="buffered", policies=None) as call:
            for index in range(30):
                await call(index)

    EmbeddedPdp.evaluate = noted  # type: ignore[method-assign]
    try:
        anyio.run(run)
    finally:
        EmbeddedPdp.evaluate = evaluate  # type: ignore[method-assign]
    return seen[-1]


def cli() -> Timed:
    """`wardline --version`, from the start of the process to its end."""
    command = [sys.executable, "-m", "permissions", "--version"]

    def call(_: int) -> bool:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    return timed(call, 20, warm_up=1)


if __name__ == "__main__":
    main(
        {
            "in-process": in_process,
            "isolated": isolated,
            "shipped-engine": shipped_in_process,
            **{f"without-{name}": partial(shipped_without, name) for name in PACKAGES},
            "shipped": shipped_isolated,
            "cli": cli,
        }
    )
