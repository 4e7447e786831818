"""The log of an installation, opened for writing with the keys and the memories it is configured with.

Its first entry says who wrote it: a broker in its agents' own process (`library`), which they
could read the keys of; the daemon (`daemon`); or a command of an operator (`command`). And in
what each key is kept, by the scheme of its URI.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

from permissions.setup.layout import StateLayout, log_signer, vault_key
from permissions.trace.log import open_log
from permissions.trace.own_checkpoint import DatabaseMemory, FolderMemory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from permissions.database import StateDatabase
    from permissions.model import JsonObject
    from permissions.setup.config import BrokerConfig
    from permissions.signing.keys import Signer
    from permissions.trace.log import SignedLog
    from permissions.trace.own_checkpoint import CheckpointMemory

LOG_NAME = "wardline"
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
        SigningError: a key is gone, or cannot be used.
        TraceError: the log has another writer, or is not what its key signed.
        StateError: the database cannot be read.
    """
    signer = log_signer(config)
    async with open_log(
        StateLayout(config.state).trace,
        name=LOG_NAME,
        origin=config.trace.origin,
        signer=signer,
        kek=vault_key(config),
        memories=log_memories(config, state, signer),
        config=body,
        writer=writer_of(config, mode),
    ) as log:
        yield log


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
