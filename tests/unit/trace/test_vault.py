"""Sealed contents: what opens them, what does not, and what the log gives away."""

from __future__ import annotations

import base64
import hmac
import os
from typing import TYPE_CHECKING

import orjson
import pytest
from logs import seeded

from permissions.errors import SigningError, TraceError, TraceIntegrityError
from permissions.trace import sealing
from permissions.trace.key_lines import KEYS_FILE, destroy_keys
from permissions.trace.sealing import NONCE_BYTES, Box, RunKey, padded
from permissions.trace.vault import (
    ErasedError,
    Vault,
    VaultReader,
    bound_to,
    line_digest,
    load_kek,
    make_kek,
)

if TYPE_CHECKING:
    from pathlib import Path

KEK = bytes(range(32))
WHERE = {"origin": "o", "run": "r", "path": "intent/arguments"}


def sealed_in(directory: Path, data: bytes = b"secret") -> bytes:
    vault = Vault(KEK, random=seeded())
    content = vault.seal(data, **WHERE)
    (directory / KEYS_FILE).write_bytes(vault.take_fresh_keys())
    return content.line


@pytest.mark.parametrize(
    "data", [b"", b"secret", b"long " * 5000, bytes(range(256)) * 40], ids=len
)
def test_a_content_opens_where_it_was_sealed(tmp_path: Path, data: bytes):
    line = sealed_in(tmp_path, data)

    assert VaultReader(tmp_path, KEK).open(line, **WHERE) == data
    assert b"secret" not in line


def test_a_long_text_is_sealed_small_and_only_its_size_class_shows(tmp_path: Path):
    one, other = (sealed_in(tmp_path, b"x " * length) for length in (4000, 4400))

    assert len(one) == len(other) < 200


@pytest.mark.parametrize("changed", ["origin", "run", "path"])
def test_a_content_does_not_open_elsewhere(tmp_path: Path, changed: str):
    line = sealed_in(tmp_path)
    elsewhere = {**WHERE, changed: "else/arguments"}

    with pytest.raises(TraceError) as refused:
        VaultReader(tmp_path, KEK).open(line, **elsewhere)

    assert isinstance(refused.value, TraceIntegrityError) == (changed != "run")


def test_each_seal_is_another_one():
    """Equal contents cannot be told to be equal."""
    vault = Vault(KEK)

    one, two = vault.seal(b"yes", **WHERE), vault.seal(b"yes", **WHERE)

    assert one.digest != two.digest
    assert one.line != two.line


def test_what_was_sealed_ahead_counts_once_for_the_very_same(tmp_path: Path):
    vault = Vault(KEK, random=seeded())
    data = b"secret of a call"
    vault.tag("r", "args", b"")
    ahead = vault.seal_ahead(data, **WHERE)
    assert ahead is not None

    one, two = (vault.seal(data, **WHERE, ahead=ahead) for _ in range(2))

    (tmp_path / KEYS_FILE).write_bytes(vault.take_fresh_keys())
    opened = [VaultReader(tmp_path, KEK).open(each.line, **WHERE) for each in (one, two)]
    assert opened == [data, data]
    nonces = [
        base64.b64decode(orjson.loads(each.line)["content"])[:NONCE_BYTES]
        for each in (one, two)
    ]
    assert nonces[0] != nonces[1]


@pytest.mark.parametrize("changed", ["data", "origin", "run", "path", "key", "same key"])
def test_what_was_sealed_ahead_counts_for_nothing_else(tmp_path: Path, changed: str):
    """Also for bytes that are equal: who put others there need not have changed them."""
    keys = tmp_path / KEYS_FILE
    vault = Vault(KEK, keys=keys, random=seeded())
    data, where = b"secret of a call", dict(WHERE)
    for run in ("r", "else"):
        vault.tag(run, "args", b"")
    keys.write_bytes(vault.take_fresh_keys())
    ahead = vault.seal_ahead(data, **where)
    assert ahead is not None
    match changed:
        case "data":
            data = bytes(bytearray(data))
        case "key":
            vault.forget("r")
        case "same key":
            vault.forget("r")
            vault.resume("r")
        case _:
            where[changed] = "else" if changed != "path" else "denied/arguments"

    sealed = vault.seal(data, **where, ahead=ahead)

    with keys.open("ab") as file:
        file.write(vault.take_fresh_keys())
    assert VaultReader(tmp_path, KEK).open(sealed.line, **where) == data
    assert ahead._sealed is not None


def test_nothing_is_sealed_ahead_under_a_key_that_nothing_is_recorded_under():
    vault = Vault(KEK)

    assert vault.seal_ahead(b"", **WHERE) is None
    assert vault.take_fresh_keys() == b""
    vault.tag("r", "args", b"")
    assert vault.seal_ahead(b"", **WHERE) is not None
    assert vault.seal_ahead(b"", origin="o", run="r", path="any/envelope_0") is None


def test_one_content_is_disclosed_by_its_own_key_and_no_other_with_it():
    run, bound = RunKey(bytes(32)), bound_to("o", "r", "intent/arguments")
    nonces = [bytes([number]) * NONCE_BYTES for number in (1, 2)]
    one, other = (Box.parse(run.seal(b"pay 5", nonce=each, bound=bound)) for each in nonces)

    disclosed = run.content_key(one.nonce)

    assert one.is_of(disclosed)
    assert one.open(disclosed, bound) == b"pay 5"
    assert not other.is_of(disclosed)
    with pytest.raises(TraceIntegrityError):
        other.open(disclosed, bound)


def test_tags_are_equal_in_one_run_under_one_name_and_nowhere_else():
    vault = Vault(KEK)

    tag = vault.tag("r", "args", b"{}")

    assert vault.tag("r", "args", b"{}") == tag
    others = {vault.tag("s", "args", b"{}"), vault.tag("r", "key", b"{}")}
    assert tag not in others | {
        vault.tag("r", "args", b"[]"),
        Vault(KEK).tag("r", "args", b"{}"),
    }


def test_contents_of_another_kind_have_another_key(tmp_path: Path):
    """Or erasing one kind would not reach what was sealed under another's."""
    vault = Vault(KEK, random=seeded())
    bounds = {
        kind: {**WHERE, "path": f"outcome/{name}"}
        for kind, name in {"arguments": "arguments", "results": "stdout"}.items()
    }
    lines = {kind: vault.seal(b"secret", **where).line for kind, where in bounds.items()}
    keys = vault.take_fresh_keys().splitlines(keepends=True)
    for kind, line in lines.items():
        kept = [key for key in keys if orjson.loads(key)["kind"] != kind]
        (tmp_path / KEYS_FILE).write_bytes(b"".join(kept))
        reader = VaultReader(tmp_path, KEK)
        with pytest.raises(ErasedError, match=f"erased: the key of run 'r' for {kind}"):
            reader.open(line, **bounds[kind])
        (other,) = lines.keys() - {kind}
        assert reader.open(lines[other], **bounds[other]) == b"secret"
        assert reader.tags("r", "args", b"{}") == (
            [] if kind == "arguments" else [vault.tag("r", "args", b"{}")]
        )


def test_a_plain_call_costs_one_write_of_keys_and_other_kinds_one_of_theirs():
    vault = Vault(KEK)

    def seal(run: str, name: str) -> list[str]:
        vault.seal(b"", origin="o", run=run, path=f"any/{name}")
        return [orjson.loads(line)["kind"] for line in vault.take_fresh_keys().splitlines()]

    assert seal("r", "prompt") == ["arguments", "decisions", "results", "prompts"]
    assert seal("r", "input") == seal("r", "stderr") == []
    assert seal("r", "envelope_1") == ["approvals"]
    assert seal("r", "shown") == []
    assert seal("", "reason") == ["other"]
    assert seal("", "statement") == []


def test_a_run_that_goes_on_keeps_its_key_as_long_as_that_is_there(tmp_path: Path):
    keys = tmp_path / KEYS_FILE
    first = Vault(KEK, keys=keys)
    tags = {run: first.tag(run, "args", b"{}") for run in ("r", "r2", 'r"\n')}
    keys.write_bytes(first.take_fresh_keys())

    again = Vault(KEK, keys=keys)
    for run, tag in tags.items():
        again.resume(run)
        assert again.tag(run, "args", b"{}") == tag
    assert again.take_fresh_keys() == b""
    erased = Vault(KEK, keys=keys)
    destroy_keys(tmp_path, {"r"}, ["arguments"])
    erased.resume("r")

    assert erased.tag("r", "args", b"{}") != tags["r"]
    assert erased.take_fresh_keys().count(b"\n") == 1


def test_an_erased_key_and_another_kek_are_told_from_tampering(tmp_path: Path):
    line = sealed_in(tmp_path)

    with pytest.raises(TraceError, match="another vault key") as other:
        VaultReader(tmp_path, bytes(32)).open(line, **WHERE)
    (tmp_path / KEYS_FILE).unlink()
    with pytest.raises(TraceError, match="is not there") as erased:
        VaultReader(tmp_path, KEK).open(line, **WHERE)

    assert not isinstance(other.value, TraceIntegrityError)
    assert not isinstance(erased.value, TraceIntegrityError)


def test_an_altered_wrapped_key_is_tampering(tmp_path: Path):
    line = sealed_in(tmp_path)
    key = orjson.loads((tmp_path / KEYS_FILE).read_bytes().splitlines()[0])
    wrapped = bytearray(base64.b64decode(key["wrapped"]))
    wrapped[3] ^= 1
    key["wrapped"] = base64.b64encode(wrapped).decode()
    (tmp_path / KEYS_FILE).write_bytes(orjson.dumps(key, option=orjson.OPT_SORT_KEYS) + b"\n")

    with pytest.raises(TraceIntegrityError, match="altered"):
        VaultReader(tmp_path, KEK).open(line, **WHERE)


def test_a_torn_line_of_the_keys_file_hides_no_other(tmp_path: Path):
    line = sealed_in(tmp_path)
    path = tmp_path / KEYS_FILE
    path.write_bytes(path.read_bytes() + b'{"kek":"aa","key":"bb","r')

    assert VaultReader(tmp_path, KEK).open(line, **WHERE) == b"secret"


@pytest.mark.parametrize(
    "line", [b"", b"{}", b'{"content":1}', b'{"content":"*"}', b'{"content":"AAAA"}']
)
def test_a_malformed_sealed_line_is_refused(tmp_path: Path, line: bytes):
    sealed_in(tmp_path)

    with pytest.raises(TraceIntegrityError):
        VaultReader(tmp_path, KEK).open(line, **WHERE)


@pytest.mark.parametrize("bit", range(0, 8 * 128, 37))
def test_a_flipped_bit_of_a_box_is_found(tmp_path: Path, bit: int):
    raw = bytearray(base64.b64decode(orjson.loads(sealed_in(tmp_path))["content"]))
    raw[bit // 8] ^= 1 << bit % 8
    line = orjson.dumps({"content": base64.b64encode(raw).decode()})

    with pytest.raises(TraceError):
        VaultReader(tmp_path, KEK).open(line, **WHERE)


@pytest.mark.parametrize(
    ("length", "whole"),
    [(0, 64), (64, 64), (65, 72), (128, 128), (129, 144), (1025, 1088), (70_000, 71_680)],
)
def test_lengths_are_rounded_up_by_an_eighth_at_most(length: int, whole: int):
    assert padded(length) == whole
    assert padded(whole) == whole


def test_a_digest_is_of_the_whole_line():
    assert line_digest(b"") == "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


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


@pytest.mark.parametrize("length", [0, 1, 31, 63, 64, 65, 500])
def test_the_written_out_hmac_is_the_library_s(length: int) -> None:
    """Two copies of hashes cost half of what `hmac.digest` does."""
    key, data = os.urandom(32), os.urandom(length)
    mac = sealing._Hmac(key)

    assert [mac.digest(data), mac.digest(data)] == [hmac.digest(key, data, "sha256")] * 2
