"""Recorded decisions made again under the shipped policies: microseconds a decision."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import orjson
from calls import read_file
from measure import MOST_CALLS, Timed, WrongAnswerError, main, timed
from work import WORKSPACE

from permissions.pdp.bundle import load_bundle
from permissions.pdp.linker.linked import link
from permissions.pdp.regorus.engine import Engine
from permissions.replay.recorded import recorded_decisions
from permissions.replay.rows import Summary
from permissions.replay.runs import ReplaySetup
from permissions.replay.spread import replay_here, replayed_by
from permissions.sessions.open import open_session
from permissions.setup.config import TraceConfig
from permissions.setup.factory import open_broker
from permissions.setup.layout import StateLayout
from permissions.tools.call import ToolCall
from permissions.trace.index import TraceIndex
from permissions.trace.reader import read_entries
from permissions.trace.vault import VaultReader, load_kek
from wardline import BrokerConfig

RUNS, CALLS = 40, 200
TIMES = 2


async def record(state: Path, calls: int) -> StateLayout:
    """Calls of many runs by a broker with the shipped policies."""
    config = BrokerConfig(
        state=state, workspace=Path(WORKSPACE), trace=TraceConfig(evidence="buffered")
    )
    async with open_broker(config, [read_file]) as broker:
        for _ in range(RUNS):
            async with open_session(broker, agent="bench", roles=["analyst"]) as session:
                for number in range(calls):
                    path = f"{WORKSPACE}{number}.txt"
                    await broker.call(session, ToolCall("read_file", {"path": path}))
    return StateLayout(state)


def timed_replay(jobs: int) -> Timed:
    """Times a replay under a candidate, from the log to the matrix, in `jobs` processes."""
    calls = min(CALLS, MOST_CALLS)
    with tempfile.TemporaryDirectory() as made:
        layout = anyio.run(record, Path(made) / "state", calls)
        bundle = load_bundle()
        setup = replace(
            ReplaySetup(layout.trace, layout.index, load_kek(layout.kek), layout.bundles),
            under=str(bundle.revision),
            candidate=(dict(bundle.modules), bundle.data),
        )
        runs = TraceIndex(layout.trace, layout.index).runs()
        latencies = []
        for _ in range(TIMES):
            summary = Summary()
            before = time.perf_counter_ns()
            if jobs == 1:
                anyio.run(replay_here, setup, runs, lambda done: summary.merge(done.summary))  # noqa: B023
            else:
                for done in replayed_by(setup, runs, jobs):
                    summary.merge(done.summary)
            latencies.append((time.perf_counter_ns() - before) // summary.decisions)
            if summary.identical != RUNS * calls:
                raise WrongAnswerError(f"{summary.identical} decisions came out the same")
    return Timed(latencies, sum(latencies))


def engine_alone() -> Timed:
    """The engine in this process, on the recorded inputs: what none can do without."""
    with tempfile.TemporaryDirectory() as made:
        layout = anyio.run(record, Path(made) / "state", min(CALLS, MOST_CALLS))
        vault = VaultReader(layout.trace, load_kek(layout.kek))
        found = recorded_decisions(read_entries(layout.trace), vault, with_history=False)
        asked = [orjson.dumps(each.document).decode() for each in found]
    bundle = load_bundle()
    linked = link(bundle)
    engine = Engine(linked.modules, json.dumps(bundle.data))

    def call(index: int) -> bool:
        answer = engine.ask(linked.entrypoint, asked[index % len(asked)])
        return orjson.loads(answer)["decision"] is True

    return timed(call, len(asked))


if __name__ == "__main__":
    main(
        {
            "engine": engine_alone,
            **{f"what-if-{jobs}": partial(timed_replay, jobs) for jobs in (1, 2)},
        }
    )
