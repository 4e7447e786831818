#!/usr/bin/env python3
"""Verifies the signed statements of this packet: Python's standard library, and `openssl`.

Each line of statements.jsonl is a DSSE envelope (v1.0.2) around an in-toto Statement (v1). Its
signature is held to packet-key.pem, and each file it is about to the digest it names.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent
PAYLOAD = "application/vnd.in-toto+json"


def fail(text: str) -> NoReturn:
    sys.exit(f"FAILED: {text}")


def signed(envelope: Any, number: int) -> bytes:
    """The payload, once the packet's key is seen to have signed it."""
    kind, payload = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"])
    if kind.decode() != PAYLOAD:
        fail(f"statement {number} is of another type")
    encoded = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    with tempfile.TemporaryDirectory() as folder:
        data, signature = Path(folder, "data"), Path(folder, "signature")
        data.write_bytes(encoded)
        for each in envelope["signatures"]:
            signature.write_bytes(base64.b64decode(each["sig"]))
            command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey",
                       str(HERE / "packet-key.pem"), "-rawin", "-in", str(data),
                       "-sigfile", str(signature)]  # fmt: skip
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return payload
    fail(f"statement {number} is not signed by packet-key.pem")


def main() -> None:
    said = (HERE / "statements.jsonl").read_bytes().splitlines()
    about: dict[str, str] = {}
    for number, line in enumerate(said, start=1):
        statement = json.loads(signed(json.loads(line), number))
        for subject in statement["subject"]:
            name, digest = subject["name"], subject["digest"]["sha256"]
            path = HERE / name
            if not path.resolve().is_relative_to(HERE):
                fail(f"statement {number} is about {name}, which is not in this packet")
            if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                fail(f"statement {number} is about another {name}")
            about[name] = digest
        predicate = statement["predicate"]
        print(f"signed: {statement['predicateType']}  {predicate.get('result', '')}".rstrip())
    print(f"verified: {len(said)} statements about {len(about)} files")


if __name__ == "__main__":
    main()
