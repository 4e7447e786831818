"""A secret is found in the forms programs print it in, wherever a stream is cut."""

from __future__ import annotations

import base64
import copy
import itertools
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import SandboxUnavailableError
from sandbox.egress.scrub import Scrubber
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
