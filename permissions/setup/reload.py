"""The policies that the settings name, as a broker loads them: at its start and again later.

Each decision point lives in a task of its own, for it has to be left in the task that entered
it, and outlives its time in force by the calls that go on under it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, assert_never

import anyio

from permissions.broker.folders import Folders
from permissions.broker.inspection import Inspection
from permissions.broker.policy_use import PolicyUse
from permissions.errors import PolicyLoadError, StateError
from permissions.execution.secret_files import SecretFiles
from permissions.pdp.bundle import bundle_finding, save_bundle
from permissions.pdp.embedded.pdp import EmbeddedPdp
from permissions.pdp.shadow import with_shadow
from permissions.setup.layout import control_plane
from permissions.setup.policies import AcceptedPolicies, load_policies
from permissions.setup.sandboxes import need_isolation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from anyio.abc import TaskGroup, TaskStatus

    from permissions.broker.ports import BrokerParts
    from permissions.execution.sandboxed import SandboxedExecutor
    from permissions.pdp.base import PolicyDecisionPoint
    from permissions.pdp.bundle import PolicyBundle
    from permissions.setup.config import BrokerConfig, PdpConfig
    from permissions.setup.layout import StateLayout
    from permissions.setup.policies import NamedPolicies
    from permissions.tools.registry import ToolRegistry
    from permissions.vocabulary import Isolation


class SettingsPolicies:
    """A `PolicySource` over what the settings name; they themselves are read at the start only.

    Args:
        config: the settings.
        layout: the state folder, where each bundle is kept for replays.
        registry: the tools they decide about.
        tasks: where decision points live.
    """

    def __init__(
        self,
        config: BrokerConfig,
        layout: StateLayout,
        registry: ToolRegistry,
        tasks: TaskGroup,
    ) -> None:
        self._config = config
        self._layout = layout
        self._registry = registry
        self._tasks = tasks
        self._accepted = AcceptedPolicies(layout.accepted)
        self._over: dict[PolicyDecisionPoint, anyio.Event] = {}
        self._loaded: dict[PolicyDecisionPoint, NamedPolicies] = {}
        self.executors: Mapping[Isolation, SandboxedExecutor] = {}
        """What runs tools behind a boundary, as opened with the first policies."""
        self.sought = False
        """Whether the first policies or a tool needed a boundary, so that all there are were
        opened, which may be none."""

    async def open(self) -> tuple[PolicyBundle, PolicyDecisionPoint]:
        """The policies that are named now, and what decides under them.

        Raises:
            ConfigError: settings that contradict each other.
            PolicyLoadError: they must not be used.
            PdpError: no decision point starts.
            SigningError: a pinned key cannot be read.
            StateError: the state folder cannot be read or written.
        """
        policies = await anyio.to_thread.run_sync(load_policies, self._config)
        if self._config.pdp.refuse_older:
            self._accepted.require_newer(policies)
        pdp: PolicyDecisionPoint = await self._tasks.start(self._hold, policies.bundle)
        self._loaded[pdp] = policies
        try:
            save_bundle(policies.bundle, self._layout.bundles)
        except OSError as err:
            self._close(pdp)
            raise StateError(f"{self._layout.bundles} cannot be written: {err}") from err
        return policies.bundle, pdp

    def remember(self, pdp: PolicyDecisionPoint) -> None:
        """Notes that its policies are in force.

        Raises:
            StateError: it cannot be written.
        """
        self._accepted.remember(self._loaded[pdp])

    def secret_files(self, bundle: PolicyBundle) -> SecretFiles:
        """Which files its tables call secret, and the settings hide.

        Raises:
            ExecutionError: the table has another form.
        """
        return SecretFiles.of(bundle.data, self._config.sandbox.hidden)

    def folders(self, bundle: PolicyBundle) -> Folders:
        """What tools of this process are told of folders."""
        return Folders(self.secret_files(bundle), control_plane(self._config))

    def inspection(self, bundle: PolicyBundle) -> Inspection:
        """What its tables, and the settings, say has to be looked for.

        Raises:
            ConfigError: a detector is not there.
        """
        return Inspection.of(bundle.data, self._config.trace.redact)

    async def load(self, parts: BrokerParts) -> BrokerParts:
        """See `PolicySource.load`."""
        bundle, pdp = await self.open()
        try:
            self._require_boundaries(bundle)
            secrets = self.secret_files(bundle)
            folders, inspection = self.folders(bundle), self.inspection(bundle)
        except BaseException:
            self._close(pdp)
            raise
        executors = {name: each.with_secrets(secrets) for name, each in self.executors.items()}
        return replace(
            parts,
            pdp=pdp,
            folders=folders,
            inspection=inspection,
            executors=executors,
            use=PolicyUse(),
        )

    async def accepted(self, parts: BrokerParts, *, instead_of: BrokerParts) -> None:
        """See `PolicySource.accepted`."""
        self._tasks.start_soon(self._retire, instead_of)
        self.remember(parts.pdp)

    async def dropped(self, parts: BrokerParts) -> None:
        """See `PolicySource.dropped`."""
        self._close(parts.pdp)

    def _require_boundaries(self, bundle: PolicyBundle) -> None:
        if not self.sought and need_isolation(self._registry, bundle.data):
            what = "tools would need a sandbox, and this broker was opened without any"
            fix = "start the program again with these policies"
            raise PolicyLoadError(
                [bundle_finding("data/isolation.json", "bundle.isolation", what, fix)]
            )

    async def _hold(
        self, bundle: PolicyBundle, *, task_status: TaskStatus[PolicyDecisionPoint]
    ) -> None:
        over = anyio.Event()
        async with _decision_point(self._config, bundle) as pdp:
            self._over[pdp] = over
            task_status.started(pdp)
            await over.wait()

    def _close(self, pdp: PolicyDecisionPoint) -> None:
        self._loaded.pop(pdp, None)
        self._over.pop(pdp).set()

    async def _retire(self, parts: BrokerParts) -> None:
        await parts.use.ended()
        self._close(parts.pdp)


def _decision_point(
    config: BrokerConfig, bundle: PolicyBundle
) -> AbstractAsyncContextManager[PolicyDecisionPoint]:
    pdp = config.pdp

    def embedded(served: PolicyBundle) -> AbstractAsyncContextManager[PolicyDecisionPoint]:
        return EmbeddedPdp(
            served,
            soft_deadline=pdp.soft_deadline_ms / 1000,
            hard_deadline=pdp.hard_deadline_ms / 1000,
            memory_bytes=pdp.memory_mb * 1024 * 1024,
        )

    match pdp.engine:
        case "embedded":
            decides = embedded
        case "opa":
            decides = partial(_opa, pdp)
        case _:
            assert_never(pdp.engine)
    return with_shadow(bundle, decides=decides, would=embedded)


def _opa(
    pdp: PdpConfig, bundle: PolicyBundle
) -> AbstractAsyncContextManager[PolicyDecisionPoint]:
    from permissions.pdp.opa import OpaPdp  # an extra: `pip install wardline[opa]`

    return OpaPdp(
        bundle,
        url=pdp.opa_url,
        token=pdp.opa_token.get_secret_value() if pdp.opa_token else None,
        deadline_seconds=pdp.opa_deadline_ms / 1000,
    )
