"""An evidence packet: a folder that verifies on a machine without this project.

Records are the bytes that were signed, with the checkpoint over them: all of them, or those of
some runs, each with its proof of inclusion. What was opened lies beside them with what ties it
to its record. `README.md` in it says how to verify all that with `openssl`, `sha256sum` and
Python's standard library.

Not protected from: the checksums say that nothing changed on the way, not who made the packet,
unless it is signed; and the key in it is a claim, to be compared with one from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from permissions.errors import TraceError, TraceIntegrityError
from permissions.export.calls import Calls
from permissions.export.card import Card
from permissions.export.packet_readme import LIMITS, README
from permissions.export.page import write_page
from permissions.trace import codec
from permissions.trace.checkpoint import signature_of, vkey
from permissions.trace.decoded import VERSION
from permissions.trace.merkle import leaf_hash
from permissions.trace.proofs import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from permissions.export.opened import Entries, OpenedEntry
    from permissions.model import JsonObject
    from permissions.signing.keys import PublicKey, Signer
    from permissions.trace.checkpoint import Checkpoint
    from permissions.trace.report import Report
    from permissions.trace.vault import VaultReader


@dataclass(frozen=True, slots=True)
class Attached:
    """What goes into a packet beside the record.

    Attributes:
        files: by name in the packet.
        steps: lines of the README's steps, each `$ COMMAND`.
        text: what the README says of them, as Markdown.
    """

    files: Mapping[str, bytes]
    steps: str = ""
    text: str = ""


class Packet:
    """What goes into a packet, and where it is written."""

    def __init__(self, folder: Path, report: Report) -> None:
        """`folder` is there and empty; `report` is of a log whose integrity did not fail."""
        self._folder = folder
        self._report = report
        self._revisions: set[str] = set()

    def write(
        self,
        entries: Callable[[], Entries],
        leaves: list[bytes],
        *,
        vault: VaultReader | None,
        about: JsonObject,
        signer: Signer | None,
        bundles: Path,
        attached: Attached | None = None,
    ) -> int:
        """Writes everything; gives the number of records.

        Args:
            entries: gives those to be packed, each time anew.
            leaves: the leaf hash of every entry of the log.
            vault: opens what was opened in them, and gives the keys of it.
            about: what the explorer says of itself.
            signer: signs the checksums, if given.
            bundles: where policy bundles lie by revision.
            attached: what else goes into it.

        Raises:
            TraceError: nothing in the log is signed, or a content has lost its key.
            OSError: a file cannot be written.
        """
        report = self._report
        if report.checkpoint is None or report.key is None:
            raise TraceError("nothing in the log is signed, so there is nothing to prove")
        checkpoint, signature = signature_of(report.checkpoint, report.key)
        tree = Tree(leaves[: checkpoint.size])
        if tree.root() != checkpoint.root:
            raise TraceIntegrityError("the log changed after it was verified")
        packed = entries()
        count = self._records(packed, tree, vault)
        packed.require_runs()
        self._put("checkpoint", checkpoint.text().encode())
        self._put("checkpoint.sig", signature)
        self._put("checkpoint.note", report.checkpoint.encode())
        self._put("log-key.pem", _pem(report.key))
        self._put("verdict.json", json.dumps(report.document(), indent=2).encode() + b"\n")
        self._policies(bundles)
        self._page(entries(), about)
        files = resources.files("permissions")
        self._put("verify.py", files.joinpath("export/verify_packet.py").read_bytes())
        self._put("dictionary.txt", files.joinpath("trace/dictionary.txt").read_bytes())
        more = attached or Attached({})
        for name, data in more.files.items():
            self._put(name, data)
        self._put("README.md", self._readme(checkpoint, count, about, signer, more))
        if signer is not None:
            self._put("packet-key.pem", _pem(signer.public))
        self._sums(signer)
        return count

    def _records(self, entries: Entries, tree: Tree, vault: VaultReader | None) -> int:
        """Writes records, proofs, openings and the card, in one pass."""
        card, calls, count = Card(), Calls(), 0
        folder = self._folder
        partial = bool(entries.runs)
        (folder / "contents").mkdir()
        with (
            (folder / "records.jsonl").open("xb") as records,
            (folder / "proofs.jsonl").open("xb") as proofs,
            (folder / "openings.jsonl").open("xb") as openings,
        ):
            for each in entries:
                entry = each.recorded
                if entry.index >= tree.size:
                    break  # written since it was verified
                records.write(_line(each) + b"\n")
                if partial:
                    path = [base64.b64encode(step).decode() for step in tree.path(entry.index)]
                    proofs.write(_json({"entry": entry.index, "path": path}))
                for opening in self._opened(each, vault):
                    openings.write(_json(opening))
                self._note(each)
                card.entry(each)
                if (ended := calls.take(each)) is not None:
                    card.call(ended)
                count += 1
        for left in calls.left():
            card.call(left)
        if not partial:
            (folder / "proofs.jsonl").unlink()
        if entries.broken is not None:
            raise TraceIntegrityError(f"the log cannot be read: {entries.broken}")
        self._put("card.md", card.text(self._report).encode())
        return count

    def _opened(self, opened: OpenedEntry, vault: VaultReader | None) -> Iterator[JsonObject]:
        entry = opened.recorded
        if vault is None:
            return
        for name, data in opened.contents.items():
            sealed, file = entry.sealed[name], f"{entry.index:08}-{name}"
            self._put(f"contents/{file}", data)
            yield {
                "entry": entry.index,
                "name": name,
                "file": file,
                "key": vault.content_key(sealed, run=entry.run or "", name=name).hex(),
                "line": sealed.decode(),
            }

    def _note(self, opened: OpenedEntry) -> None:
        """Remembers the policy revisions that decided."""
        body = opened.recorded.body
        name = {"config": "policy", "decision": "revision"}.get(opened.recorded.type)
        if name and isinstance(body.get(name), str):
            self._revisions.add(body[name])

    def _policies(self, bundles: Path) -> None:
        for revision in sorted(self._revisions):
            digits = revision.removeprefix("sha256:")
            source = bundles / f"{digits}.json"
            if digits.isalnum() and source.is_file():
                self._put(f"policies/{digits}.json", source.read_bytes())

    def _page(self, entries: Entries, about: JsonObject) -> None:
        with (self._folder / "explorer.html").open("xb") as file:
            write_page(file, entries, self._report, about=about)

    def _readme(
        self,
        checkpoint: Checkpoint,
        count: int,
        about: JsonObject,
        signer: Signer | None,
        more: Attached,
    ) -> bytes:
        whole = count == checkpoint.size
        what = f"all {count} entries" if whole else f"{count} of its {checkpoint.size} entries"
        signed = (
            ""
            if signer is None
            else "$ openssl pkeyutl -verify -pubin -inkey packet-key.pem -rawin -in SHA256SUMS"
            " -sigfile SHA256SUMS.sig\n"
        )
        key = self._report.key
        text = README.format(
            steps=more.steps,
            origin=checkpoint.origin,
            what=what,
            made=about["made"],
            integrity=self._report.integrity.verdict,
            anchoring=self._report.anchoring,
            size=checkpoint.size,
            signed=signed,
            key=key,
            vkey="" if key is None else vkey(checkpoint.origin, key),
            limits=LIMITS,
        )
        return (text + more.text).encode()

    def _put(self, name: str, data: bytes) -> None:
        (self._folder / name).parent.mkdir(exist_ok=True)
        with (self._folder / name).open("xb") as file:
            file.write(data)

    def _sums(self, signer: Signer | None) -> None:
        folder = self._folder
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        lines = []
        for name in names:
            path = folder / name
            if path.is_file():
                with path.open("rb") as file:
                    lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
        sums = "".join(lines).encode()
        self._put("SHA256SUMS", sums)
        if signer is not None:
            self._put("SHA256SUMS.sig", signer.sign(sums))


def _line(opened: OpenedEntry) -> bytes:
    """The entry's line as it was hashed."""
    entry = opened.recorded
    line = codec.encode(
        {
            "body": entry.body,
            "call": entry.call,
            "contents": dict(entry.digests),
            "index": entry.index,
            "run": entry.run,
            "time": entry.time,
            "type": entry.type,
            "v": VERSION,
        }
    )
    if leaf_hash(line) != entry.leaf:
        raise TraceIntegrityError(f"entry {entry.index} cannot be written as it was signed")
    return line


def _json(document: JsonObject) -> bytes:
    return json.dumps(document).encode() + b"\n"


def _pem(key: PublicKey) -> bytes:
    return Ed25519PublicKey.from_public_bytes(key.raw).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
