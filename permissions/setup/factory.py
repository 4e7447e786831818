"""Builds a broker from its configuration, and closes what it opened.

With the first log it makes the keys of this installation in the state folder: the log's signing
key, and the key that seals recorded contents. Losing the second makes the contents
unreadable; losing the first means that the log cannot be continued, though it stays
verifiable with its public key.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from permissions.approval import grant_store, passkey_store
from permissions.approval import store as request_store
from permissions.approval.approvers import Approvers
from permissions.approval.service import ApprovalService
from permissions.broker import entries
from permissions.broker.broker import PermissionBroker
from permissions.broker.control_plane import ControlPlane
from permissions.broker.ports import BrokerParts, now_us, random_id
from permissions.database import StateDatabase
from permissions.errors import ConfigError
from permissions.execution import journal
from permissions.execution.code import CodeStage
from permissions.execution.sandboxed import SandboxedExecutor
from permissions.execution.secret_files import SecretFiles
from permissions.execution.session_pool import SessionPool
from permissions.logs import get_logger
from permissions.obligations import budget
from permissions.pdp.bundle import shipped_folder
from permissions.run import delegation_store
from permissions.run_keys import RunKeys
from permissions.service.address import SOCKET
from permissions.service.dial import Credentials, dial_of
from permissions.service.remote import RemoteBroker
from permissions.service.server import listening
from permissions.service.tasks import beside
from permissions.sessions.scope import end_open_ones
from permissions.setup.control import findable
from permissions.setup.layout import StateLayout, control_plane, log_signer, vault_key
from permissions.setup.notices import notices_of
from permissions.setup.own_log import own_log
from permissions.setup.reload import SettingsPolicies
from permissions.setup.reread import reread
from permissions.setup.sandboxes import (
    available,
    need_isolation,
    profiles,
    session_limits,
    unusable_profiles,
)
from permissions.setup.settings_file import NAME
from permissions.setup.stops import watch
from permissions.stops.file import FileStops
from permissions.tools.registry import ToolRegistry
from permissions.tools.unmarked import unmarked_arguments
from permissions.trace import own_checkpoint
from permissions.trace.history import history_of
from permissions.user_folders import cache_folder, config_folder, state_folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping

    from permissions.execution.base import ToolExecutor
    from permissions.pdp.bundle import PolicyBundle
    from permissions.setup.config import BrokerConfig
    from permissions.setup.own_log import WriterMode
    from permissions.vocabulary import Isolation

_log = get_logger("setup")


@asynccontextmanager
async def open_broker(
    config: BrokerConfig,
    tools: Iterable[object],
    *,
    mode: WriterMode = "library",
    hosted: Mapping[str, tuple[Isolation, ToolExecutor]] = MappingProxyType({}),
    leave: Callable[[], None] | None = None,
) -> AsyncIterator[PermissionBroker]:
    """Opens everything a broker needs, in this event loop, and closes it at the end.

    With an address in the settings (`broker`) nothing is opened here: each session connects to
    the daemon, which has all of it.

    Args:
        config: the settings.
        tools: decorated functions; anything else is denied as unregistered.
        mode: what the record says of who wrote it. Whoever opens a `daemon` has it listen; any
            other broker listens for its owner.
        hosted: what runs tools that have a sandbox of their own, by name, with its boundary.
        leave: ends this broker when another one of its owner's is to have the state folder.

    Raises:
        ConfigError: a setting cannot be used, or a tool asks for a profile there is not.
        ToolDefinitionError: a tool cannot be defined, or two share a name.
        PolicyLoadError: the policies must not be used; the findings say where and why.
        PdpUnavailableError: the decision point does not start.
        SigningError: a key of the state folder is gone or cannot be used.
        TraceError: the log has another writer, or is not what its key signed.
        StateError: the durable state cannot be opened safely.
    """
    if config.broker:
        given = config.connection
        token = given.token.get_secret_value() if given.token else None
        credentials = Credentials(token, given.ca, given.certificate, given.key)
        dial = dial_of(config.broker, credentials)
        yield cast("PermissionBroker", RemoteBroker(dial, tools))
        return
    file = config.source
    _log.info(
        "settings_in_force",
        file=None if file is None else str(file.path),
        origin="defaults" if file is None else file.origin,
    )
    registry = ToolRegistry(tools)
    for found in unmarked_arguments(registry):
        _log.warning(
            "argument_unmarked",
            tool=found.tool,
            argument=found.argument,
            suggestion=found.suggestion,
        )
    _require_profiles(registry, config)
    layout = StateLayout(config.state)
    layout.make(config.workspace)
    kek = vault_key(config)
    async with AsyncExitStack() as stack:
        source = SettingsPolicies(
            config, layout, registry, await stack.enter_async_context(beside())
        )
        bundle, pdp = await source.open()
        schemas = (
            request_store.SCHEMA,
            passkey_store.SCHEMA,
            grant_store.SCHEMA,
            journal.SCHEMA,
            budget.SCHEMA,
            delegation_store.SCHEMA,
            own_checkpoint.SCHEMA,
        )
        state = await stack.enter_async_context(StateDatabase(layout.database, schemas))
        keys = RunKeys(kek)
        in_force = entries.in_force(pdp, registry, config.environment)
        log = await stack.enter_async_context(own_log(config, state, mode=mode, body=in_force))
        source.remember(pdp)
        source.sought = need_isolation(registry, bundle.data)
        source.executors = await _executors(config, layout, registry, bundle, stack)
        announced = await stack.enter_async_context(notices_of(config))
        broker = PermissionBroker(
            BrokerParts(
                registry=registry,
                pdp=pdp,
                approvals=ApprovalService(
                    request_store.SqliteRequestStore(state, keys),
                    Approvers.from_config(config.approvers),
                    clock=now_us,
                    new_id=lambda: random_id("req"),
                    passkeys=passkey_store.SqlitePasskeyStore(state, keys),
                    use_within_seconds=config.approval.use_within_seconds,
                    announce=announced.announce,
                    url=config.service.url,
                    grants=grant_store.SqliteGrantStore(state, keys),
                ),
                budgets=budget.SqliteBudgetLedger(state),
                delegations=delegation_store.SqliteDelegationStore(state),
                stops=FileStops(config.state, log_signer(config), clock=now_us, log=log.origin),
                journal=journal.SqliteJournal(state, keys, clock=now_us),
                trace=log,
                history=partial(
                    history_of, directory=layout.trace, kek=kek, index=layout.index
                ),
                control_plane=ControlPlane(
                    (*control_plane(config), *_beside(config)), fixed=_program()
                ),
                folders=source.folders(bundle),
                inspection=source.inspection(bundle),
                executors=source.executors,
                hosted=hosted,
                workspace=config.workspace,
                environment=config.environment,
                evidence=config.trace.evidence,
                witnesses=config.trace.witness_quorum if config.trace.witnesses else 0,
                approval_mode=config.approval.mode,
                approval_wait_seconds=config.approval.wait_seconds,
                call_deadline_seconds=config.call_deadline_seconds,
            ),
            source=source,
        )
        stack.push_async_callback(end_open_ones, broker)
        # What is in force holds from the first call on, and what nobody recorded is now.
        await broker.stopping.carry_out()
        tasks = await stack.enter_async_context(beside())
        tasks.start_soon(watch, broker)
        if mode != "daemon":
            path = config.state.absolute() / SOCKET
            stack.enter_context(findable(config.state, path))
            await stack.enter_async_context(
                listening(broker, path, None, reread=partial(reread, config), leave=leave)
            )
        yield broker


def _require_profiles(registry: ToolRegistry, config: BrokerConfig) -> None:
    known = sorted(config.sandbox.profiles)
    for tool in registry:
        asked = tool.options.profile
        if asked is not None and asked not in known:
            raise ConfigError(
                f"the tool {tool.name!r} asks for the sandbox profile {asked!r}, and the settings"
                f" describe {', '.join(known) or 'none'}: add it under [sandbox.profiles]"
            )


async def _executors(
    config: BrokerConfig,
    layout: StateLayout,
    registry: ToolRegistry,
    bundle: PolicyBundle,
    stack: AsyncExitStack,
) -> dict[Isolation, SandboxedExecutor]:
    """One executor per boundary that this machine really gives; none where no tool needs any."""
    secret_files = SecretFiles.of(bundle.data, config.sandbox.hidden)
    named = profiles(config)
    if not need_isolation(registry, bundle.data):
        return {}
    unusable = await unusable_profiles(named)
    sandboxes = await available(config, stack)
    sessions = SessionPool()
    stack.push_async_callback(sessions.aclose)  # before the backends it runs on
    return {
        isolation: SandboxedExecutor(
            sandbox,
            stage=CodeStage(layout.code),
            profiles=named,
            code_roots=config.sandbox.code_roots,
            unusable=unusable,
            sessions=sessions,
            limits=session_limits(config),
            private=control_plane(config),
            hidden=config.sandbox.hidden,
            journals=layout.commits,
            secrets=secret_files,
            records_inputs=config.trace.inputs,
        )
        for isolation, sandbox in sandboxes.items()
    }


def _beside(config: BrokerConfig) -> Iterator[Path]:
    """What decides the next start, and lies apart from the state and from the policies."""
    yield from (state_folder(), config_folder(), cache_folder())
    if config.source is not None:
        yield config.source.path
    # Where the next start would look for settings; to write the first ones is to decide it.
    yield from (config.workspace / NAME, Path(NAME))


def _program() -> Iterator[Path]:
    """The code that keeps watch, with the policies it ships."""
    beside = Path(__file__).parents[2]
    yield from (beside / package for package in ("permissions", "sandbox", "wardline"))
    yield shipped_folder()
