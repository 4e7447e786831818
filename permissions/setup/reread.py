"""The settings of a running broker read again: who may approve, and who may connect.

`wardline reload` asks for it. Nothing else of the settings changes before the next start. What was
approved by somebody who is not among the approvers any more approves nothing, and a session whose
client may not open it any more ends with its next call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio.to_thread import run_sync as in_thread

from permissions.approval.approvers import Approvers
from permissions.broker import entries
from permissions.errors import ConfigError
from permissions.logs import get_logger
from permissions.setup.clients import clients_of
from permissions.setup.config import BrokerConfig

if TYPE_CHECKING:
    from permissions.broker.broker import PermissionBroker
    from permissions.model import JsonObject
    from permissions.service.server import Server

_log = get_logger("setup.reread")


async def reread(
    config: BrokerConfig, broker: PermissionBroker, server: Server, by: str
) -> JsonObject:
    """Reads, records, and puts in force, in this order; says who they are by name.

    Args:
        config: the settings at its start.
        broker: whose approvers they are.
        server: whose clients they are.
        by: who wants it, for the record.

    Raises:
        ConfigError: the settings cannot be used, or are not trusted; those before stay.
        TraceWriteError: it cannot be recorded; those before stay.
    """
    found = await in_thread(_again, config)
    approvers, clients = Approvers.from_config(found.approvers), clients_of(found)
    names = {"approvers": sorted(found.approvers), "clients": sorted(found.service.clients)}
    entry = entries.people(broker.parts, by=by, **names)
    await broker.parts.trace.append([entry], barrier="durable")
    await broker.parts.approvals.replace_approvers(approvers)
    server.replace_clients(clients)
    _log.info("people_reloaded", by=by)
    return {**names}


def _again(config: BrokerConfig) -> BrokerConfig:
    source = config.source
    if source is None:
        raise ConfigError("this broker was started without a settings file; start it again")
    found = BrokerConfig.load(source.path if source.origin == "named" else None)
    if found.source is None or found.source.path != source.path:
        raise ConfigError(f"the settings were those of {source.path}, and others are found now")
    return found
