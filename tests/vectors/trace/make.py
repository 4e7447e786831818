"""Makes the golden trace beside this file: `python tests/vectors/trace/make.py`.

Only to be run when the format gets a new version.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "support"))

from logs import KEK, SIGNER, write_log  # noqa: E402 - the path was set just above

from permissions.trace.reader import read_entries  # noqa: E402
from permissions.trace.store import segment_path  # noqa: E402
from permissions.trace.vault import KEYS_FILE, VaultReader  # noqa: E402
from permissions.trace.verify import verify_trace  # noqa: E402


def main() -> None:
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
