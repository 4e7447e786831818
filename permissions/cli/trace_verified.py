"""A log as `wardline trace verify` judges it, for every command that says what was judged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from permissions.cli.trace_source import (
    find_pin,
    kept_of,
    require_not_gone,
    require_outside,
)
from permissions.errors import ConfigError
from permissions.trace.known_checkpoints import KnownCheckpoints
from permissions.trace.note_keys import COSIGNATURE, ML_DSA_44, NoteKey
from permissions.trace.reader import first_entry
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.cli.trace_source import Pin, TraceSource
    from permissions.trace.reader import RecordedEntry
    from permissions.trace.report import Report


class Verified(NamedTuple):
    """The verdicts, and what they rest on."""

    report: Report
    pin: Pin
    known: KnownCheckpoints
    opening: RecordedEntry | None
    """The first entry of the log."""


def verified(
    source: TraceSource,
    *,
    key: Path | None,
    checkpoints: Sequence[Path] = (),
    known_checkpoints: Path | None = None,
    signatures: Literal["all", "last"] = "last",
    witnesses: Sequence[str] = (),
    alone: bool = False,
) -> Verified:
    """Verifies a log against what was given from outside, or is remembered of it.

    Raises:
        ConfigError: what was given lies in what is verified, or is not there.
        SigningError: a key cannot be read.
        TraceError: the log, or what is remembered of it, cannot be read.
        TraceIntegrityError: the log is known and gone.
    """
    kept = known_checkpoints or _state_home() / "wardline" / "known-checkpoints"
    require_outside(source, "--known-checkpoints", [kept])
    require_outside(source, "--checkpoint", checkpoints)
    known = KnownCheckpoints(kept)
    require_not_gone(source, known, list(checkpoints))
    pin = find_pin(source, known, key)
    opening = first_entry(source.trace)
    report = verify_trace(
        source.trace,
        key=pin.key,
        is_pinned=pin.is_outside,
        origin=pin.named,
        known=kept_of(known, pin, opening, checkpoints),
        vault=source.checked_vault(),
        signatures=signatures,
        witnesses=[_witness_key(source, each) for each in witnesses],
        alone=alone,
    )
    return Verified(report, pin, known, opening)


def _witness_key(source: TraceSource, given: str) -> NoteKey:
    """A witness's verifier key, itself or in a file."""
    text = given
    if "+" not in given:
        require_outside(source, "--witness", [Path(given)])
        try:
            text = Path(given).read_text()
        except (OSError, UnicodeDecodeError) as err:
            raise ConfigError(f"--witness {given[:80]} cannot be read: {err}") from err
    key = NoteKey.parse(text)
    if key is None or key.kind not in (COSIGNATURE, ML_DSA_44):
        raise ConfigError(f"--witness {given[:80]} is no verifier key of a witness")
    return key


def _state_home() -> Path:
    """The XDG base directory for state (specification 0.8)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
