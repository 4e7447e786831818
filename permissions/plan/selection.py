"""What a reference leads to in the output of a step: a field, any field, or a choice of records.

Pure, and the same for every run of the same output. Records are the objects of a list; those
that lack a member that is asked for are passed over, and a tie of `max` or `min` leads to none:
which of two was meant nobody said.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from permissions.plan.pointers import follow, tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from permissions.model import JsonObject, JsonValue
    from permissions.plan.model import Reference
    from permissions.tools.trusted_fields import TrustedFields

MAX_VALUES = 20_000
"""Fields of one output that `any` can lead to; the rest of a longer one are none."""


def selected(
    reference: Reference, output: JsonValue, fields: TrustedFields | None
) -> tuple[JsonValue, ...]:
    """The values the reference may stand for; none where it leads nowhere.

    Args:
        reference: as declared.
        output: what its step returned, as JSON.
        fields: those of an untrusted tool that its service fills in, which alone count for
            `any`; None when all of the output is trusted.
    """
    if reference.any:
        return tuple(_each(output, fields))
    if reference.select is None:
        present, value = follow(output, reference.tokens)
        return (value,) if present else ()
    present, found = follow(output, tokens_of(reference.records))
    if not present or not isinstance(found, list):
        return ()
    records = [each for each in found if isinstance(each, dict) and _fits(each, reference)]
    value = _choice(reference, records)
    return () if value is _NOTHING else (value,)


_NOTHING = object()


def _choice(reference: Reference, records: list[JsonObject]) -> JsonValue:
    member = reference.tokens
    if reference.select == "count":
        return len(records)
    if reference.select == "sum":
        return _sum(records, member)
    if reference.select in ("max", "min"):
        chosen = _extreme(records, tokens_of(reference.by or ""), reference.select == "max")
    elif reference.select == "only":
        chosen = records[0] if len(records) == 1 else None
    else:
        chosen = records[0] if records else None
    if chosen is None:
        return _NOTHING
    present, value = follow(chosen, member)
    return value if present else _NOTHING


def _sum(records: list[JsonObject], member: Sequence[str]) -> JsonValue:
    total = Decimal(0)
    for record in records:
        present, value = follow(record, member)
        if not present or not _is_number(value):
            return _NOTHING  # a sum of some would be another number than was meant
        total += Decimal(str(value))
    whole = int(total)
    return whole if whole == total else float(total)


def _extreme(
    records: list[JsonObject],
    by: Sequence[str],
    largest: bool,  # noqa: FBT001 - its only use is above
) -> JsonObject | None:
    keyed = [(follow(record, by)[1], record) for record in records]
    numbers = [pair for pair in keyed if _is_number(pair[0])]
    texts = [pair for pair in keyed if isinstance(pair[0], str)]
    comparable = numbers or texts
    if not comparable or (numbers and texts):
        return None
    best = (max if largest else min)(key for key, _ in comparable)
    chosen = [record for key, record in comparable if key == best]
    return chosen[0] if len(chosen) == 1 else None


def _fits(record: JsonObject, reference: Reference) -> bool:
    for pointer, wanted in reference.where.items():
        present, value = follow(record, tokens_of(pointer))
        if not present or type(value) is not type(wanted) or value != wanted:
            return False
    return True


def _each(output: JsonValue, fields: TrustedFields | None) -> Iterator[JsonValue]:
    if fields is not None:
        found = (each.value for each in fields.found_in(output))
    else:
        found = (value for value in _scalars(output))
    for number, value in enumerate(found):
        if number >= MAX_VALUES:
            return
        if value not in (None, "") and not isinstance(value, bool):
            yield value


def _scalars(output: JsonValue) -> Iterator[JsonValue]:
    waiting = [output]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        else:
            yield value


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
