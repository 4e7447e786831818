"""A second verifier of traces, written from docs/reference/trace-format.md alone.

It shares no code with the writer: `python second_verifier.py FOLDER [PUBLIC_KEY] [VAULT_KEY]`,
keys as files. Exit code 5 and a reason when something does not fit.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import struct
import sys
import unicodedata
from pathlib import Path
from typing import Any

import rfc8785
import zstandard
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from cryptography.hazmat.primitives.serialization import load_der_public_key

WORDS = Path(__file__).parents[2] / "permissions" / "trace" / "dictionary.txt"
MEMBERS = {"v", "index", "time", "type", "run", "call", "body", "contents"}
LARGEST = 2**53 - 1
KINDS = {"rotate": b"\x01", "epoch": b"\x01", "post_quantum": b"\x06"}


class DoesNotFitError(Exception):
    """The log is not what was signed, or not in the form of the page."""


def fits(condition: object, said: str) -> None:
    if not condition:
        raise DoesNotFitError(said)


def b64(text: object) -> bytes:
    fits(isinstance(text, str), "base64 is no text")
    try:
        raw = base64.b64decode(str(text), validate=True)
    except ValueError as err:
        raise DoesNotFitError("not base64") from err
    fits(base64.b64encode(raw).decode() == text, "base64 is not canonical")
    return raw


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


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


class Keys:
    """Run keys, as far as `vault.keys` and the key-encryption key give them."""

    def __init__(self, folder: Path, kek: bytes) -> None:
        self.of_run: dict[str, list[bytes]] = {}
        self.of_responders: set[str] = set()
        kek_id = sha256(b"wardline vault key\x00" + kek).hex()[:16]
        for line in (folder / "vault.keys").read_bytes().split(b"\n"):
            try:
                found = parsed(line)
            except DoesNotFitError:
                continue
            if "sealed" in found:
                self.of_responders.add(found["run"])
            elif found["kek"] == kek_id:
                run = found["run"].encode()
                key = aes_key_unwrap(kek, b64(found["wrapped"]))
                said = sha256(b"wardline/v2 run key\x00" + run + b"\x00" + key).hex()[:16]
                fits(said == found["key"], "a run key is another than its line says")
                self.of_run.setdefault(found["run"], []).append(key)

    def open(self, box: bytes, origin: str, run: str, path: str) -> bytes | None:
        nonce, commitment, sealed = box[:16], box[16:48], box[48:]
        for key in self.of_run.get(run, ()):
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
            for key in self.of_run.get(run, ())
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
    gone: list[tuple[int, str]] = []
    erased: dict[str, int] = {}

    def conclude() -> None:
        if entry:
            call = calls.setdefault((entry["run"], entry["call"]), {})
            found = said_twice(entry, opened, call, keys)
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
                erased |= dict.fromkeys(entry["body"].get("runs", []), entry["index"])
        elif line.startswith(b'{"content":'):
            name = expected.pop(sha256(line), None)
            fits(name, "a sealed line is not one its entry names")
            box = b64(parsed(line, 24 * 2**20)["content"])
            if keys is not None:
                path = f"{entry['type']}/{name}"
                data = keys.open(box, origin, entry["run"] or "", path)
                run = entry["run"] or ""
                if data is None and run not in keys.of_responders:
                    gone.append((entry["index"], run))
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
        f"{index}: a key is gone, and nothing says why"
        for index, run in gone
        if index >= erased.get(run, -1)
    ]
    return findings


def said_twice(
    entry: dict[str, Any], opened: dict[str, bytes], call: dict[str, Any], keys: Keys | None
) -> list[str]:
    """What the table "Said twice" of the page finds."""
    kind, body, named = entry["type"], entry["body"], entry["contents"]
    found: list[str] = []

    def same(member: str, value: object) -> None:
        empty = (None, [], "")
        if body.get(member) != value and (body.get(member), value in empty) != (None, True):
            found.append(f"{kind} says another {member} than its contents")

    def same_number(member: str, value: list[Any]) -> None:
        same(member, len(value))

    def tagged(member: str, data: bytes) -> None:
        if keys is not None and body.get(member) not in keys.tags(entry["run"], member, data):
            found.append(f"{kind} says another {member} than its contents")

    def has(*names: str) -> None:
        if not set(names) & set(named):
            found.append(f"{kind} has no {names[0]}")

    def payloads() -> list[dict[str, Any]]:
        envelopes = sorted(
            (name for name in opened if name.startswith("envelope_")),
            key=lambda name: int(name.rpartition("_")[2]),
        )
        return [json.loads(b64(json.loads(opened[each])["payload"])) for each in envelopes]

    if kind == "intent":
        has("arguments")
        call["args"], call["arguments"] = body.get("args"), opened.get("arguments")
        if call["arguments"] == b'"[redacted:not inspected]"':
            call["unread"], call["arguments"] = True, None
        if "args" in body and "arguments" in opened:
            tagged("args", opened["arguments"])
        if "key" in opened:
            tagged("key", opened["key"])
    elif kind == "start" and call.get("unread"):
        found.append("start of a call whose arguments were not looked through")
    elif kind == "start" and body.get("args") != call.get("args"):
        found.append("start is with other arguments")
    elif kind == "decision":
        has("response")
        has("input", "input_patch")
        if "input" in opened:
            call["input"] = json.loads(opened["input"])
        asked = call.get("input")
        if "input_patch" in opened and asked is not None:
            asked = applied(json.loads(json.dumps(asked)), json.loads(opened["input_patch"]))
        if asked is not None and set(opened) & {"input", "input_patch"}:
            same("action", asked["action"]["name"])
            if asked["action"]["name"] == "tools/call" and call.get("arguments"):
                about = asked["resource"]["properties"]["args"]
                if about != json.loads(call["arguments"]):
                    found.append("decision is about other arguments")
        if "response" in opened:
            answer = json.loads(opened["response"])
            context = answer["context"]
            same("permitted", answer["decision"])
            same("requestable", context["access_request"] is not None)
            same("rules", context["rules"])
            same("reasons", [each["code"] for each in context["reasons"]])
            same("obligations", [each["type"] for each in context["obligations"]])
    elif kind == "request" and "shown" in opened:
        shown = json.loads(opened["shown"])
        asked = shown["call"]
        same("request", shown["id"])
        same("expires_at", shown["expires_at"])
        same("approvers", asked["terms"]["approvers"])
        same("quorum", asked["terms"]["quorum"])
        if call.get("arguments") not in (None, asked["arguments"].encode()):
            found.append("request shows other arguments")
        bound = {**asked, "arguments": "sha256:" + sha256(asked["arguments"].encode()).hex()}
        binding = rfc8785.dumps({"call": bound, "type": "wardline.approval.binding/v1"})
        call.setdefault("terms", {})[shown["id"]] = asked
        if "shown" not in body.get("redacted", []):
            call.setdefault("shown", {})[shown["id"]] = (
                "sha256:" + sha256(opened["shown"]).hex(),
                "sha256:" + sha256(binding).hex(),
            )
        elif b"[redacted:" not in opened["shown"]:
            found.append("request says that what was shown is redacted, and it is not")
    elif kind == "approval":
        has("envelope_0")
        has("voters")
        said = payloads()
        if keys is not None and said:
            same("approvers", sorted({each["approver"] for each in said}))
        for each in said:
            shown_to = each["shown_digest"], each["binding"]
            known = call.get("shown", {}).get(body["request"], shown_to)
            if (each["request"], each["verdict"], shown_to) != (
                body["request"],
                "approve",
                known,
            ):
                found.append("approval rests on an answer to something else")
        raws = [opened[f"envelope_{n}"] for n in range(len(said)) if f"envelope_{n}" in opened]
        if body["request"] in call.get("shown", {}) and len(raws) == len(said):
            found.extend(out_of_order(raws, said, call["terms"][body["request"]]["terms"]))
        if "voters" in opened and len(said) == len(
            [name for name in named if name.startswith("envelope_")]
        ):
            voters = json.loads(opened["voters"])
            raw = [json.loads(opened[f"envelope_{n}"]) for n in range(len(said))]
            asked = call.get("terms", {}).get(body["request"])
            found.extend(unproven(voters, raw, said, asked))
    elif kind in ("resolution", "grant"):
        has("envelope_0")
        has("voters")
        if "envelope_0" not in opened:
            return found
        envelope = json.loads(opened["envelope_0"])
        answer = json.loads(b64(envelope["payload"]))
        if kind == "grant":
            same("grant", answer["id"])
            if not 0 < body["use"] <= answer["uses"]:
                found.append("grant was used too often")
        else:
            same("of", answer["call"])
            same("found", answer["found"])
        same("approver", answer["approver"])
        voters = json.loads(opened.get("voters", b"[]"))
        if voters and not signed_by(voters[0]["key"], envelope):
            found.append(f"{kind} rests on an answer its voter did not sign")
    elif kind == "plan":
        has("plan")
        if "plan" in opened:
            tagged("plan", opened["plan"])
            same("steps", len(json.loads(opened["plan"])["steps"]))
    elif (
        kind == "effect"
        and body["kind"] == "changes"
        and opened.get("changes", b'"[redacted:not inspected]"')
        != b'"[redacted:not inspected]"'
    ):
        changes = json.loads(opened["changes"])
        tagged("change_set", changes["digest"].encode())
        for member in ("created", "changed", "deleted", "bytes"):
            same(member, changes[member])
        for member in ("protected", "refused", "conflicts"):
            same(member, len(changes[member]))
    elif kind == "denied" or (kind == "effect" and body["kind"] == "fate"):
        members = ("request", "approver", "verdict")
        envelopes = [name for name in named if name.startswith("envelope_")]
        if len(payloads()) == len(envelopes):
            same("answers", [{name: each[name] for name in members} for each in payloads()])
    elif kind == "stop" and body["phase"] == "begun" and "statement" in opened:
        statement = json.loads(b64(json.loads(opened["statement"])["payload"]))
        for member in ("stop", "scope", "name", "by"):
            same(member, statement[member])
        if "running" in opened:
            same_number("running", json.loads(opened["running"]))
    elif kind == "stop" and body["phase"] == "ended" and "proof" in opened:
        proof = json.loads(opened["proof"])
        for member in ("running", "ended", "not_stopped", "requests", "approvals", "grants"):
            same_number(member, proof[member])
        same("running_on", [each["call"] for each in proof["not_stopped"]][:100])
    elif kind == "resume":
        has("statement")
        if "statement" in opened:
            statement = json.loads(b64(json.loads(opened["statement"])["payload"]))
            same("stop", statement["lifts"])
            same("by", statement["by"])
            same("request", statement["request"])
            if statement["request"] is not None and "shown" in opened:
                shown = "sha256:" + sha256(opened["shown"]).hex()
                answers = payloads()
                if (statement["shown"].encode(), len(statement["votes"])) != (
                    opened["shown"],
                    len(answers),
                ):
                    found.append("resume says another agreement")
                for each in answers:
                    asked = (each["verdict"], each["request"], each["shown_digest"])
                    if asked != ("approve", statement["request"], shown):
                        found.append("resume rests on an answer to something else")
    return found


def unproven(
    voters: list[dict[str, Any]],
    envelopes: list[dict[str, Any]],
    said: list[dict[str, Any]],
    asked: dict[str, Any] | None,
) -> list[str]:
    found = []
    if [each["approver"] for each in voters] != [each["approver"] for each in said]:
        found.append("approval names other voters")
    staged = [] if asked is None else asked["terms"].get("stages", [])
    turns = [number for number, each in enumerate(staged) for _ in range(each["quorum"])]
    for vote, (voter, envelope) in enumerate(zip(voters, envelopes, strict=False)):
        if not signed_by(voter["key"], envelope):
            found.append("approval rests on an answer its voter did not sign")
        if asked is None:
            continue
        names = [asked["subject"], asked["on_behalf_of"] or ""]
        plain = [unicodedata.normalize("NFKC", each).casefold() for each in names]
        barred = voter["approver"] in [each.removeprefix("user:").strip() for each in plain]
        terms = asked["terms"]
        turn = turns[min(vote, len(turns) - 1)] if turns else None
        groups = terms["approvers"] if turn is None else staged[turn]["approvers"]
        if not set(voter["groups"]) & set(groups) or (barred and terms["separation_of_duties"]):
            found.append("approval rests on somebody who may not answer")
    if asked is not None:
        people = min(len({each[member] for each in voters}) for member in ("approver", "key"))
        if people < asked["terms"]["quorum"]:
            found.append("approval rests on too few")
    return found


def out_of_order(
    raws: list[bytes], said: list[dict[str, Any]], terms: dict[str, Any]
) -> list[str]:
    stages = terms.get("stages")
    for number, each in enumerate(said):
        wanted: tuple[Any, Any] = (None, None)
        if stages:
            first = 0
            for stage, group in enumerate(stages):
                if number < first + group["quorum"] or stage == len(stages) - 1:
                    break
                first += group["quorum"]
            earlier = ["sha256:" + sha256(raw).hex() for raw in raws[:first]]
            wanted = stage, "sha256:" + sha256(rfc8785.dumps(earlier)).hex()
        if (each.get("stage"), each.get("after")) != wanted:
            return ["approval rests on an answer out of its order"]
    return []


def signed_by(key: str, envelope: dict[str, Any]) -> bool:
    kind, payload = envelope["payloadType"].encode(), b64(envelope["payload"])
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    for each in envelope["signatures"]:
        sig = b64(each["sig"])
        try:
            if not key.startswith("passkey:"):
                Ed25519PublicKey.from_public_bytes(b64(key)).verify(sig, signed)
                return True
            public = json.loads(b64(key.removeprefix("passkey:")))
            data, client = (
                b64(each["webauthn"][m]) for m in ("authenticator_data", "client_data")
            )
            told = json.loads(client)
            over = sha256(signed)
            if "together" in each["webauthn"]:
                together = each["webauthn"]["together"]
                if f"sha256:{over.hex()}" not in together or not 0 < len(together) <= 100:
                    continue
                listed = {"type": "wardline.together/v1", "of": together}
                over = sha256(rfc8785.dumps(listed))
            challenge = base64.urlsafe_b64encode(over).decode().rstrip("=")
            wanted = ("webauthn.get", challenge, public["origin"])
            if (told["type"], told["challenge"], told["origin"]) != wanted:
                continue
            if told.get("crossOrigin") or data[:32] != sha256(public["rp_id"].encode()):
                continue
            if data[32] & 0x05 != 0x05:
                continue
            loaded = load_der_public_key(b64(public["spki"]))
            message = data + sha256(client)
            if isinstance(loaded, ec.EllipticCurvePublicKey):
                loaded.verify(sig, message, ec.ECDSA(hashes.SHA256()))
            elif isinstance(loaded, rsa.RSAPublicKey):
                loaded.verify(sig, message, padding.PKCS1v15(), hashes.SHA256())
            else:
                loaded.verify(sig, message)  # type: ignore[union-attr, call-arg]
        except (InvalidSignature, KeyError, ValueError, IndexError):
            continue
        return True
    return False


def applied(document: Any, patch: list[dict[str, Any]]) -> Any:
    for operation in patch:
        *above, last = [
            token.replace("~1", "/").replace("~0", "~")
            for token in operation["path"].split("/")[1:]
        ]
        target = document
        for token in above:
            target = target[token]
        if operation["op"] == "remove":
            del target[last]
        else:
            target[last] = operation["value"]
    return document


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
