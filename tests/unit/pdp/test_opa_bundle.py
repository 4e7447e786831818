"""An archive is read whole and as it was signed, or not at all."""

from __future__ import annotations

import base64
import gzip
import json
import tarfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from archives import FILES, MAIN, bomb, cut, packed, signed
from hypothesis import given, settings
from hypothesis import strategies as st
from json_values import json_values

from permissions.errors import PolicyLoadError, SigningError
from permissions.pdp.archive import MAX_FILES, read_archive
from permissions.pdp.bundle import PolicyBundle
from permissions.pdp.opa_bundle import opa_bundle, read_opa_bundle
from permissions.pdp.signatures import SIGNATURES, BundleKey, file_digest
from permissions.signing.keys import memory_signer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from permissions.signing.keys import Signer

SIGNER, OTHER = memory_signer(b"1" * 32), memory_signer(b"2" * 32)


def key_of(signer: Signer, folder: Path) -> BundleKey:
    path = folder / f"{signer.keyid[:8]}.pub"
    path.write_text(str(signer.public))
    return BundleKey.read(path)


@pytest.fixture
def key(tmp_path: Path) -> BundleKey:
    return key_of(SIGNER, tmp_path)


def refusal(archive: bytes, *keys: BundleKey) -> set[str]:
    with pytest.raises(PolicyLoadError) as refused:
        read_opa_bundle(archive, keys)
    return {finding.split(": ")[1] for finding in refused.value.findings}


def member(name: str, kind: bytes, **more: Any) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    for what, value in more.items():
        setattr(made, what, value)
    return made


def test_what_was_built_is_what_is_read(key: BundleKey) -> None:
    tables = {"wardline": {"tables": {"hosts": {"é\u2028<": [1, 2.5, None]}}}}
    bundle = PolicyBundle.of({"main/main.rego": MAIN.decode()}, tables)
    archive = opa_bundle(bundle, sequence=7, signer=SIGNER)

    read = read_opa_bundle(archive, [key])

    assert read.bundle == bundle
    assert (read.sequence, read.signed_by) == (7, key.name)
    assert archive == opa_bundle(bundle, sequence=7, signer=SIGNER)
    assert archive != opa_bundle(bundle, sequence=8, signer=SIGNER)


def test_tests_are_kept_apart_and_tables_are_checked() -> None:
    read = read_opa_bundle(packed(FILES))

    assert set(read.bundle.modules) == {"main/main.rego"}
    assert set(read.bundle.tests) == {"main/main_test.rego"}
    assert read.bundle.data == {"wardline": {"tables": {"hosts": {"open": ["a.example"]}}}}
    assert (read.sequence, read.signed_by) == (None, None)
    odd = {**FILES, "data.json": b'{"wardline":{"tables":{"shell":{"x":1}}}}'}
    assert refusal(packed(odd)) == {"bundle.table"}


def test_unsigned_and_signed_by_another(key: BundleKey, tmp_path: Path) -> None:
    by_other = packed(signed(FILES, OTHER))

    assert refusal(packed(FILES), key) == {"bundle.unsigned"}
    assert refusal(by_other, key) == {"bundle.signature"}
    assert refusal(by_other) == {"bundle.key"}
    assert read_opa_bundle(by_other, [key, key_of(OTHER, tmp_path)]).signed_by != key.name


TAMPERED: dict[str, tuple[Callable[[dict[str, bytes]], Any], str]] = {
    "a byte": (lambda f: f.update({"main/main.rego": f["main/main.rego"] + b" "}), "tampered"),
    "a table": (
        lambda f: f.update({"data.json": f["data.json"].replace(b"a.example", b"b.example")}),
        "tampered",
    ),
    "the manifest": (lambda f: f.update({".manifest": b'{"revision":"eight"}'}), "tampered"),
    "a file more": (lambda f: f.update({"x/x.rego": b"package wardline.x"}), "files"),
    "a file less": (lambda f: f.pop("main/main_test.rego"), "files"),
    "another name": (
        lambda f: f.update({"main/new.rego": f.pop("main/main_test.rego")}),
        "files",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_changed_after_it_was_signed(key: BundleKey, what: str) -> None:
    files = signed(FILES, SIGNER)
    change, code = TAMPERED[what]
    change(files)

    assert refusal(packed(files), key) == {f"bundle.{code}"}


def test_white_space_in_json_may_change_as_in_opa(key: BundleKey) -> None:
    files = signed(FILES, SIGNER)
    files["data.json"] = files["data.json"].replace(b":", b" : ")

    assert read_opa_bundle(packed(files), [key]).signed_by == key.name


def token(header: dict[str, Any], payload: Any, signature: bytes = b"") -> bytes:
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    joined = b".".join(base64.urlsafe_b64encode(each).rstrip(b"=") for each in parts)
    return json.dumps({"signatures": [joined.decode()]}).encode()


FORGED = {
    "no algorithm": token({"alg": "none"}, {"files": []}),
    "a shared secret": token({"alg": "HS256", "typ": "JWT"}, {"files": []}, b"x" * 32),
    "no token": b'{"signatures":[]}',
    "two tokens": b'{"signatures":["a.b.c","a.b.c"]}',
    "no json": b"signed, honestly",
    "a plugin": b'{"signatures":["a.b.c"],"plugin":"mine"}',
    "nested": b"[" * 100_000,
}


@pytest.mark.parametrize("what", FORGED)
def test_no_signature_at_all(key: BundleKey, what: str) -> None:
    assert refusal(packed({**FILES, SIGNATURES: FORGED[what]}), key) == {"bundle.signature"}


def test_a_signature_for_another_purpose(key: BundleKey) -> None:
    payload = {"files": [], "scope": "write"}
    parts = [json.dumps(each).encode() for each in ({"alg": "EdDSA"}, payload)]
    head = b".".join(base64.urlsafe_b64encode(each).rstrip(b"=") for each in parts)
    by = base64.urlsafe_b64encode(SIGNER.sign(head)).rstrip(b"=")
    scoped = json.dumps({"signatures": [f"{head.decode()}.{by.decode()}"]}).encode()

    assert refusal(packed({**FILES, SIGNATURES: scoped}), key) == {"bundle.signature"}


NAMES = ("../x.rego", "a/../../x.rego", "//x.rego", "a\\x.rego", "./../x.rego", "a//x.rego")


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_out(name: str) -> None:
    assert refusal(packed({**FILES, name: b"package x"})) == {"bundle.path"}


def test_members_that_are_no_plain_files() -> None:
    odd = [
        member("main/link.rego", tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("main/hard.rego", tarfile.LNKTYPE, linkname="main/main.rego"),
        member("main/fifo.rego", tarfile.FIFOTYPE),
        member("main/null.rego", tarfile.CHRTYPE),
    ]
    for each in odd:
        assert refusal(packed(FILES, [each])) == {"bundle.archive"}
    folder = member("main", tarfile.DIRTYPE)
    assert read_opa_bundle(packed(FILES, [folder])).bundle.modules


def test_a_name_twice() -> None:
    assert refusal(packed(FILES, [tarfile.TarInfo("main/main.rego")])) == {"bundle.archive"}
    assert refusal(packed(FILES, [tarfile.TarInfo("/main/main.rego")])) == {"bundle.archive"}


def test_bombs() -> None:
    many = [tarfile.TarInfo(f"a/{number}.rego") for number in range(MAX_FILES + 1)]

    assert refusal(bomb(49 * 1024 * 1024)) == {"bundle.size"}
    assert refusal(packed({}, many)) == {"bundle.size"}
    assert refusal(bytes(20 * 1024 * 1024)) == {"bundle.size"}
    large = {**FILES, "main/main.rego": b"#" * 300_000}
    assert refusal(packed(large)) == {"bundle.size"}


def test_broken_archives() -> None:
    whole = packed(FILES)
    raw = gzip.decompress(whole)
    torn = gzip.compress(raw[:1024] + b"\xff" * 512 + raw[1536:])

    for archive in (b"", b"PK", whole[:-9], whole + b"x", whole + whole, cut(whole), torn):
        assert refusal(archive) == {"bundle.archive"}


@given(st.binary(max_size=64), st.integers(0, 2000))
@settings(max_examples=60)
def test_no_byte_of_an_archive_raises_anything_else(more: bytes, at: int) -> None:
    raw = bytearray(gzip.decompress(packed(FILES)))
    raw[at : at + len(more)] = more
    with suppress(PolicyLoadError):
        read_archive(gzip.compress(bytes(raw), 1))


ODD: dict[str, tuple[dict[str, bytes], str]] = {
    "a wasm module": ({"policy.wasm": b"\0asm"}, "unread"),
    "data in yaml": ({"x/data.yaml": b"a: 1"}, "unread"),
    "data of others": ({"data.json": b'{"mine":1}'}, "unread"),
    "no tables": ({"data.json": b'{"wardline":{"tables":[]}}'}, "unread"),
    "a list": ({"data.json": b"[]"}, "json"),
    "a key twice": ({"data.json": b'{"wardline":{},"wardline":{}}'}, "json"),
    "another language": ({".manifest": b'{"rego_version":0}'}, "manifest"),
    "other roots": ({".manifest": b'{"roots":["mine"]}'}, "manifest"),
    "no manifest": ({".manifest": b"!"}, "manifest"),
    "a sequence of no form": (
        {".manifest": b'{"metadata":{"wardline":{"sequence":"7"}}}'},
        "manifest",
    ),
    "another revision": ({".manifest": b'{"revision":"sha256:00"}'}, "altered"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_no_part_of_policies(what: str) -> None:
    files, code = ODD[what]

    assert refusal(packed({**FILES, **files})) == {f"bundle.{code}"}


def test_policies_that_stand_in_a_folder_of_the_archive() -> None:
    moved = {f"policies/{name}": text for name, text in FILES.items() if "rego" in name}

    assert refusal(packed({**moved, ".manifest": FILES[".manifest"]})) == {"bundle.layout"}


def test_keys_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "k"
    for text in ("", "AAAA", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"):
        file.write_text(text)
        with pytest.raises(SigningError):
            BundleKey.read(file)
    file.write_bytes(SIGNER.pem())
    with pytest.raises(SigningError, match="public half"):
        BundleKey.read(file)


@given(st.dictionaries(st.text(max_size=4), json_values(), max_size=4))
@settings(max_examples=25)
def test_the_digest_of_json_does_not_depend_on_its_form(document: dict[str, Any]) -> None:
    compact = json.dumps(document, ensure_ascii=False).encode()
    wide = json.dumps(dict(reversed(document.items())), indent=3).encode()

    assert file_digest("a/data.json", compact) == file_digest("data.json", wide)
