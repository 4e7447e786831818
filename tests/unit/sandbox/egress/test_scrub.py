"""A secret is found in the forms programs print it in, wherever a stream is cut."""

from __future__ import annotations

import base64
import bz2
import copy
import gzip
import itertools
import json
import lzma
import zlib
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import SandboxUnavailableError
from sandbox.egress.scrub import CompressedWatch, Scrubber, SecretFoundError
from sandbox.egress.secrets import (
    EnvironmentSecrets,
    FileSecrets,
    MemorySecrets,
    Secret,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRETS = st.binary(min_size=8, max_size=40)
AROUND = st.binary(max_size=40)

FORMS = {
    "raw": lambda secret: secret,
    "hex": lambda secret: secret.hex().encode(),
    "HEX": lambda secret: secret.hex().upper().encode(),
    "hex-spaced": lambda secret: secret.hex(" ").encode(),
    "percent": lambda secret: quote(secret, safe="").encode(),
    "percent-plus": lambda secret: quote_plus(secret).encode(),
    "percent-all": lambda secret: b"".join(b"%%%02X" % byte for byte in secret),
    "json": lambda secret: json.dumps(secret.decode("utf-8", "surrogateescape"))[1:-1].encode(),
    "base64": base64.b64encode,
    "base64-url": base64.urlsafe_b64encode,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@given(secret=SECRETS, before=AROUND, after=AROUND)
def test_no_form_of_a_secret_is_left(
    form: Callable[[bytes], bytes], secret: bytes, before: bytes, after: bytes
) -> None:
    """At least all but the two edge characters of each form are masked, and no length changes."""
    shown = form(secret)
    core = shown.rstrip(b"=")[:-1]

    data = before + shown + after
    scrubbed = Scrubber([secret]).scrub(data)

    assert len(scrubbed) == len(data)
    assert scrubbed[len(before) : len(before) + len(core)] == b"*" * len(core)


@given(secret=SECRETS, before=AROUND, after=AROUND)
def test_a_secret_inside_of_encoded_text_is_found_at_each_alignment(
    secret: bytes, before: bytes, after: bytes
) -> None:
    """The characters of base64 that only the secret determines are masked."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(before + secret + after)
        first = (len(before) * 8 + 5) // 6
        last = (len(before) + len(secret)) * 8 // 6

        scrubbed = Scrubber([secret]).scrub(whole)

        assert set(scrubbed[first:last]) == {ord("*")}


@given(
    secrets=st.lists(SECRETS, min_size=1, max_size=3),
    pieces=st.lists(st.one_of(st.binary(max_size=30), st.integers(0, 2)), max_size=12),
    cuts=st.lists(st.integers(0, 400), max_size=10),
)
def test_a_stream_is_scrubbed_like_the_whole(
    secrets: list[bytes], pieces: list[bytes | int], cuts: list[int]
) -> None:
    """However the stream is cut into pieces, the bytes that come out are the same."""
    data = b"".join(
        secrets[piece % len(secrets)] if isinstance(piece, int) else piece for piece in pieces
    )
    scrubber = Scrubber(secrets)
    stream = scrubber.stream()

    paths = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    out = b"".join(stream.feed(data[a:b]) for a, b in itertools.pairwise(paths))

    assert out + stream.close() == scrubber.scrub(data)


@given(st.binary(max_size=300))
def test_without_a_secret_nothing_changes(data: bytes) -> None:
    stream = Scrubber([]).stream()

    assert stream.feed(data) + stream.close() == data


def test_json_is_scrubbed_in_values_and_names() -> None:
    scrubber = Scrubber([b"topsecret1"])

    assert scrubber.scrub_json(
        {"atopsecret1": ["topsecret1", 5, None, {"b": "Topsecret1!"}]}
    ) == {"a**********": ["**********", 5, None, {"b": "**********!"}]}


def test_overlapping_secrets_are_masked_together() -> None:
    assert Scrubber([b"abcabcab"]).scrub(b"xabcabcabcabx") == b"x***********x"


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret(b"topsecret1")

    assert "topsecret1" not in f"{secret} {secret!r} {[secret]}"
    with pytest.raises(TypeError):
        copy.copy(secret)


def test_a_value_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_SECRET_FORGE_MAIN", "topsecret1")

    assert EnvironmentSecrets().get("secret://forge-main").reveal() == b"topsecret1"
    with pytest.raises(SandboxUnavailableError, match="SANDBOX_SECRET_OTHER"):
        EnvironmentSecrets().get("secret://other")


def test_a_value_comes_from_a_file_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "forge"
    path.write_text("topsecret1\n")
    path.chmod(0o600)

    assert FileSecrets(tmp_path).get("secret://forge").reveal() == b"topsecret1"
    path.chmod(0o644)
    with pytest.raises(SandboxUnavailableError, match="open to others"):
        FileSecrets(tmp_path).get("secret://forge")


def test_a_folder_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "forge").mkdir(mode=0o700)

    with pytest.raises(SandboxUnavailableError, match="is none"):
        FileSecrets(tmp_path).get("secret://forge")


@pytest.mark.parametrize("handle", ["forge", "secret://", "secret://../x", "secret://a/b", ""])
def test_what_is_no_handle_is_refused(handle: str, tmp_path: Path) -> None:
    for store in (FileSecrets(tmp_path), EnvironmentSecrets(), MemorySecrets({})):
        with pytest.raises(SandboxUnavailableError):
            store.get(handle)


def test_a_value_too_short_to_scrub_is_refused() -> None:
    store = MemorySecrets({"secret://pin": b"1234"})

    with pytest.raises(SandboxUnavailableError, match="too short"):
        store.get("secret://pin")


SECRET = b"github_pat_11ABCDEFG0aaaaaaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"


@pytest.mark.parametrize(
    "line_break",
    [b"\n", b"\r\n", b"\\n", b"\\r\\n"],
    ids=["LF", "CRLF", "LF of JSON", "CRLF of JSON"],
)
@pytest.mark.parametrize("width", [1, 4, 40, 76])
@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_a_secret_with_line_breaks_in_it_is_masked(
    line_break: bytes, width: int, piece: int
) -> None:
    """As `base64` prints it, and as a JSON text holds that."""
    for form in (
        base64.b64encode(b"token " + SECRET),
        base64.urlsafe_b64encode(b"x" + SECRET),
        SECRET,
        SECRET.hex().encode(),
    ):
        lines = [form[at : at + width] for at in range(0, len(form), width)]
        text = b"before " + line_break.join(lines) + b" after"
        stream = Scrubber([SECRET]).stream()
        out = b"".join(stream.feed(text[at : at + piece]) for at in range(0, len(text), piece))
        out += stream.close()

        assert len(out) == len(text)
        assert out.startswith(b"before ")
        assert out.endswith(b" after")
        kept = out[7:-6]
        for each in (b"\r", b"\n", b"\\r", b"\\n"):
            kept = kept.replace(each, b"")
        assert kept.count(b"*") >= len(form) - 12


@pytest.mark.parametrize(
    "pack",
    [gzip.compress, zlib.compress, bz2.compress, lzma.compress],
    ids=lambda p: p.__module__,
)
@pytest.mark.parametrize("piece", [1, 1000, 1 << 20])
def test_a_compressed_body_that_holds_a_secret_is_found(
    pack: Callable[[bytes], bytes], piece: int
) -> None:
    """Whether it is said to be compressed or not; one without a secret passes unchanged."""
    noise = bytes(range(256)) * 40
    for inner, found in ((noise + SECRET + noise, True), (noise, False)):
        watch = CompressedWatch(Scrubber([SECRET]))
        data, out = pack(inner), b""
        try:
            for at in range(0, len(data), piece):
                out += watch.feed(data[at : at + piece])
            out += watch.close()
            was_found = False
        except SecretFoundError:
            was_found = True

        assert was_found is found
        assert found or out == data
