"""OPA verifies what we sign, and we verify what OPA signs."""

from __future__ import annotations

import json
import random
import subprocess
from typing import TYPE_CHECKING

import pytest
from archives import packed, signed
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from opa_server import opa_process

from permissions.pdp.bundle import load_bundle, shipped_folder
from permissions.pdp.opa import OpaPdp
from permissions.pdp.opa_bundle import opa_bundle, read_opa_bundle
from permissions.pdp.signatures import BundleKey
from permissions.signing.keys import memory_signer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.opa
SIGNER = memory_signer(b"b" * 32)


def opa(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["opa", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def verified(folder: Path, archive: bytes) -> bool:
    """Whether OPA takes an archive as signed by SIGNER."""
    (folder / "ours.tar.gz").write_bytes(archive)
    private = serialization.load_pem_private_key(SIGNER.pem(), None)
    (folder / "key.pub").write_bytes(public_pem(private))
    said = opa(
        folder,
        *("build", "-b", "ours.tar.gz", "-o", "again.tar.gz"),
        *("--verification-key", "key.pub", "--signing-alg", "EdDSA"),
    )
    return said.returncode == 0


def public_pem(private: object) -> bytes:
    return private.public_key().public_bytes(  # type: ignore[attr-defined, no-any-return]
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def test_opa_verifies_ours(tmp_path: Path) -> None:
    archive = opa_bundle(load_bundle(), sequence=7, signer=SIGNER)

    assert verified(tmp_path, archive)
    assert not verified(tmp_path, opa_bundle(load_bundle(), signer=memory_signer()))


async def test_a_server_that_verifies_ours_decides_for_the_broker(tmp_path: Path) -> None:
    bundle = load_bundle()
    assert verified(tmp_path, opa_bundle(bundle, signer=SIGNER))
    keys = ["--verification-key", "key.pub", "--signing-alg", "EdDSA"]

    with opa_process(["--bundle", "ours.tar.gz", *keys], tmp_path) as url:
        async with OpaPdp(bundle, url=url, deadline_seconds=20) as pdp:
            assert pdp.revision == bundle.revision


def test_digests_of_odd_json_are_opas(tmp_path: Path) -> None:
    """Each text and number has to be hashed as Go's encoder writes it."""
    chance = random.Random(7)  # noqa: S311 - odd characters
    odd = ["\u2028\u2029", "<>&", "\x00\x01\x1f\x7f\b\f\n\r\t", '"\\/', "é🎉\ufffd\uffff", "ｱ𐀀"]
    odd += ["".join(chance.choices([chr(c) for c in range(0x500)], k=30)) for _ in range(20)]
    numbers = "[0,-0,1.0,1e3,1E+3,1.50,123456789012345678901234567890,0.1,-1e-7]"
    texts = {text: [text, {text: None, "a": True}] for text in odd}
    tables = f'{{"wardline":{{"tables":{{"t":{json.dumps(texts)},"n":{numbers}}}}}}}'
    files = {
        ".manifest": b'{"roots":["wardline"],"metadata":{"x":[1.0,{}]}}',
        "data.json": tables.encode(),
        "main/main.rego": b"package wardline.main\n\nresponse := 1\n",
    }

    assert verified(tmp_path, packed(signed(files, SIGNER)))


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256", "PS512", "ES256", "ES384"])
def test_ours_verifies_opas(tmp_path: Path, algorithm: str) -> None:
    policies = tmp_path / "policies"
    policies.mkdir()
    for name in ("main", "joined", "lib", "contract"):
        folder = policies / name
        folder.mkdir()
        for file in (shipped_folder() / name).glob("*.rego"):
            (folder / file.name).write_text(file.read_text())
    tables = {"approval": json.loads((shipped_folder() / "data/approval.json").read_text())}
    (policies / "data.json").write_text(json.dumps({"wardline": {"tables": tables}}))
    meta = {"roots": ["wardline"], "metadata": {"wardline": {"sequence": 3}}}
    (policies / ".manifest").write_text(json.dumps(meta))
    kinds = {"Ed": Ed25519PrivateKey.generate, "ES": lambda: ec.generate_private_key(curve)}
    curve = ec.SECP384R1() if algorithm == "ES384" else ec.SECP256R1()
    private = kinds.get(algorithm[:2], lambda: rsa.generate_private_key(65537, 2048))()
    (tmp_path / "key.pem").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (tmp_path / "key.pub").write_bytes(public_pem(private))

    signing = ["--signing-alg", algorithm, "--signing-key", "../key.pem"]
    built = opa(policies, "build", "-b", ".", "-o", "../theirs.tar.gz", *signing)

    assert built.returncode == 0, built.stderr
    key = BundleKey.read(tmp_path / "key.pub")
    read = read_opa_bundle((tmp_path / "theirs.tar.gz").read_bytes(), [key])
    assert (read.sequence, read.signed_by) == (3, key.name)
    assert set(read.bundle.modules) == {
        f"{n}/{n}.rego" for n in ("main", "joined", "lib", "contract")
    }
    assert read.bundle.data == {"wardline": {"tables": tables}}
