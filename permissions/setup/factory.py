"""Builds a broker from its configuration, and closes what it opened.

On first use it makes the keys of this installation in the state folder: the log's signing
key, and the key that seals recorded contents. Losing the second makes the contents
unreadable; losing the first means that the log cannot be continued, though it stays
verifiable with its public key.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from permissions.approval import store as request_store
from permissions.approval.approvers import Approvers
from permissions.approval.service import ApprovalService
from permissions.broker.broker import PermissionBroker
from permissions.broker.ports import BrokerParts, now_us, random_id
from permissions.database import STATE_FILE, StateDatabase
from permissions.errors import ConfigError
from permissions.execution import journal
from permissions.execution.code import CodeStage
from permissions.execution.sandboxed import SandboxedExecutor
from permissions.execution.session_pool import SessionPool
from permissions.obligations import budget
from permissions.pdp.bundle import load_bundle, save_bundle
from permissions.pdp.embedded.pdp import EmbeddedPdp
from permissions.setup.sandboxes import (
    available,
    profiles,
    session_limits,
    unusable_profiles,
)
from permissions.signing.keys import Signer, generate, signer_from_uri
from permissions.tools.registry import ToolRegistry
from permissions.trace.history import history_of
from permissions.trace.log import open_log
from permissions.trace.vault import load_kek

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from permissions.execution.base import ToolExecutor
    from permissions.pdp.base import PolicyDecisionPoint
    from permissions.pdp.bundle import PolicyBundle
    from permissions.setup.config import BrokerConfig
    from permissions.vocabulary import Isolation


@asynccontextmanager
async def open_broker(
    config: BrokerConfig, tools: Iterable[object]
) -> AsyncIterator[PermissionBroker]:
    """Opens everything a broker needs, in this event loop, and closes it at the end.

    Args:
        config: the settings.
        tools: decorated functions; anything else is denied as unregistered.

    Raises:
        ConfigError: a setting cannot be used, or a tool asks for a profile there is not.
        ToolDefinitionError: a tool cannot be defined, or two share a name.
        PolicyLoadError: the policies must not be used; the findings say where and why.
        PdpUnavailableError: the decision point does not start.
        TraceError: the log has another writer, or is not what its key signed.
        StateError: the durable state cannot be opened safely.
    """
    registry = ToolRegistry(tools)
    _require_profiles(registry, config)
    places = Places(config.state)
    places.make()
    bundle = load_bundle(config.pdp.policies, overlay=config.pdp.overlay)
    save_bundle(bundle, places.bundles)
    kek = load_kek(places.kek)
    async with AsyncExitStack() as stack:
        pdp = await stack.enter_async_context(_decision_point(config, bundle))
        log = await stack.enter_async_context(
            open_log(
                places.trace,
                name="wardline",
                signer=log_signer(config),
                kek=kek,
                config={
                    "build": version("wardline"),
                    "policy": pdp.revision,
                    "engine": pdp.engine,
                    "registry": registry.digest,
                    "environment": config.environment,
                },
            )
        )
        schemas = (request_store.SCHEMA, journal.SCHEMA, budget.SCHEMA)
        state = await stack.enter_async_context(StateDatabase(places.state, schemas))
        yield PermissionBroker(
            BrokerParts(
                registry=registry,
                pdp=pdp,
                approvals=ApprovalService(
                    request_store.SqliteRequestStore(state),
                    Approvers.from_config(config.approvers),
                    clock=now_us,
                    new_id=lambda: random_id("req"),
                ),
                budgets=budget.SqliteBudgetLedger(state),
                journal=journal.SqliteJournal(state, clock=now_us),
                trace=log,
                history=partial(history_of, directory=places.trace, kek=kek),
                executors=await _executors(config, places, stack),
                workspace=config.workspace,
                environment=config.environment,
                evidence=config.trace.evidence,
                approval_mode=config.approval.mode,
                approval_wait_seconds=config.approval.wait_seconds,
                call_deadline_seconds=config.call_deadline_seconds,
            )
        )


def _require_profiles(registry: ToolRegistry, config: BrokerConfig) -> None:
    known = sorted(config.sandbox.profiles)
    for tool in registry:
        asked = tool.options.profile
        if asked is not None and asked not in known:
            raise ConfigError(
                f"the tool {tool.name!r} asks for the sandbox profile {asked!r}, and the settings"
                f" describe {', '.join(known) or 'none'}: add it under [sandbox.profiles]"
            )


class Places:
    """Where things stand in the state folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.keys = root / "keys"
        self.log_key = self.keys / "log.pem"
        self.kek = self.keys / "vault.key"
        self.trace = root / "trace"
        self.bundles = root / "bundles"
        self.code = root / "code"
        self.commits = root / "commits"
        self.state = root / STATE_FILE

    def make(self) -> None:
        """Makes the folders: the root may be passed through, the rest is the owner's.

        A sandbox runs under another user id and has to reach the staged code by name; it can
        neither list the root nor enter any other folder.

        Raises:
            ConfigError: they cannot be made there.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.root.chmod(0o711)
            for folder in (self.keys, self.trace, self.bundles):
                folder.mkdir(mode=0o700, exist_ok=True)
            self.code.mkdir(mode=0o755, exist_ok=True)
        except OSError as err:
            raise ConfigError(
                f"the state folder {self.root} cannot be used ({err.strerror}); it has to be a"
                " folder of this user's own, on a disk with room"
            ) from err


def log_signer(config: BrokerConfig) -> Signer:
    """The key that signs the log; made on first use when it is the state folder's own.

    Raises:
        SigningError: the configured key cannot be used.
    """
    if config.trace.key:
        return signer_from_uri(config.trace.key)
    place = Places(config.state).log_key
    return signer_from_uri(f"file:{place}") if place.exists() else generate(place)


def _decision_point(
    config: BrokerConfig, bundle: PolicyBundle
) -> AbstractAsyncContextManager[PolicyDecisionPoint]:
    pdp = config.pdp
    match pdp.engine:
        case "embedded":
            return EmbeddedPdp(
                bundle,
                soft_deadline=pdp.soft_deadline_ms / 1000,
                hard_deadline=pdp.hard_deadline_ms / 1000,
                memory_bytes=pdp.memory_mb * 1024 * 1024,
            )
        case "opa":
            from permissions.pdp.opa import OpaPdp  # an extra: `pip install wardline[opa]`

            return OpaPdp(
                bundle,
                url=pdp.opa_url,
                token=pdp.opa_token.get_secret_value() if pdp.opa_token else None,
                deadline_seconds=pdp.opa_deadline_ms / 1000,
            )
        case _:
            assert_never(pdp.engine)


async def _executors(
    config: BrokerConfig, places: Places, stack: AsyncExitStack
) -> dict[Isolation, ToolExecutor]:
    """One executor per boundary that this machine really gives."""
    named = profiles(config)
    unusable = await unusable_profiles(named)
    sandboxes = await available(config, stack)
    sessions = SessionPool()
    stack.push_async_callback(sessions.aclose)  # before the backends it runs on
    return {
        isolation: SandboxedExecutor(
            sandbox,
            stage=CodeStage(places.code),
            profiles=named,
            code_roots=config.sandbox.code_roots,
            unusable=unusable,
            sessions=sessions,
            limits=session_limits(config),
            private=_private(config, places),
            hidden=config.sandbox.hidden,
            journals=places.commits,
        )
        for isolation, sandbox in sandboxes.items()
    }


def _private(config: BrokerConfig, places: Places) -> tuple[Path, ...]:
    """What no tool may see or change, wherever it lies: it decides what the next start permits."""
    scheme, _, key = config.trace.key.partition(":")
    named = (
        config.sandbox.secrets,
        Path(key) if scheme == "file" else None,
        config.pdp.policies,
        config.pdp.overlay,
        *(profile.authorities for profile in config.sandbox.profiles.values()),
    )
    return (places.root, *(place for place in named if place is not None))
