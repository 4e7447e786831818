"""A second verifier of logs, written from docs/reference/trace-format.md alone.

Lines, tree, checkpoints, the keys of a log and of its contents are here; what the opened contents
of an entry say is in `said_twice`, what people signed in `second_votes`.
It shares no code with the writer: `python second_verifier.py FOLDER [PUBLIC_KEY] [VAULT_KEY]`,
keys as files. Exit code 5 and a reason when something does not fit.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import struct
import sys
from functools import partial
from pathlib import Path
from typing import Any

import rfc8785
import zstandard
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from said_twice import said_twice
from second_votes import DoesNotFitError, b64, fits, sha256

WORDS = Path(__file__).parents[2] / "permissions" / "trace" / "dictionary.txt"
MEMBERS = {"v", "index", "time", "type", "run", "call", "body", "contents"}
LARGEST = 2**53 - 1
KINDS = {"rotate": b"\x01", "epoch": b"\x01", "post_quantum": b"\x06"}
CONTENTS = {
    "prompts": "prompt task delegation agent plan",
    "arguments": "arguments key tool request args",
    "decisions": "input input_patch response shadow operator",
    "approvals": "shown voters",
    "results": "result readable stdout stderr error detected oversize",
    "files": "changes diff left_out inputs outputs change_set",
}


def in_profile(value: object, depth: int = 1) -> bool:
    if depth > 33 or isinstance(value, float):
        return False
    if isinstance(value, dict):
        return all(
            name.isascii() and in_profile(each, depth + 1) for name, each in value.items()
        )
    if isinstance(value, list):
        return all(in_profile(each, depth + 1) for each in value)
    return not isinstance(value, int) or -LARGEST <= value <= LARGEST


def parsed(line: bytes, longest: int = 61_440) -> dict[str, Any]:
    fits(len(line) <= longest, "a line is too long")
    try:
        document = json.loads(line)
        fits(isinstance(document, dict) and in_profile(document), "outside the profile")
        fits(rfc8785.dumps(document) == line, "a line is not in canonical form")
    except (ValueError, RecursionError) as err:
        raise DoesNotFitError("a line is not JSON") from err
    return dict(document)


class Tree:
    """RFC 6962: whole subtrees of falling size, from left to right."""

    def __init__(self) -> None:
        self.size = 0
        self.whole: list[tuple[int, bytes]] = []

    def add(self, line: bytes) -> None:
        height, found = 0, sha256(b"\x00" + line)
        while self.whole and self.whole[-1][0] == height:
            found = sha256(b"\x01" + self.whole.pop()[1] + found)
            height += 1
        self.whole.append((height, found))
        self.size += 1

    def root(self) -> bytes:
        found = b""
        for _, each in reversed(self.whole):
            found = sha256(b"\x01" + each + found) if found else each
        return found


def kind_of(name: str) -> str:
    kinds = [kind for kind, names in CONTENTS.items() if name in names.split()]
    return kinds[0] if kinds else "approvals" if name.startswith("envelope_") else "other"


class Keys:
    """Run keys, as far as `vault.keys` and the key-encryption key give them."""

    def __init__(self, folder: Path, kek: bytes) -> None:
        self.of_run: dict[tuple[str, str], list[bytes]] = {}
        self.of_responders: set[tuple[str, str]] = set()
        self.ids: set[str] = set()
        kek_id = sha256(b"wardline vault key\x00" + kek).hex()[:16]
        for line in (folder / "vault.keys").read_bytes().split(b"\n"):
            try:
                found = parsed(line)
            except DoesNotFitError:
                continue
            whose = found["run"], found["kind"]
            self.ids.add(found["key"])
            if "sealed" in found:
                self.of_responders.add(whose)
            elif found["kek"] == kek_id:
                key = aes_key_unwrap(kek, b64(found["wrapped"]))
                parts = b"wardline/v2 run key", *(each.encode() for each in whose), key
                said = sha256(b"\x00".join(parts)).hex()[:16]
                fits(said == found["key"], "a run key is another than its line says")
                self.of_run.setdefault(whose, []).append(key)

    def open(self, box: bytes, origin: str, run: str, path: str) -> bytes | None:
        nonce, commitment, sealed = box[:16], box[16:48], box[48:]
        for key in self.of_run.get((run, kind_of(path.rpartition("/")[2])), ()):
            content = hmac.digest(key, b"wardline/v2 content key\x00" + nonce, "sha256")
            if sha256(b"wardline/v2 key commitment\x00" + content) == commitment:
                bound = f"{origin}\n{run}\n{path}".encode()
                try:
                    inside = AESGCM(content).decrypt(bytes(12), sealed, bound)
                except InvalidTag as err:
                    raise DoesNotFitError("a content does not open") from err
                return unpacked(inside)
        return None

    def tags(self, run: str, name: str, data: bytes) -> list[str]:
        said = name.encode() + b"\x00" + data
        keys = (
            hmac.digest(key, b"wardline/v2 tag key\x00", "sha256")
            for key in self.of_run.get((run, kind_of(name)), ())
        )
        return [
            base64.b64encode(hmac.digest(key, said, "sha256")[:16]).decode() for key in keys
        ]


def unpacked(inside: bytes) -> bytes:
    how, length = struct.unpack(">BI", inside[:5])
    data, rest = inside[5 : 5 + length], inside[5 + length :]
    fits(len(data) == length and not any(rest), "a content is not filled up with zeros")
    total = 5 + length
    if total <= 64:
        filled = 64
    else:
        highest = total.bit_length() - 1
        step = 2 ** (highest - highest.bit_length())
        filled = -(-total // step) * step
    fits(len(inside) == filled, "a content is filled up to another length")
    if how == 0:
        return data
    fits(how == 1, "a content is packed in an unknown way")
    words = zstandard.ZstdCompressionDict(
        WORDS.read_bytes(), dict_type=zstandard.DICT_TYPE_RAWCONTENT
    )
    return zstandard.ZstdDecompressor(dict_data=words).decompress(data)


def checked_note(note: str, origin: str, keys: list[bytes]) -> tuple[int, bytes]:
    """Size and root of a note that each key signed; a key is its kind and its bytes."""
    text, blank, lines = note.partition("\n\n")
    parts = text.split("\n")
    fits(blank and len(parts) == 3 and parts[0] == origin, "a checkpoint of another log")
    fits(re.fullmatch("0|[1-9][0-9]*", parts[1]), "the size of a checkpoint is malformed")
    size, root, named = int(parts[1]), b64(parts[2]), origin.encode()
    signed = [line.split(" ") for line in lines.rstrip("\n").split("\n")]
    fits(all(dash == "—" for dash, *_ in signed), "a signature line is malformed")
    for key in keys:
        hint = sha256(named + b"\n" + key)[:4]
        ours = [b64(each) for _, name, each in signed if name == origin]
        ours = [each[4:] for each in ours if each[:4] == hint]
        fits(ours, "a checkpoint is not signed by a key in force")
        for each in ours:
            try:
                if key[0] == 1:
                    said = text.encode() + b"\n"
                    Ed25519PublicKey.from_public_bytes(key[1:]).verify(each, said)
                else:
                    length = bytes([len(named)])
                    said = b"subtree/v1\n\x00" + length + named + each[:8] + length + named
                    said += struct.pack(">QQ", 0, size) + root
                    MLDSA44PublicKey.from_public_bytes(key[1:]).verify(each[8:], said)
            except InvalidSignature as err:
                raise DoesNotFitError("a signature does not verify") from err
    return size, root


def lines_of(folder: Path) -> list[bytes]:
    found: list[bytes] = []
    count = 0
    files = {path.name: path for path in folder.glob("*.jsonl")}
    if (moved := folder / "archived.json").is_file():
        segments = json.loads(moved.read_text())["segments"]
        files = {each["name"]: Path(each["folder"]) / each["name"] for each in segments} | files
    for _, path in sorted(files.items()):
        fits(path.stem == f"{count:020d}", f"{path.name} begins with entry {count}")
        *whole, rest = path.read_bytes().split(b"\n")
        fits(not rest.strip(b"\x00"), "a line has no end")
        count += sum(line.startswith(b'{"body":') for line in whole)
        found += whole
    return found


def verify(folder: Path, public: bytes | None = None, kek: bytes | None = None) -> list[str]:
    """Findings about what a log says; nothing for a log in order.

    Raises:
        DoesNotFitError: it is not what was signed.
    """
    keys = None if kek is None else Keys(folder, kek)
    tree, signed = Tree(), 0
    origin, ever = "", set[bytes]()
    force: dict[str, bytes] = {}
    coming: dict[str, bytes] = {}
    entry: dict[str, Any] = {}
    expected: dict[bytes, str] = {}
    opened: dict[str, bytes] = {}
    calls: dict[tuple[str, str], dict[str, Any]] = {}
    findings: list[str] = []
    gone: list[tuple[int, str, str]] = []
    erased: list[dict[str, Any]] = []

    def conclude() -> None:
        if entry:
            call = calls.setdefault((entry["run"], entry["call"]), {})
            tags = None if keys is None else partial(keys.tags, entry["run"])
            found = said_twice(entry, opened, call, tags)
            findings.extend(f"{entry['index']}: {text}" for text in found)

    for line in lines_of(folder):
        if line.startswith(b'{"body":'):
            conclude()
            entry, opened = parsed(line), {}
            fits(entry.keys() == MEMBERS and entry["v"] == 2, "not an entry of version 2")
            fits(entry["index"] == tree.size, f"entry {entry['index']} stands at {tree.size}")
            if not origin:
                fits(entry["type"] == "log.open", "the log does not begin with log.open")
                origin = entry["body"]["origin"]
                force["rotate"] = b"\x01" + b64(entry["body"]["key"])
                ever.add(force["rotate"][1:])
            if entry["type"] == "key" and entry["body"]["act"] != "revoke":
                act, named = entry["body"]["act"], entry["body"].get("key")
                fits(act not in coming and (act != "rotate" or named), "keys change twice")
                coming[act] = b"" if named is None else KINDS[act] + b64(named)
            expected = {b64(value): name for name, value in entry["contents"].items()}
            tree.add(line)
            if entry["type"] == "erase":
                erased.append({"kinds": [], "keys": [], **entry["body"], "at": entry["index"]})
        elif line.startswith(b'{"content":'):
            name = expected.pop(sha256(line), None)
            fits(name, "a sealed line is not one its entry names")
            box = b64(parsed(line, 24 * 2**20)["content"])
            if keys is not None:
                path = f"{entry['type']}/{name}"
                data = keys.open(box, origin, entry["run"] or "", path)
                run = entry["run"] or ""
                if data is None and (run, kind_of(str(name))) not in keys.of_responders:
                    gone.append((entry["index"], run, kind_of(str(name))))
                elif data is not None:
                    opened[str(name)] = data
        else:
            conclude()
            entry = {}
            fits(line.startswith(b'{"checkpoint":') and force, "no line of a trace")
            signers = [each for each in (*force.values(), *coming.values()) if each]
            signed, root = checked_note(parsed(line)["checkpoint"], origin, signers)
            fits((signed, root) == (tree.size, tree.root()), "other entries were signed")
            force |= coming
            coming.clear()
            ever.add(force["rotate"][1:])
    fits(signed == tree.size, "the last entries are not signed")
    fits(public is None or public in ever, "another key signed the log")
    findings += [
        f"{index}: the key of {run} for {kind} is gone, and nothing says why"
        for index, run, kind in gone
        if not any(
            index < each["at"] and run in each["runs"] and kind in (each["kinds"] or [kind])
            for each in erased
        )
    ]
    there = set() if keys is None else keys.ids
    findings += [
        f"{each['at']}: a key was to be erased, and is there"
        for each in erased
        if there & set(each["keys"])
    ]
    return findings


def main(folder: str, public: str | None = None, kek: str | None = None) -> int:
    try:
        findings = verify(
            Path(folder),
            None if public is None else b64(Path(public).read_text().strip()),
            None if kek is None else Path(kek).read_bytes(),
        )
    except DoesNotFitError as err:
        print(f"FAILED: {err}")
        return 5
    print("\n".join(findings) or "in order")
    return 5 if findings else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
