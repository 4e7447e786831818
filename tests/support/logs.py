"""Whole logs in one call, the same bytes every time."""

from __future__ import annotations

import hashlib
from itertools import count
from typing import TYPE_CHECKING

import anyio
import orjson

from permissions.signing.keys import memory_signer
from permissions.trace.entry import TraceEntry
from permissions.trace.log import open_log
from permissions.trace.merkle import node_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from permissions.signing.keys import Signer
    from permissions.trace.log import SignedLog

SIGNER = memory_signer(b"a log signs with this key, 32 by")
FOREIGN = memory_signer(b"another key that signs no log 32")
KEK = b"the key that wraps the run keys."
NAME = "logs.example"
CONFIG = {"build": "0", "policy": "sha256:0", "engine": "none", "registry": "sha256:0"}
ARGUMENTS = b'{"path":"a"}'
TAGGED = {"args": ARGUMENTS}
START = 1_750_000_000_000_000


def ticking() -> Callable[[], int]:
    """A clock that moves one millisecond each time it is read."""
    times = count(START, 1000)
    return lambda: next(times)


def seeded(seed: str = "") -> Callable[[int], bytes]:
    """Bytes that only look random."""
    numbers = count()

    def random(length: int) -> bytes:
        return hashlib.shake_256(f"{seed}{next(numbers)}".encode()).digest(length)

    return random


def run_start(run: str) -> TraceEntry:
    return TraceEntry("run.start", run, body={"subject": {"type": "agent", "id": "a"}})


def run_end(run: str, calls: int) -> TraceEntry:
    return TraceEntry("run.end", run, body={"status": "complete", "calls": calls})


def before(run: str, call: str) -> list[TraceEntry]:
    """What is recorded before a permitted call."""
    return [
        TraceEntry("intent", run, call, {"tool": "read"}, {"arguments": ARGUMENTS}, TAGGED),
        decision(run, call),
        TraceEntry("start", run, call, {"isolation": "none", "request": None}, links=TAGGED),
    ]


def decision(run: str, call: str, *, permitted: bool = True) -> TraceEntry:
    """What the decision point answered about such a call."""
    asked = {
        "action": {"name": "tools/call"},
        "resource": {"properties": {"args": {"path": "a"}}},
    }
    context = {"access_request": None, "rules": ["read"], "reasons": [], "obligations": []}
    body = {
        "action": "tools/call",
        "permitted": permitted,
        "requestable": False,
        "rules": ["read"],
        "reasons": [],
        "obligations": [],
    }
    answered = {"decision": permitted, "context": context}
    contents = {"input": orjson.dumps(asked), "response": orjson.dumps(answered)}
    return TraceEntry("decision", run, call, body, contents)


def outcome(run: str, call: str) -> TraceEntry:
    return TraceEntry("outcome", run, call, {"status": "ok"}, {"result": b"done"})


async def record_run(log: SignedLog, run: str, calls: int) -> None:
    """A run of permitted calls, two appends each."""
    await log.append([run_start(run)], barrier="durable")
    for number in range(calls):
        await log.append(before(run, f"{run}-{number}"), barrier="durable")
        await log.append([outcome(run, f"{run}-{number}")], barrier="durable")
    await log.append([run_end(run, calls)], barrier="durable")


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, as RFC 6962 defines it (2.1)."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(tree_root(leaves[:split]), tree_root(leaves[split:]))


def write_log(
    directory: Path,
    *,
    runs: Sequence[str] = ("run-a",),
    calls: int = 2,
    signer: Signer = SIGNER,
    seed: str = "",
) -> None:
    """A closed log of complete runs."""

    async def main() -> None:
        async with open_log(
            directory,
            name=NAME,
            signer=signer,
            kek=KEK,
            config=CONFIG,
            clock=ticking(),
            random=seeded(seed),
        ) as log:
            for run in runs:
                await record_run(log, run, calls)

    anyio.run(main)


def write_long_log(directory: Path, *, calls: int, together: int = 500) -> None:
    """A closed log of one run with many permitted calls, `together` of them under a checkpoint."""

    async def main() -> None:
        async with open_log(
            directory,
            name=NAME,
            signer=SIGNER,
            kek=KEK,
            config=CONFIG,
            clock=ticking(),
            random=seeded(),
        ) as log:
            await log.append([run_start("run-a")], barrier="buffered")
            for first in range(0, calls, together):
                entries = [
                    entry
                    for number in range(first, min(first + together, calls))
                    for entry in (
                        *before("run-a", f"run-a-{number}"),
                        outcome("run-a", f"run-a-{number}"),
                    )
                ]
                await log.append(entries, barrier="durable")
            await log.append([run_end("run-a", calls)], barrier="durable")

    anyio.run(main)


def write_state(folder: Path, *, runs: Sequence[str] = ("run-a",), calls: int = 2) -> None:
    """A state folder with a log and the keys that sign and open it."""
    write_log(folder / "trace", runs=runs, calls=calls)
    keys = folder / "keys"
    keys.mkdir()
    (keys / "log.pem.pub").write_text(f"{SIGNER.public}\n")
    (keys / "vault.key").write_bytes(KEK)
    (keys / "vault.key").chmod(0o600)
