"""A copy of an installation to play on: its policies and settings, and nothing else of it.

State, keys, workspace and what verifiers remember are the copy's own. Its approvers have the
names and groups of the settings, and keys made for the drill; where the settings name fewer than
two, people of the drill's own stand in, so that no question stays without anybody to ask. It
tells nobody, asks no witness, reads no secret and offers no service.

Not protected from: policies that ask an OPA server are still asked of that server.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

from permissions.errors import ConfigError
from permissions.setup.config import (
    ApprovalConfig,
    ApproverConfig,
    BrokerConfig,
    ConnectionConfig,
    GatewayConfig,
    SandboxConfig,
    ServiceConfig,
    TraceConfig,
)
from permissions.signing.keys import generate, public_half

if TYPE_CHECKING:
    from pathlib import Path


STAND_INS = ("drill-nora", "drill-omar")
_GROUPS = ("operators", "security")
"""Whom the shipped policies ask."""
_SECTIONS = ("approval", "approvers", "pdp", "sandbox", "stop", "trace")


class InstallationCopy:
    """The copy, in a folder of its own.

    Args:
        settings: the real ones; only read.
        folder: new or empty.

    Raises:
        ConfigError: the policies cannot be copied.
        SigningError: the keys cannot be made.
    """

    def __init__(self, settings: BrokerConfig, folder: Path) -> None:
        self.folder = folder.resolve()
        self.workspace = self.folder / "workspace"
        self.workspace.mkdir(parents=True)
        (self.folder / "wardline.toml").write_text("")
        policies = _copied(settings.pdp.policies, self.folder / "policies")
        overlay = _copied(settings.pdp.overlay, self.folder / "overlay")
        evidence = settings.trace.evidence
        outside = evidence in ("replicated", "witnessed")
        self.config = settings.model_copy(
            update={
                "state": self.folder / "state",
                "workspace": self.workspace,
                "pdp": settings.pdp.model_copy(
                    update={"policies": policies, "overlay": overlay}
                ),
                "approval": ApprovalConfig(mode="suspend"),
                "approvers": self._people(settings),
                "trace": TraceConfig(evidence="durable" if outside else evidence),
                "sandbox": SandboxConfig(backends=settings.sandbox.backends, prewarmed=0),
                "broker": "",
                "connection": ConnectionConfig(),
                "gateway": GatewayConfig(),
                "service": ServiceConfig(),
            }
        )

    @property
    def people(self) -> list[str]:
        """The approvers of the copy."""
        return list(self.config.approvers)

    def key_of(self, name: str) -> Path:
        """The private key of an approver of the copy."""
        return self.folder / "people" / f"{name}.pem"

    def with_backends(self, *backends: str) -> BrokerConfig:
        """The settings with other sandbox backends."""
        sandbox = SandboxConfig.model_validate({"backends": backends, "prewarmed": 0})
        return self.config.model_copy(update={"sandbox": sandbox})

    def renew_key(self, name: str) -> None:
        """Gives an approver another key, as after a theft; the old one stays where it is."""
        fresh = self.folder / "people" / f"{name}-renewed.pem"
        key = generate(fresh).public
        entry = self.config.approvers[name].model_copy(update={"public_key": str(key)})
        approvers = {**self.config.approvers, name: entry}
        self.config = self.config.model_copy(update={"approvers": approvers})

    def environment(self) -> dict[str, str]:
        """The variables under which a command works on the copy and on nothing else."""
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith(("WARDLINE_", "SANDBOX_SECRET_"))
        }
        for name in ("STATE", "CONFIG", "CACHE"):
            own[f"XDG_{name}_HOME"] = str(self.folder / "home" / name.lower())
        config = self.config
        own["WARDLINE_CONFIG"] = str(self.folder / "wardline.toml")
        own["WARDLINE_STATE"] = str(config.state)
        own["WARDLINE_WORKSPACE"] = str(config.workspace)
        own["WARDLINE_ENVIRONMENT"] = config.environment
        document = config.model_dump(mode="json", include=set(_SECTIONS))
        if (token := config.pdp.opa_token) is not None:
            document["pdp"]["opa_token"] = token.get_secret_value()
        for name in _SECTIONS:
            own[f"WARDLINE_{name.upper()}"] = json.dumps(document[name])
        return own

    def _people(self, settings: BrokerConfig) -> dict[str, ApproverConfig]:
        groups = {name: each.groups for name, each in settings.approvers.items()}
        if len(groups) < len(STAND_INS):
            every = {
                *_GROUPS,
                *settings.stop.approvers,
                *(g for own in groups.values() for g in own),
            }
            groups |= dict.fromkeys(STAND_INS, tuple(sorted(every)))
        found = {}
        for name, own in groups.items():
            generate(self.key_of(name))
            key = public_half(self.key_of(name)).read_text().strip()
            found[name] = ApproverConfig(groups=own, public_key=key)
        return found


def _copied(source: Path | None, to: Path) -> Path | None:
    """A copy of a folder or an archive of policies."""
    if source is None:
        return None
    try:
        if source.is_dir():
            shutil.copytree(source, to)
        else:
            to = to.with_name(f"{to.name}-{source.name}")
            shutil.copy2(source, to)
    except (OSError, shutil.Error) as err:
        raise ConfigError(f"the policies {source} cannot be copied: {err}") from err
    return to
