"""A policy bundle in the form an OPA server loads (OPA "Bundle File Format").

The archive holds the modules and data of one `PolicyBundle` and a manifest whose `revision`
is the bundle's digest, so every answer of the server says under which policies it was made.
The manifest claims the root `wardline`: the server then refuses to change anything below it
through its REST API.

Not protected from: a manifest is a claim, not a proof. `permissions.pdp.opa` compares the
content itself when it starts.
"""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from permissions.pdp.bundle import load_bundle
from permissions.pdp.linker.linked import link
from permissions.signing.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.pdp.bundle import PolicyBundle

ROOT = "wardline"
"""Everything under `data.wardline` belongs to the bundle; other packages may live beside it."""


def opa_bundle(bundle: PolicyBundle) -> bytes:
    """The bundle as a gzipped tar archive: the same bytes for the same bundle, always.

    It holds what the linker composed of the bundle (`permissions.pdp.linker`) beside its own
    modules; `OpaPdp` asks for that.

    Raises:
        SigningError: the data has no canonical form.
    """
    manifest = {"revision": bundle.revision, "roots": [ROOT], "rego_version": 1}
    files = {
        "/.manifest": canonical(manifest),
        "/data.json": canonical(bundle.data),
        **{f"/{path}": text.encode() for path, text in sorted(link(bundle).modules.items())},
    }
    archive = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=archive, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def main(arguments: Sequence[str]) -> int:
    """`python -m permissions.pdp.opa_bundle OUTPUT [OVERLAY]`: writes the archive.

    Returns:
        The exit code: 0 when it was written, 2 when it was called otherwise.
    """
    if len(arguments) not in {1, 2}:
        sys.stderr.write("usage: python -m permissions.pdp.opa_bundle OUTPUT [OVERLAY]\n")
        return 2
    bundle = load_bundle(overlay=Path(arguments[1]) if len(arguments) == 2 else None)
    Path(arguments[0]).write_bytes(opa_bundle(bundle))
    sys.stdout.write(f"{bundle.revision}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
