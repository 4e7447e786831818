"""The same work by this project at the commit that its figures are compared with.

`run` puts that commit's files into `.bench/before/<commit>`; its broker, policies and evaluator
are theirs, and so is the call. The clock and the callers are today's. Run with that folder as
the first of PYTHONPATH.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import orjson
from callers import cases
from measure import Timed, main, timed, timed_async

import permissions

HERE = Path(__file__).parent
TREE = Path(permissions.__file__).parents[1]


def _program(name: str) -> Any:
    """That commit's program of this name, as a module."""
    path = TREE / "tests" / "bench" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_before", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def engine() -> Timed:
    """The engine in the caller's process, on what a governed call asks."""
    from permissions.pdp.engine import Engine  # type: ignore[import-not-found]  # was there then

    from permissions.pdp.base import ENTRYPOINT
    from permissions.pdp.bundle import load_bundle

    bundle = load_bundle()
    asked = orjson.dumps(_document()).decode()
    engine = Engine(bundle.modules, json.dumps(bundle.data))
    return timed(
        lambda _: orjson.loads(engine.ask(ENTRYPOINT, asked))["decision"] is True, 3_000
    )


def isolated() -> Timed:
    """The same, by the evaluator in its own process."""
    from permissions.pdp.bundle import load_bundle
    from permissions.pdp.embedded import EmbeddedPdp  # type: ignore[attr-defined]  # as above

    document = _document()

    async def run() -> Timed:
        async with EmbeddedPdp(load_bundle()) as pdp:

            async def call(_: int) -> bool:
                return bool((await pdp.evaluate(document)).permitted)

            return await timed_async(call, 3_000)

    return anyio.run(run)


def _document() -> Any:
    """What the policies are asked about a call that was made before."""
    from permissions.pdp.embedded import EmbeddedPdp  # type: ignore[attr-defined]  # as above

    seen: list[Any] = []
    evaluate = EmbeddedPdp.evaluate

    async def noted(self: Any, document: Any, **more: Any) -> Any:
        seen.append(document)
        return await evaluate(self, document, **more)

    async def run() -> None:
        async with _program("calls").governed(evidence="buffered", policies=None) as call:
            for index in range(30):
                await call(index)

    EmbeddedPdp.evaluate = noted
    try:
        anyio.run(run)
    finally:
        EmbeddedPdp.evaluate = evaluate
    return seen[-1]


def cli() -> Timed:
    """`wardline --version`, from the start of the process to its end."""
    environment = {**os.environ, "PYTHONPATH": str(TREE)}

    def call(_: int) -> bool:
        done = subprocess.run(
            [sys.executable, "-m", "permissions", "--version"],
            env=environment,
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    return timed(call, 20, warm_up=1)


if __name__ == "__main__":
    known: dict[str, Any] = {"shipped-engine": engine, "shipped": isolated, "cli": cli}
    if sys.argv[1] not in known:
        calls, boxes = _program("calls"), _program("sandboxes")
        known |= cases(calls.governed, calls.POLICY)
        known |= {
            "bubblewrap-sustained": lambda: boxes.sustained(boxes.BubblewrapSandbox()),
            "docker-sustained": lambda: boxes.sustained(boxes.DockerSandbox()),
            "oci-sustained": lambda: boxes.sustained(boxes.OciSandbox()),
        }
    main(known)
