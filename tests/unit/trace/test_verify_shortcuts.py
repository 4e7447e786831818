"""The short ways of the verifier say what its long ways say."""

from __future__ import annotations

import base64
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from logs import FOREIGN, SIGNER

from permissions.errors import TraceError
from permissions.trace import store
from permissions.trace.checkpoint import (
    Checkpoint,
    is_line_of,
    note_of,
    parse_checkpoint,
)
from permissions.trace.checkpoint_signer import CheckpointSigner
from permissions.trace.encoder import checkpoint_line
from permissions.trace.restated import RESTATED_SEALED, CallFacts, Opened

BODIES = ({}, {"args": "one"}, {"args": "two", "key": "k"}, {"key": "k", "request": "r"})
NAMES = ("arguments", "key", "input", "input_patch", "response", "shown", "result")
STORIES = list(itertools.permutations(sorted(RESTATED_SEALED - {"gap"}), 3))


@pytest.mark.parametrize("story", STORIES, ids="-".join)
def test_of_sealed_entries_both_ways_find_the_same(story: tuple[str, ...]) -> None:
    for body, named in itertools.product(
        BODIES, [frozenset(NAMES[:n]) for n in (0, 1, 2, 4, 7)]
    ):
        short, long = CallFacts(), CallFacts()
        for kind in story:
            entry = Opened(kind, body, named, {}, lambda _, __: [])
            assert short.sealed(kind, body, named) == list(long.contradictions(entry))


NOTE = CheckpointSigner("logs.example/1", SIGNER).sign(7, b"r" * 32)
SAID = Checkpoint("logs.example/1", 7, b"r" * 32)
COSIGNED = (
    NOTE + CheckpointSigner("witness.example", FOREIGN).sign(7, b"r" * 32).split("\n\n")[1]
)


QUANTUM = f"— logs.example/1 {base64.b64encode(bytes(2432)).decode()}\n"
EPOCH = f"— logs.example/1 {base64.b64encode(bytes(68)).decode()}\n"


def is_known(note: str, said: Checkpoint) -> bool:
    line = checkpoint_line(note).removesuffix(b"\n")
    return is_line_of(line, said.origin, said.size, said.root)


@pytest.mark.parametrize(
    "more", ["", EPOCH, QUANTUM, EPOCH + QUANTUM], ids=["one", "epoch", "quantum", "both"]
)
def test_a_checkpoint_is_known_by_its_line(more: str) -> None:
    assert is_known(NOTE + more, SAID)
    assert parse_checkpoint(NOTE + more) == SAID


def test_so_is_one_whose_origin_json_writes_otherwise() -> None:
    odd = 'logs"\\.example'
    note = CheckpointSigner(odd, SIGNER).sign(7, b"r" * 32)
    assert is_known(note, Checkpoint(odd, 7, b"r" * 32))


@pytest.mark.parametrize(
    ("note", "said"),
    [
        pytest.param(NOTE, Checkpoint("logs.example/1", 8, b"r" * 32), id="size"),
        pytest.param(NOTE, Checkpoint("logs.example/1", 7, b"q" * 32), id="root"),
        pytest.param(NOTE, Checkpoint("logs.example/2", 7, b"r" * 32), id="origin"),
        pytest.param(NOTE[:-1], SAID, id="no-newline"),
        pytest.param(NOTE + "\n", SAID, id="a-line-more"),
        pytest.param(NOTE.replace("=\n", "\n"), SAID, id="no-padding"),
        pytest.param(COSIGNED, SAID, id="cosigned"),
        pytest.param(NOTE.replace("\n\n—", "\n—"), SAID, id="no-empty-line"),
        pytest.param(
            NOTE.replace("logs.example/1", "logs example/1"),
            Checkpoint("logs example/1", 7, b"r" * 32),
            id="no-origin",
        ),
    ],
)
def test_any_other_note_is_parsed(note: str, said: Checkpoint) -> None:
    assert not is_known(note, said)


def test_every_changed_byte_is_refused_or_read() -> None:
    """Wherever the short way says yes, the long way says the same."""
    line = checkpoint_line(NOTE).removesuffix(b"\n")
    for at in range(len(line)):
        for letter in b'A/=+\n x"}\\':
            changed = line[:at] + bytes([letter]) + line[at + 1 :]
            if is_line_of(changed, SAID.origin, SAID.size, SAID.root):
                try:
                    assert parse_checkpoint(note_of(changed)) == SAID
                except TraceError:
                    pytest.fail(f"{at}: {letter!r}")


@given(
    segments=st.lists(
        st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\0", b"\0\n"])), min_size=1, max_size=3
    ),
    block=st.integers(1, 9),
    after=st.integers(0, 4),
)
@example(segments=[[b"aaaaaaaaaa", b"\n"], [b"a", b"\0"], [b"\n"]], block=2, after=0)
def test_lines_by_blocks_are_the_lines(
    segments: list[list[bytes]],
    block: int,
    after: int,
    tmp_path_factory: pytest.TempPathFactory,
):
    """Whatever lies there: too long, without an end, zeros in the middle."""
    folder = tmp_path_factory.mktemp("log")
    for number, parts in enumerate(segments):
        (folder / f"{number:020d}.jsonl").write_bytes(b"".join(parts))
    begin = None if not after else (folder / f"{0:020d}.jsonl", after - 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "MAX_SEALED_LINE", 6)
        patch.setattr(store, "_BLOCK_BYTES", block)
        lines = list(store.read_lines(folder, after=begin))
        blocks = list(store.read_blocks(folder, after=begin))

    found = []
    for each in blocks:
        offset = each.offset
        for data in each.lines:
            found.append(store.Line(each.segment, offset, data, each.ended))
            offset += len(data) + 1
    assert found == lines
