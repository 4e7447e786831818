"""Sealed contents: what opens them, what does not, and what the log gives away."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
import pytest
from logs import seeded

from permissions.errors import SigningError, TraceError, TraceIntegrityError
from permissions.trace.vault import (
    KEYS_FILE,
    Vault,
    VaultReader,
    commit,
    load_kek,
    make_kek,
    size_bucket,
)

if TYPE_CHECKING:
    from pathlib import Path

KEK = bytes(range(32))
WHERE = {"origin": "o", "run": "r", "path": "intent/arguments"}


def sealed_in(directory: Path, data: bytes = b"secret") -> tuple[bytes, str]:
    vault = Vault(KEK, random=seeded())
    content = vault.seal(data, **WHERE)
    (directory / KEYS_FILE).write_bytes(vault.take_fresh_keys())
    return content.line, str(content.facts["commitment"])


def test_a_content_opens_where_it_was_sealed(tmp_path: Path):
    line, commitment = sealed_in(tmp_path)

    assert VaultReader(tmp_path, KEK).open(line, **WHERE, commitment=commitment) == b"secret"
    assert b"secret" not in line


@pytest.mark.parametrize("changed", ["origin", "run", "path"])
def test_a_content_does_not_open_elsewhere(tmp_path: Path, changed: str):
    line, commitment = sealed_in(tmp_path)

    with pytest.raises(TraceIntegrityError, match="does not open"):
        VaultReader(tmp_path, KEK).open(
            line, **{**WHERE, changed: "else/where"}, commitment=commitment
        )


def test_a_content_that_was_not_committed_to_is_refused(tmp_path: Path):
    line, _ = sealed_in(tmp_path)

    with pytest.raises(TraceIntegrityError, match="not what was committed to"):
        VaultReader(tmp_path, KEK).open(line, **WHERE, commitment="0" * 64)


def test_each_seal_has_its_own_salt_and_commitment():
    """Equal contents cannot be told to be equal."""
    vault = Vault(KEK)

    one, two = vault.seal(b"yes", **WHERE), vault.seal(b"yes", **WHERE)

    assert one.facts["commitment"] != two.facts["commitment"]
    assert one.line != two.line


def test_a_run_keeps_its_key_until_it_is_forgotten():
    vault = Vault(KEK)

    def key_of(run: str) -> str:
        return str(orjson.loads(vault.seal(b"", origin="o", run=run, path="a/b").line)["key"])

    first = key_of("r")
    assert key_of("r") == first != key_of("s")
    assert vault.take_fresh_keys().count(b"\n") == 2
    vault.forget("r")
    assert key_of("r") != first


def test_an_erased_key_and_another_kek_are_told_from_tampering(tmp_path: Path):
    line, commitment = sealed_in(tmp_path)

    with pytest.raises(TraceError, match="another vault key") as other:
        VaultReader(tmp_path, bytes(32)).open(line, **WHERE, commitment=commitment)
    (tmp_path / KEYS_FILE).unlink()
    with pytest.raises(TraceError, match="is not there") as erased:
        VaultReader(tmp_path, KEK).open(line, **WHERE, commitment=commitment)

    assert not isinstance(other.value, TraceIntegrityError)
    assert not isinstance(erased.value, TraceIntegrityError)


def test_an_altered_wrapped_key_is_tampering(tmp_path: Path):
    line, commitment = sealed_in(tmp_path)
    key = orjson.loads((tmp_path / KEYS_FILE).read_bytes())
    wrapped = bytearray(base64.b64decode(key["wrapped"]))
    wrapped[3] ^= 1
    key["wrapped"] = base64.b64encode(wrapped).decode()
    (tmp_path / KEYS_FILE).write_bytes(orjson.dumps(key, option=orjson.OPT_SORT_KEYS) + b"\n")

    with pytest.raises(TraceIntegrityError, match="altered"):
        VaultReader(tmp_path, KEK).open(line, **WHERE, commitment=commitment)


def test_a_torn_line_of_the_keys_file_hides_no_other(tmp_path: Path):
    line, commitment = sealed_in(tmp_path)
    path = tmp_path / KEYS_FILE
    path.write_bytes(path.read_bytes() + b'{"kek":"aa","key":"bb","r')

    assert VaultReader(tmp_path, KEK).open(line, **WHERE, commitment=commitment) == b"secret"


@pytest.mark.parametrize(
    "line", [b"", b"{}", b'{"key":1,"sealed":2}', b'{"key":"a","sealed":"*"}']
)
def test_a_malformed_sealed_line_is_refused(tmp_path: Path, line: bytes):
    sealed_in(tmp_path)

    with pytest.raises(TraceIntegrityError):
        VaultReader(tmp_path, KEK).open(line, **WHERE, commitment="0" * 64)


@dataclass(frozen=True)
class Case:
    length: int
    bucket: int


@pytest.mark.parametrize(
    "case",
    [Case(0, 64), Case(1, 64), Case(64, 64), Case(65, 128), Case(1024, 1024), Case(1025, 2048)],
    ids=str,
)
def test_only_the_size_class_shows(case: Case):
    assert size_bucket(case.length) == case.bucket


def test_a_commitment_is_bound_to_its_path():
    """Where a path ends and the bytes begin cannot be moved."""
    salt = bytes(32)

    assert commit(salt, "a/b", b"c") != commit(salt, "a/bc", b"")
    assert commit(salt, "a/b", b"c") != commit(salt, "a/c", b"c")


def test_the_kek_is_made_once_and_kept_to_its_owner(tmp_path: Path):
    path = tmp_path / "keys" / "vault.key"

    with pytest.raises(SigningError, match="cannot be read"):
        load_kek(path)
    make_kek(path)
    made = load_kek(path)
    make_kek(path)

    assert load_kek(path) == made
    assert [each.name for each in path.parent.iterdir()] == ["vault.key"]
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(SigningError, match="chmod 600"):
        load_kek(path)


def test_a_kek_of_another_length_is_refused(tmp_path: Path):
    path = tmp_path / "vault.key"
    path.write_bytes(b"short")
    path.chmod(0o600)

    with pytest.raises(SigningError, match="not 32 bytes"):
        load_kek(path)
