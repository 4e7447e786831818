"""The log of an installation, opened for writing with the keys and the memories it is configured with.

Its first entry says who wrote it: a broker in its agents' own process (`library`), which they
could read the keys of; the daemon (`daemon`); or a command of an operator (`command`). And in
what each key is kept, by the scheme of its URI.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import anyio

from permissions.errors import ConfigError, SigningError, TraceError
from permissions.logs import get_logger
from permissions.service.tasks import beside
from permissions.setup.giving_way import require_free
from permissions.setup.layout import StateLayout, log_signer, vault_key
from permissions.setup.own_keys import OwnKeys
from permissions.signing.responders import ResponderKey
from permissions.trace.checkpoint_signer import KeyChange
from permissions.trace.log import open_log
from permissions.trace.own_checkpoint import DatabaseMemory, FolderMemory
from permissions.trace.witnesses import Witness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from permissions.database import StateDatabase
    from permissions.model import JsonObject
    from permissions.setup.config import BrokerConfig
    from permissions.signing.keys import Signer
    from permissions.trace.log import SignedLog
    from permissions.trace.own_checkpoint import CheckpointMemory

LOG_NAME = "wardline"
_log = get_logger("setup.own_log")
WriterMode = Literal["library", "daemon", "command"]


@asynccontextmanager
async def own_log(
    config: BrokerConfig, state: StateDatabase, *, mode: WriterMode, body: JsonObject
) -> AsyncIterator[SignedLog]:
    """Opens the log (see `open_log`), and closes it at the end.

    Args:
        config: the settings.
        state: remembers how far the log went; of the schema `own_checkpoint.SCHEMA`.
        mode: who writes.
        body: of the `config` entry.

    Raises:
        ConfigError: a witness cannot be asked, or what `trace.evidence` needs is not named.
        SigningError: a key is gone, or cannot be used.
        TraceError: the log has another writer, or is not what its key signed.
        StateError: the database cannot be read.
    """
    signer, layout = log_signer(config), StateLayout(config.state)
    keys = OwnKeys(layout)
    await anyio.to_thread.run_sync(require_free, layout)
    quantum = config.trace.post_quantum and mode != "command"
    async with open_log(
        layout.trace,
        name=LOG_NAME,
        origin=config.trace.origin,
        signer=signer,
        kek=vault_key(config),
        memories=log_memories(config, state, signer),
        config=body,
        writer=writer_of(config, mode),
        beside=keys.beside(post_quantum=quantum),
        replica=config.trace.replica,
        witnesses=witnesses_of(config),
        quorum=config.trace.witness_quorum,
        responders=responders_of(config),
    ) as log:
        keys.settle(log.keys)
        if mode == "command":
            yield log  # signs by what is in force
            return
        await _bring_in(config, log, keys)
        async with beside() as tasks:
            if config.trace.epoch_hours is not None:
                tasks.start_soon(_change_epochs, log, keys, config.trace.epoch_hours)
            yield log


def responders_of(config: BrokerConfig) -> list[ResponderKey]:
    """To whom the keys of contents are sealed.

    Raises:
        ConfigError: one of them is no public key.
    """
    found = []
    for name, text in config.trace.responders.items():
        try:
            found.append(ResponderKey.parse(text))
            found[-1].seal(b"probe", b"")  # of some texts of the right length none can be made
        except SigningError as err:
            raise ConfigError(f"trace.responders.{name}: {err}") from err
    return found


def witnesses_of(config: BrokerConfig) -> list[Witness]:
    """Who is asked to cosign.

    Raises:
        ConfigError: one cannot be asked, or `trace.evidence` needs what the settings do not name.
    """
    trace = config.trace
    found = [Witness.parse(each.url, each.key) for each in trace.witnesses.values()]
    if found and trace.witness_quorum > len(found):
        raise ConfigError(
            f"trace.witness_quorum: {trace.witness_quorum} of {len(found)} witnesses cannot be"
        )
    if trace.evidence == "witnessed" and not found:
        raise ConfigError("trace.evidence is witnessed, and trace.witnesses names nobody")
    if trace.evidence == "replicated" and trace.replica is None:
        raise ConfigError("trace.evidence is replicated, and trace.replica names no folder")
    return found


async def _bring_in(config: BrokerConfig, log: SignedLog, keys: OwnKeys) -> None:
    """Has the keys in force that the settings ask for, and no others; an epoch begins here."""
    wanted = keys.beside(post_quantum=config.trace.post_quantum).post_quantum
    if config.trace.post_quantum != (log.keys.post_quantum is not None):
        signer = wanted if config.trace.post_quantum else None
        await log.change_key(KeyChange("post_quantum", signer))
    if config.trace.epoch_hours is not None:
        await _begin_epoch(log, keys)
    elif log.keys.epoch is not None:
        await log.change_key(KeyChange("epoch", None))


async def _begin_epoch(log: SignedLog, keys: OwnKeys) -> None:
    """The old key is destroyed once the record says which one follows, under both.

    A broker that is left meanwhile ends it first: the old key would lie there until the next
    opening. The log bounds how long that takes.
    """
    with anyio.CancelScope(shield=True):
        await log.change_key(KeyChange("epoch", keys.next_epoch_key()))
        keys.settle(log.keys)


async def _change_epochs(log: SignedLog, keys: OwnKeys, hours: float) -> None:
    while True:
        await anyio.sleep(hours * 3600)
        try:
            await _begin_epoch(log, keys)
        except (SigningError, TraceError) as err:
            _log.error("epoch_not_changed", reason=str(err))


def log_memories(
    config: BrokerConfig, state: StateDatabase, signer: Signer
) -> list[CheckpointMemory]:
    """What remembers how far the log of this installation went."""
    memories: list[CheckpointMemory] = [DatabaseMemory(state)]
    if (folder := config.trace.known_checkpoints) is not None:
        trace = StateLayout(config.state).trace
        memories.append(FolderMemory(folder, log=trace, key=signer.public))
    return memories


def writer_of(config: BrokerConfig, mode: WriterMode) -> JsonObject:
    """What `log.open` says of its writer."""
    return {
        "mode": mode,
        "key_in": _scheme(config.trace.key),
        "vault_key_in": _scheme(config.trace.vault_key),
    }


def _scheme(uri: str) -> str:
    return uri.partition(":")[0] or "file"
