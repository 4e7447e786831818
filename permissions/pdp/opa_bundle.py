"""A policy bundle as one archive, in OPA's own format ("Bundle File Format"): written and read.

The archive holds the modules and data of one `PolicyBundle` and a manifest whose `revision`
is the bundle's digest, so every answer of an OPA server says under which policies it was made.
The manifest claims the root `wardline`: the server then refuses to change anything below it
through its REST API. `metadata.wardline.sequence` is the number by which a reader tells which
of two signed archives is the later one.

Packages in the shadow (`permissions.pdp.shadow_marks`) stand in it as data, under
`wardline.shadow`, where a server does not evaluate them; its revision is that of the others.

What the linker composed (`linked/`) stands in it for an OPA server. A reader leaves it out and
composes its own, so it is no part of the revision.

Not protected from: a manifest is a claim, not a proof. `permissions.pdp.opa` compares the
content itself when it starts, and a reader computes the revision anew.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.errors import PolicyLoadError
from permissions.pdp.archive import read_archive
from permissions.pdp.bundle import PolicyBundle, bundle_finding, bundle_of_texts, strict_json
from permissions.pdp.linker.linked import FOLDER as LINKED
from permissions.pdp.linker.linked import link
from permissions.pdp.shadow_marks import enforced, shadow_paths
from permissions.pdp.signatures import MANIFEST, SIGNATURES, signatures_of, verify_files
from permissions.signing.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from permissions.model import JsonObject
    from permissions.pdp.signatures import BundleKey
    from permissions.signing.keys import Signer

ROOT = "wardline"
"""Everything under `data.wardline` belongs to the bundle; other packages may live beside it."""

_DATA = "data.json"
_SHADOW = "shadow"
MAX_SEQUENCE = 2**53 - 1


@dataclass(frozen=True, slots=True)
class ReadBundle:
    """What an archive held.

    Attributes:
        sequence: which of its releases it is; None when it does not say.
        signed_by: name of the key that signed it; None when no key was asked for.
    """

    bundle: PolicyBundle
    sequence: int | None = None
    signed_by: str | None = None


def opa_bundle(
    bundle: PolicyBundle, *, sequence: int | None = None, signer: Signer | None = None
) -> bytes:
    """The bundle as a gzipped tar archive: the same bytes for the same arguments, always.

    Args:
        bundle: what to write; its tests are left out.
        sequence: counts releases, each above the one before; 1 to 2^53 - 1.
        signer: signs every file (`permissions.pdp.signatures`).

    Raises:
        SigningError: the data has no canonical form.
    """
    view = enforced(bundle)
    manifest: JsonObject = {"revision": view.revision, "roots": [ROOT], "rego_version": 1}
    if sequence is not None:
        manifest["metadata"] = {"wardline": {"sequence": sequence}}
    files = {
        MANIFEST: canonical(manifest),
        _DATA: canonical(_with_shadow(bundle)),
        **{path: text.encode() for path, text in sorted(link(view).modules.items())},
    }
    if signer is not None:
        files[SIGNATURES] = signatures_of(files, signer)
    archive = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=archive, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for name, content in files.items():
            member = tarfile.TarInfo(f"/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def _with_shadow(bundle: PolicyBundle) -> JsonObject:
    hidden = shadow_paths(bundle.modules)
    if not hidden:
        return bundle.data
    texts = {path: bundle.modules[path] for path in sorted(hidden)}
    return {**bundle.data, ROOT: {**bundle.data.get(ROOT, {}), _SHADOW: texts}}


def read_opa_bundle(data: bytes, keys: Sequence[BundleKey] = ()) -> ReadBundle:
    """The bundle in an archive, ours or one that `opa build -b` made. Nothing is judged yet.

    Args:
        data: the archive's bytes.
        keys: who may have signed it. With none it may be unsigned, and must be: a signature
            that nobody checks says nothing.

    Raises:
        PolicyLoadError: it is no such archive; it is unsigned, wrongly signed or altered; or
            it holds something that is no part of policies.
    """
    files = dict(read_archive(data))
    signed_by = None
    if keys:
        signed_by = verify_files(files, keys)
    elif SIGNATURES in files:
        raise _refused(
            SIGNATURES,
            "bundle.key",
            "it is signed, and no key is pinned to check it with",
            "name the signer's public key (pdp.bundle_keys, or --key)",
        )
    files.pop(SIGNATURES, None)
    manifest = _manifest(files.pop(MANIFEST, b"{}"))
    tables, shadow = _tables(files.pop(_DATA, b"{}"))
    bundle = bundle_of_texts({**shadow, **_texts(files)}, tables)
    said, has = str(manifest.get("revision", "")), enforced(bundle).revision
    if said.startswith("sha256:") and said != has:
        raise _refused(
            MANIFEST,
            "bundle.altered",
            f"it says revision {said[:23]}, and its content has {has[:23]}",
            "build it again",
        )
    return ReadBundle(bundle, _sequence(manifest), signed_by)


def _texts(files: Mapping[str, bytes]) -> dict[str, bytes]:
    texts = {name: content for name, content in files.items() if name.endswith(".rego")}
    if odd := sorted(files.keys() - texts.keys() - {_DATA}):
        raise PolicyLoadError(
            [
                bundle_finding(
                    name,
                    "bundle.unread",
                    "nothing reads this file",
                    "a bundle holds .rego files, data.json and its manifest; tables stand in"
                    " data.json under wardline.tables",
                )
                for name in odd
            ]
        )
    own = {name: text for name, text in texts.items() if not name.startswith(LINKED)}
    if not own.keys() & {"main/main.rego", "main.rego"}:
        raise _refused(
            "archive",
            "bundle.layout",
            "main/main.rego does not stand at its root",
            "build it inside the folder: cd policies && opa build -b .",
        )
    return own


def _manifest(content: bytes) -> JsonObject:
    try:
        found = strict_json(content.decode())
    except (ValueError, RecursionError) as err:
        raise _refused(MANIFEST, "bundle.manifest", "no strict JSON", "build it again") from err
    if not isinstance(found, dict) or found.get("rego_version", 1) != 1:
        what = "it is no object, or of another language than Rego v1"
        raise _refused(MANIFEST, "bundle.manifest", what, "build it with OPA 1.0 or newer")
    if odd := found.keys() & {"wasm", "file_rego_versions"}:
        what = f"{', '.join(sorted(odd))} is not known here"
        raise _refused(MANIFEST, "bundle.manifest", what, "build it without")
    roots = found.get("roots", [""])
    if not isinstance(roots, list) or not {"", ROOT} & {str(each) for each in roots}:
        what = f"its roots leave `{ROOT}` out"
        raise _refused(MANIFEST, "bundle.manifest", what, f'"roots": ["{ROOT}"]')
    return found


def _sequence(manifest: JsonObject) -> int | None:
    try:
        found = manifest["metadata"]["wardline"]["sequence"]
    except (KeyError, TypeError):
        return None
    if type(found) is not int or not 1 <= found <= MAX_SEQUENCE:
        what = "metadata.wardline.sequence is no whole number from 1 on"
        raise _refused(MANIFEST, "bundle.manifest", what, "give --sequence 1, then 2, ...")
    return found


def _tables(content: bytes) -> tuple[JsonObject, dict[str, bytes]]:
    """The tables, and the modules in the shadow."""
    fix = 'data.json is {"wardline": {"tables": {...}}}'
    try:
        data = strict_json(content.decode())
        below = data.pop(ROOT, {})
        tables = below.pop("tables", {})
        shadow = {
            path: text.encode()
            for path, text in below.pop(_SHADOW, {}).items()
            if path.endswith(".rego")
        }
    except (ValueError, RecursionError, AttributeError, TypeError) as err:
        raise _refused(_DATA, "bundle.json", str(err)[:200], "write strict JSON") from err
    if data or below or not isinstance(tables, dict):
        raise _refused(_DATA, "bundle.unread", "it holds more than wardline.tables", fix)
    return tables, shadow


def _refused(name: str, code: str, what: str, fix: str) -> PolicyLoadError:
    return PolicyLoadError([bundle_finding(name, code, what, fix)])
