"""What the settings say of the console, and what it needs of the state folder."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from permissions.approval.passkeys import Site
from permissions.broker.ports import now_us
from permissions.console.sign_in_tables import SCHEMA, SqliteSignInStore
from permissions.console.sign_ins import SignIns
from permissions.database import StateDatabase
from permissions.setup.layout import StateLayout, log_signer, vault_key
from permissions.setup.stops import resume_terms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import anyio
    from starlette.routing import BaseRoute

    from permissions.broker.broker import PermissionBroker
    from permissions.setup.config import BrokerConfig


def console_hosts(config: BrokerConfig) -> tuple[str, ...]:
    """Names by which browsers reach it.

    Raises:
        ConfigError: `service.url` cannot be used.
    """
    return (Site.of(config.service.url).rp_id,) if config.service.url else ()


@asynccontextmanager
async def sign_ins_of(config: BrokerConfig) -> AsyncIterator[SignIns]:
    """Who is signed in to the console of this state folder, also for another process.

    Raises:
        StateError: the state file cannot be opened safely.
    """
    layout = StateLayout(config.state)
    async with StateDatabase(layout.database, [SCHEMA]) as state:
        yield SignIns(SqliteSignInStore(state), clock=now_us)


@asynccontextmanager
async def console_routes(
    config: BrokerConfig, broker: PermissionBroker, stopping: anyio.Event
) -> AsyncIterator[list[BaseRoute]]:
    """Routes of the console while the context is open; none where the settings want none.

    Raises:
        ConfigError: `service.url` cannot be used, or the extra is not installed.
        StateError: the state file cannot be opened safely.
    """
    if not config.service.url:
        yield []
        return
    from starlette.routing import Mount

    from permissions.console.app import Console
    from permissions.console.parts import ConsoleParts
    from permissions.console.record import Record

    layout = StateLayout(config.state)
    site = Site.of(config.service.url)
    async with sign_ins_of(config) as sign_ins:
        parts = ConsoleParts(
            broker=broker,
            sign_ins=sign_ins,
            site=site,
            record=Record(
                layout.trace,
                layout.index,
                vault_key(config),
                bundles=layout.bundles,
                key=log_signer(config).public,
            ),
            clock=now_us,
            resume_terms=partial(resume_terms, config),
            evidence=config.service.evidence,
        )
        yield [Mount("/", Console(parts, stopping).app())]
