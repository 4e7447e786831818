"""Opens the people's side of approvals for a command: the state that another process waits on."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeAlias

import anyio
import typer

from permissions.approval import grant_store, passkey_store, store
from permissions.approval.approvers import Approvers
from permissions.approval.service import ApprovalService
from permissions.broker.ports import now_us, random_id
from permissions.cli import interrupt
from permissions.database import STATE_FILE, StateDatabase
from permissions.errors import ConfigError
from permissions.setup.config import BrokerConfig
from permissions.setup.control import announced
from permissions.setup.layout import run_keys

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Work: TypeAlias = Callable[[ApprovalService, Approvers], Awaitable[None]]

EXIT_INTERRUPTED = 130
SCHEMAS = (store.SCHEMA, passkey_store.SCHEMA, grant_store.SCHEMA)
LOOK_SECONDS = 1.0
"""How often what another process makes is looked for."""


def on_approvals(
    work: Work, folder: Path | None, config: Path | None, *, wait_for_state: bool = False
) -> None:
    """Runs `work` on the opened state, with the approvers as they are now.

    Raises:
        ConfigError: the settings cannot be used, or there is no state.
        StateError: it cannot be opened safely.
    """

    async def main() -> None:
        settings = BrokerConfig.load(config, **({"state": folder} if folder else {}))
        path = settings.state / STATE_FILE
        if not path.exists():
            if not wait_for_state:
                raise ConfigError(
                    f"there is no state at {path}; give --dir the broker's folder"
                )
            typer.echo(f"waiting for a broker to open {path}", err=True)
            while not path.exists():  # noqa: ASYNC110 - another process makes it
                await anyio.sleep(LOOK_SECONDS)
        async with StateDatabase(path, SCHEMAS) as database:
            keys = run_keys(settings)
            service = ApprovalService(
                store.SqliteRequestStore(database, keys),
                Approvers.from_config(settings.approvers),
                clock=now_us,
                new_id=functools.partial(random_id, "request"),
                passkeys=passkey_store.SqlitePasskeyStore(database, keys),
                grants=grant_store.SqliteGrantStore(database, keys),
                announce=functools.partial(announced, settings.state),
            )
            await work(service, await service.approvers())

    try:
        interrupt.run(main)
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
