"""What must hold of every trace, whatever is in it."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import rfc8785
from effort import tries
from hypothesis import example, given, settings
from hypothesis import strategies as st
from json_values import json_values
from logs import CONFIG, KEK, NAME, SIGNER, seeded, ticking, tree_root, write_log
from pymerkle import InmemoryTree
from said_twice import applied

from permissions.errors import TraceError
from permissions.signing.canonical import MAX_INTEGER
from permissions.trace import codec
from permissions.trace.entry import TraceEntry
from permissions.trace.log import open_log
from permissions.trace.merkle import Frontier, leaf_hash
from permissions.trace.patch import difference, patched
from permissions.trace.reader import read_entries
from permissions.trace.store import segment_path
from permissions.trace.vault import VaultReader
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

names = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
values = json_values(st.none() | st.booleans() | integers | texts, names=names)
documents = st.dictionaries(names, values, max_size=8)


@given(documents)
def test_a_line_is_its_rfc_8785_form_and_reads_back(document: dict[str, object]):
    line = codec.encode(document)

    assert line == rfc8785.dumps(document)
    assert codec.decode(line) == document


inputs = st.dictionaries(
    st.sampled_from(["a", "b", "c/d", "e~f", ""]),
    json_values(st.none() | st.booleans() | integers),
)


@given(inputs, inputs)
def test_a_patch_makes_the_later_input_of_the_first(old: dict[str, Any], new: dict[str, Any]):
    before = json.dumps(old, sort_keys=True)
    patch = difference(old, new)

    assert json.dumps(patched(old, patch), sort_keys=True) == json.dumps(new, sort_keys=True)
    assert json.dumps(old, sort_keys=True) == before
    assert (patch == []) == (before == json.dumps(new, sort_keys=True))
    assert applied(json.loads(before), patch) == new


@given(st.binary(max_size=60))
@example(b'{"a":1.5}')
@example(b'{"a":1e5}')
@example(b'{"a":9007199254740992}')
@example(b'{"a":-9007199254740992}')
@example(b'{"a":1,"a":1}')
@example(b'{"b":1,"a":1}')
@example(b'{"a":"\\u0041"}')
@example(b'{"a":"\\ud800"}')
@example(b'{"\xc3\xa9":1}')
@example(b'{"a": 1}')
@example(b'{"a":-0}')
@example(b'{"a":NaN}')
@example(b"[1]")
@example(b'{"a":1}\n')
def test_what_reads_is_what_would_be_written(line: bytes):
    """The reader accepts nothing that the writer could not have written."""
    try:
        document = codec.decode(line)
    except TraceError:
        return

    assert codec.encode(document) == line == rfc8785.dumps(document)


@given(st.integers(0, 200))
def test_roots_agree_with_the_definition_and_another_implementation(size: int):
    entries = [b"%d" % number for number in range(size)]
    leaves = [leaf_hash(entry) for entry in entries]
    frontier, other = Frontier(), InmemoryTree(algorithm="sha256")
    for entry, leaf in zip(entries, leaves, strict=True):
        frontier.append(leaf)
        other.append_entry(entry)

    assert frontier.root() == tree_root(leaves) == other.get_root()


@functools.cache
def _log() -> Path:
    """One log for all examples; each works on a copy of its only segment."""
    directory = Path(tempfile.mkdtemp(prefix="trace-"))
    write_log(directory)
    return directory


@pytest.fixture(autouse=True, scope="module")
def _cleaned() -> Iterator[None]:
    yield
    shutil.rmtree(_log(), ignore_errors=True)
    _log.cache_clear()


@given(st.integers(min_value=0))
def test_one_flipped_bit_anywhere_is_found(bit: int):
    data = bytearray(segment_path(_log(), 0).read_bytes())
    path = bit % (len(data) * 8)
    data[path // 8] ^= 1 << path % 8

    with tempfile.TemporaryDirectory(prefix="trace-") as copy:
        segment_path(Path(copy), 0).write_bytes(data)
        report = verify_trace(Path(copy), key=SIGNER.public)

    # In the very last checkpoint a flip may look like a torn write; then the tail is unsigned
    # and the log is not closed, and both are said.
    assert not report.is_intact or report.completeness.unsigned_bytes > 0
    assert not (report.is_intact and report.completeness.is_whole)


@given(st.integers(min_value=0))
def test_a_prefix_is_never_taken_for_the_whole(cut: int):
    data = segment_path(_log(), 0).read_bytes()

    with tempfile.TemporaryDirectory(prefix="trace-") as copy:
        segment_path(Path(copy), 0).write_bytes(data[: cut % len(data)])
        checkpoint = verify_trace(_log(), key=SIGNER.public).checkpoint
        assert checkpoint is not None
        report = verify_trace(Path(copy), key=SIGNER.public, known={"kept": checkpoint})

    assert report.integrity.verdict == "failed"


@settings(max_examples=tries(50))  # each opens a log and waits for the disk
@given(
    st.lists(
        st.tuples(
            documents,
            st.dictionaries(st.sampled_from(["arguments", "input"]), st.binary(max_size=300)),
        ),
        max_size=5,
    )
)
def test_what_is_recorded_reads_back(rows: list[tuple[dict[str, object], dict[str, bytes]]]):
    entries = [
        TraceEntry("intent", "run", f"call-{number}", body, contents)
        for number, (body, contents) in enumerate(rows)
    ]

    async def record(directory: Path) -> None:
        async with open_log(
            directory,
            name=NAME,
            signer=SIGNER,
            kek=KEK,
            config=CONFIG,
            clock=ticking(),
            random=seeded(),
        ) as log:
            if entries:
                await log.append(entries, barrier="durable")

    with tempfile.TemporaryDirectory(prefix="trace-") as directory:
        anyio.run(record, Path(directory))
        vault = VaultReader(Path(directory), KEK)
        report = verify_trace(Path(directory), key=SIGNER.public, vault=vault)
        found = [each for each in read_entries(Path(directory)) if each.type == "intent"]
        opened = [{name: each.open(name, vault) for name in each.digests} for each in found]

    assert report.integrity.verdict == "signed"
    # What is null or empty is left out.
    empty = (None, "", [], {})
    kept = [{n: v for n, v in body.items() if v not in empty} for body, _ in rows]
    assert [each.body for each in found] == kept
    assert opened == [contents for _, contents in rows]
