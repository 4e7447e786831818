"""Other policies for a broker that runs: in force at once, for whole calls, and on record.

A call is decided wholly under one revision: it takes the broker's parts as they are when it is
asked for, and keeps them to its end (its connections and its changes included). One that has not
begun to run when others come into force, because a person was asked about it say, is decided
again under those. So nothing begins under policies that were replaced, what is running ends
under those it began with, and an approval of the old revision approves nothing under the new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import anyio

from permissions.broker import entries
from permissions.errors import BrokerError
from permissions.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.broker.ports import BrokerParts
    from permissions.model import Digest

_log = get_logger("broker.reloading")


class PolicySource(Protocol):
    """Where a broker's policies come from, for one that can load them again."""

    async def load(self, parts: BrokerParts) -> BrokerParts:
        """The same parts with the policies as they are named now, ready to decide.

        Raises:
            BrokerError: they must not come into force; the parts given go on to be used.
        """
        ...

    async def accepted(self, parts: BrokerParts, *, instead_of: BrokerParts) -> None:
        """They are in force; the others are closed when the last call is through with them.

        Raises:
            StateError: that they were accepted cannot be remembered.
        """
        ...

    async def dropped(self, parts: BrokerParts) -> None:
        """They came into force after all not; closes what was opened for them."""
        ...


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload came to; the two are equal when the policies were in force already."""

    before: Digest
    now: Digest


async def reload(
    before: BrokerParts,
    source: PolicySource,
    *,
    by: str,
    put_in_force: Callable[[BrokerParts], None],
) -> Reloaded:
    """Loads, records, and puts in force, in this order; one at a time for a broker.

    Raises:
        BrokerError: they must not come into force, or that cannot be recorded.
    """
    try:
        parts = await source.load(before)
    except BrokerError as err:
        _log.warning("policies_refused", by=by, fault=str(err))
        await before.trace.append(
            [entries.policies_refused(before, err, by)], barrier="durable"
        )
        raise
    done = Reloaded(before.pdp.revision, parts.pdp.revision)
    if done.before == done.now:
        await source.dropped(parts)
        return done
    try:
        entry = entries.policies(parts, before=done.before, by=by)
        await before.trace.append([entry], barrier="durable")
    except BaseException:
        with anyio.CancelScope(shield=True):
            await source.dropped(parts)
        raise
    put_in_force(parts)
    with anyio.CancelScope(shield=True):
        await source.accepted(parts, instead_of=before)
    _log.info("policies_reloaded", before=done.before, now=done.now, by=by)
    return done
