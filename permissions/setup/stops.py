"""Stops as a program meets them: those of a state folder, said and lifted from any process.

To stop is to write a signed line into the state folder, which bars calls at once in whichever
process has the broker; the broker is then asked to end what runs, and answers with the proof. No
broker has to run, or to answer, for calls to be barred.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import anyio

from permissions.approval import grant_store, passkey_store
from permissions.approval.approvers import Approvers
from permissions.approval.service import ApprovalService
from permissions.approval.store import SCHEMA, SqliteRequestStore
from permissions.broker.ports import now_us, random_id
from permissions.database import StateDatabase
from permissions.errors import BrokerError, ConfigError, StateError
from permissions.logs import get_logger
from permissions.model import AccessRequestTerms
from permissions.service.address import account_name
from permissions.setup.control import NobodyThereError, announced, ask
from permissions.setup.layout import StateLayout, log_signer, run_keys
from permissions.stops.file import FileStops

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from permissions.broker.broker import PermissionBroker
    from permissions.model import JsonObject
    from permissions.setup.config import BrokerConfig
    from permissions.stops.scope import Scope
    from permissions.stops.statement import Stop

WATCH_SECONDS = 0.5
"""How often a broker looks whether something was stopped that nobody told it to carry out. New
calls do not wait for that: each of them looks."""
PROOF_SECONDS = 30.0
"""For a broker to carry a stop out."""

_log = get_logger("setup.stops")


def register_of(config: BrokerConfig) -> FileStops:
    """The stops of the state folder that the settings name, to say and lift some.

    Raises:
        ConfigError: no broker ever ran there, or it is a daemon's elsewhere.
        SigningError: the log's key cannot be used.
    """
    if config.broker:
        raise ConfigError(
            f"this program's broker is the daemon at {config.broker}: stop it there, as the"
            " daemon's user, with its settings or --dir"
        )
    if not StateLayout(config.state).has_log:
        raise ConfigError(
            f"{config.state} holds no state; is it the folder of a broker that ran?"
        )
    return FileStops(config.state, log_signer(config), clock=now_us)


def this_person() -> str:
    """Who runs this program, as the record has it."""
    uid = os.getuid()
    return f"{account_name(uid)} (uid {uid})"


def carried_out(state: Path, stop: Stop) -> JsonObject:
    """The proof of a stop by the broker that runs on the state folder. Blocking.

    `broker` says whether there is one (`ran`), none (`none`), or one that did not answer
    (`silent`): calls are barred in every case.
    """
    try:
        said = ask(state, "stop", stop=stop.id, wait_seconds=PROOF_SECONDS)
    except NobodyThereError:
        return {"broker": "none"}
    except BrokerError as err:
        return {"broker": "silent", "fault": str(err)}
    return {"broker": "ran", **said}


def told_to_resume(state: Path) -> bool:
    """Has the broker that runs on the state folder record what was lifted. Blocking.

    False when it did not; it does so by itself within `WATCH_SECONDS`, or when it starts.
    """
    try:
        ask(state, "resume", wait_seconds=PROOF_SECONDS)
    except BrokerError:
        return False
    return True


def resume_terms(config: BrokerConfig, stop: Stop) -> AccessRequestTerms | None:
    """Who has to agree that a stop is lifted; None where nobody has to."""
    if stop.scope.kind not in config.stop.agreement_for:
        return None
    return AccessRequestTerms(
        approvers=config.stop.approvers,
        quorum=config.stop.quorum,
        expires_in_seconds=config.stop.expires_in_seconds,
        separation_of_duties=True,
    )


@asynccontextmanager
async def approvals_of(config: BrokerConfig) -> AsyncIterator[ApprovalService]:
    """The requests of the state folder, opened beside a broker that may use them.

    Raises:
        StateError: the state cannot be opened.
    """
    path = StateLayout(config.state).database
    schemas = (SCHEMA, passkey_store.SCHEMA, grant_store.SCHEMA)
    keys = run_keys(config)
    async with StateDatabase(path, schemas) as database:
        yield ApprovalService(
            SqliteRequestStore(database, keys),
            Approvers.from_config(config.approvers),
            clock=now_us,
            new_id=partial(random_id, "req"),
            passkeys=passkey_store.SqlitePasskeyStore(database, keys),
            use_within_seconds=config.approval.use_within_seconds,
            grants=grant_store.SqliteGrantStore(database, keys),
            announce=partial(announced, config.state),
        )


async def watch(broker: PermissionBroker) -> None:
    """Carries out what was written down, until cancelled."""
    known = -1
    while True:
        try:
            said = len(broker.parts.stops.statements())
            if said != known:
                await broker.stopping.carry_out()
                known = said
        except StateError as err:
            _log.error("stops_unreadable", cause=str(err)[:300])
        await anyio.sleep(WATCH_SECONDS)


def stop_form(stop: Stop) -> JsonObject:
    """A stop as JSON, without its signed text."""
    return {
        "stop": stop.id,
        "scope": asdict(stop.scope),
        "reason": stop.reason,
        "by": stop.by,
        "time": stop.time,
        "signed": stop.is_signed,
    }


def in_force_with(register: FileStops, scope: Scope) -> tuple[Stop, ...]:
    """The stops of exactly this scope."""
    return tuple(each for each in register.in_force() if each.scope == scope)
