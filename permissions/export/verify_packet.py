#!/usr/bin/env python3
"""Verifies the records of this packet: Python's standard library, and `openssl` for contents.

It knows nothing of who signed: README.md says how `openssl` verifies `checkpoint` first.
What it reads is described in trace-format.md beside this file.
"""

from __future__ import annotations

import base64
import ctypes
import ctypes.util
import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).resolve().parent


def fail(text: str) -> NoReturn:
    sys.exit(f"FAILED: {text}")


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def lines(name: str) -> list[bytes]:
    path = HERE / name
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def root_of_all(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, with a stack of whole subtrees."""
    stack: list[tuple[int, bytes]] = []
    for leaf in leaves:
        width = 1
        while stack and stack[-1][0] == width:
            leaf, width = node(stack.pop()[1], leaf), width * 2
        stack.append((width, leaf))
    root = stack.pop()[1]
    while stack:
        root = node(stack.pop()[1], root)
    return root


def root_from(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.3.2."""
    at, last = index, size - 1
    for each in path:
        if last == 0:
            fail(f"the proof of entry {index} is too long")
        if at & 1 or at == last:
            leaf = node(each, leaf)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            leaf = node(leaf, each)
        at, last = at >> 1, last >> 1
    if last:
        fail(f"the proof of entry {index} is too short")
    return leaf


def unpacked(frame: bytes, dictionary: bytes) -> bytes:
    """One zstd frame: Python 3.14, or the library that Debian, Fedora and others come with."""
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        library = ctypes.util.find_library("zstd")
        if library is None:
            sys.exit("contents need Python 3.14, or libzstd: apt-get install libzstd1")
        zlib = ctypes.CDLL(library)
        zlib.ZSTD_createDCtx.restype = ctypes.c_void_p
        zlib.ZSTD_decompress_usingDict.restype = ctypes.c_size_t
        room = ctypes.create_string_buffer(16 << 20)
        size = zlib.ZSTD_decompress_usingDict(
            ctypes.c_void_p(zlib.ZSTD_createDCtx()), room, ctypes.c_size_t(len(room)),
            frame, ctypes.c_size_t(len(frame)), dictionary, ctypes.c_size_t(len(dictionary)),
        )  # fmt: skip
        if zlib.ZSTD_isError(ctypes.c_size_t(size)):
            fail("a content cannot be unpacked")
        return room.raw[:size]
    return bytes(zstd.decompress(frame, zstd.ZstdDict(dictionary, is_raw=True)))


def opened(box: bytes, key: bytes) -> bytes:
    """AES-256-GCM is AES-256-CTR from block 2 on; what was sealed is held by its SHA-256."""
    counter = b"\0" * 12 + b"\0\0\0\2"
    command = ["openssl", "enc", "-d", "-aes-256-ctr", "-K", key.hex(), "-iv", counter.hex()]
    return subprocess.run(command, input=box[48:-16], capture_output=True, check=True).stdout


def check_content(opening: Any, entries: Any, dictionary: bytes) -> None:
    index, name = opening["entry"], opening["name"]
    line, key = opening["line"].encode(), bytes.fromhex(opening["key"])
    said = f"{name} of entry {index}"
    if index not in entries or ("file" in opening and "/" in opening["file"]):
        fail(f"{said} is of no record here")
    named = entries[index]["contents"].get(name)
    if base64.b64encode(hashlib.sha256(line).digest()).decode() != named:
        fail(f"{said} is not what the record names")
    box = base64.b64decode(json.loads(line)["content"])
    if hashlib.sha256(b"wardline/v2 key commitment\0" + key).digest() != box[16:48]:
        fail(f"the key of {said} is another")
    inside = opened(box, key)
    length = int.from_bytes(inside[1:5], "big")
    body = inside[5 : 5 + length]
    content = body if inside[0] == 0 else unpacked(body, dictionary)
    if (HERE / "contents" / opening["file"]).read_bytes() != content:
        fail(f"contents/{opening['file']} is not what was sealed")


def main() -> None:
    origin, counted, hashed = (HERE / "checkpoint").read_text().split("\n")[:3]
    size, root = int(counted), base64.b64decode(hashed)
    records = lines("records.jsonl")
    leaves = [hashlib.sha256(b"\0" + line).digest() for line in records]
    entries: dict[int, Any] = {}
    for line in records:
        entry = json.loads(line)
        if entry["index"] in entries or entry["index"] >= size:
            fail(f"entry {entry['index']} stands twice, or is beyond the checkpoint")
        entries[entry["index"]] = entry
    proofs = [json.loads(line) for line in lines("proofs.jsonl")]
    if proofs:
        if len(proofs) != len(records):
            fail("there is not one proof for each record")
        for index, leaf, proof in zip(entries, leaves, proofs):  # noqa: B905 - Python 3.9; equally long
            path = [base64.b64decode(each) for each in proof["path"]]
            if proof["entry"] != index or root_from(leaf, index, size, path) != root:
                fail(f"entry {index} is not in the log at that position")
        said = f"{len(records)} of the {size} entries of {origin}, each with its proof"
    else:
        if list(entries) != list(range(size)) or root_of_all(leaves) != root:
            fail("the records are not the entries that were signed")
        said = f"all {size} entries of {origin}"
    openings = [json.loads(line) for line in lines("openings.jsonl")]
    dictionary = (HERE / "dictionary.txt").read_bytes()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: check_content(each, entries, dictionary), openings))
    known = {each["file"] for each in openings}
    if extra := {path.name for path in (HERE / "contents").glob("*")} - known:
        fail(f"contents/{min(extra)} belongs to no record")
    print(f"verified: {said}; {len(openings)} contents")


if __name__ == "__main__":
    main()
