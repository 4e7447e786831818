"""Makes the golden trace beside this file: `python tests/vectors/trace/make.py`.

Only to be run when the format gets a new version.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "support"))

import anyio  # noqa: E402 - the path was set just above
from logs import (  # noqa: E402
    CONFIG,
    FOREIGN,
    KEK,
    NAME,
    SIGNER,
    START,
    record_run,
    seeded,
    ticking,
    write_log,
)

from permissions.signing.keys import memory_signer  # noqa: E402
from permissions.signing.post_quantum import memory_post_quantum_signer  # noqa: E402
from permissions.trace.checkpoint_signer import KeyChange  # noqa: E402
from permissions.trace.entry import TraceEntry  # noqa: E402
from permissions.trace.key_lines import KEYS_FILE, destroy_keys, key_names  # noqa: E402
from permissions.trace.log import open_log  # noqa: E402
from permissions.trace.reader import read_entries  # noqa: E402
from permissions.trace.store import segment_path  # noqa: E402
from permissions.trace.vault import VaultReader  # noqa: E402
from permissions.trace.verify import verify_trace  # noqa: E402

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from permissions.trace.log import SignedLog


def vector_log(log: Path, seed: str) -> AbstractAsyncContextManager[SignedLog]:
    """A log to write to that comes out the same each time, for the seed of its random bytes."""
    return open_log(
        log,
        name=NAME,
        signer=SIGNER,
        kek=KEK,
        config=CONFIG,
        clock=ticking(),
        random=seeded(seed),
    )


def write_keys() -> None:
    """A second log, whose keys change in each way there is."""

    async def main(log: Path) -> None:
        async with vector_log(log, "keys") as opened:
            for act, key in (
                ("epoch", memory_signer(b"e" * 32)),
                ("post_quantum", memory_post_quantum_signer(b"q" * 32)),
                ("rotate", FOREIGN),
                ("epoch", memory_signer(b"f" * 32)),
                ("post_quantum", None),
            ):
                await opened.change_key(KeyChange(act, key), reason=act)
                await record_run(opened, f"run-{act}", 1)
            body = {"act": "revoke", "keyid": SIGNER.keyid, "since": START + 9000}
            await opened.append([TraceEntry("key", "", body=body)], barrier="durable")

    with tempfile.TemporaryDirectory() as made:
        log = Path(made)
        anyio.run(main, log)
        report = verify_trace(log, key=FOREIGN.public, vault=VaultReader(log, KEK))
        target = HERE / "v2-keys"
        target.mkdir(exist_ok=True)
        for path in (segment_path(log, 0), log / KEYS_FILE):
            (target / path.name).write_bytes(path.read_bytes())
        (target / "vault.key").write_bytes(KEK)
        expected = {
            "first_key": str(SIGNER.public),
            "last_key": str(FOREIGN.public),
            "kek": KEK.hex(),
            "size": report.integrity.size,
            "root": report.integrity.root,
            "checkpoint": report.checkpoint,
            "doubtful": [asdict(each) for each in report.integrity.doubtful],
        }
        (HERE / "v2-keys.json").write_text(json.dumps(expected, indent=2) + "\n")


def write_erased() -> None:
    """A third log, of one of whose runs two kinds of contents were erased."""
    kinds = ["arguments", "results"]

    async def main(log: Path, keys: list[str]) -> None:
        async with vector_log(log, "erased") as opened:
            body = {"runs": ["run-a"], "kinds": kinds, "keys": keys, "by": "dpo", "copies": 0}
            entry = TraceEntry("erase", "", body=body, contents={"reason": b"retention"})
            await opened.append([entry], barrier="durable")

    with tempfile.TemporaryDirectory() as made:
        log = Path(made)
        write_log(log, runs=["run-a", "run-b"], calls=1)
        names = key_names(log, {"run-a"})
        anyio.run(main, log, [each.id for each in names if each.kind in kinds])
        destroy_keys(log, {"run-a"}, kinds)
        target = HERE / "v2-erased"
        target.mkdir(exist_ok=True)
        for path in (segment_path(log, 0), log / KEYS_FILE):
            (target / path.name).write_bytes(path.read_bytes())
        (target / "vault.key").write_bytes(KEK)


def main() -> None:
    write_keys()
    write_erased()
    with tempfile.TemporaryDirectory() as made:
        log = Path(made)
        write_log(log, runs=["run-a", "run-b"], calls=2)
        vault = VaultReader(log, KEK)
        report = verify_trace(log, key=SIGNER.public, vault=vault)
        expected = {
            "public_key": str(SIGNER.public),
            "kek": KEK.hex(),
            "origin": report.integrity.origin,
            "size": report.integrity.size,
            "root": report.integrity.root,
            "checkpoint": report.checkpoint,
            "leaves": [entry.leaf.hex() for entry in read_entries(log)],
            "contents": {
                f"{entry.index}/{name}": entry.open(name, vault).hex()
                for entry in read_entries(log)
                for name in entry.digests
            },
        }
        target = HERE / "v2"
        target.mkdir(exist_ok=True)
        for path in (segment_path(log, 0), log / KEYS_FILE):
            (target / path.name).write_bytes(path.read_bytes())
        (target / "log.pem.pub").write_text(f"{SIGNER.public}\n")
        (target / "vault.key").write_bytes(KEK)
        (HERE / "v2.json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()
