"""What the gate measures: thresholds, settings, policies, tools, and the folder it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from permissions.assurance.known import Known, KnownTool
from permissions.assurance.policies import package_of, rules_of
from permissions.assurance.terms import read_terms
from permissions.errors import BrokerError, ConfigError, PolicyLoadError
from permissions.gathered import Gathered, PartResult
from permissions.pdp.library import library_names
from permissions.pdp.regorus.parse import parse
from permissions.pdp.shadow_marks import shadow_paths
from permissions.setup.config import BrokerConfig
from permissions.setup.policies import load_policies
from permissions.setup.settings_file import settings_file
from permissions.signing.canonical import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from permissions.assurance.register import Register
    from permissions.assurance.terms import Terms
    from permissions.pdp.bundle import PolicyBundle
    from permissions.tools.definition import ToolDefinition


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything the parts look at.

    Attributes:
        config: the settings file in force, if there is one.
        policies: in force; None when they cannot be loaded, which a part of the gate says.
        tools: that the thresholds name; None when they name none.
    """

    file: Path
    terms: Terms
    config: Path | None
    settings: BrokerConfig
    policies: PolicyBundle | None
    tools: tuple[ToolDefinition, ...] | None
    gathered: Gathered

    @property
    def revision(self) -> str:
        """Of the policies in force; empty when they cannot be loaded."""
        return "" if self.policies is None else str(self.policies.revision)

    def bundle(self) -> PolicyBundle:
        """The policies in force.

        Raises:
            ConfigError: they cannot be loaded.
        """
        if self.policies is None:
            raise ConfigError("the policies cannot be loaded; see the part policy-check")
        return self.policies

    def basis(self, part: str) -> str:
        """Digest of what a part is asked today."""
        about = [str(tool.digest) for tool in self.tools or ()]
        if part == "register" and self.terms.risks.exists():
            about.append(str(digest(self.terms.risks.read_bytes())))
        return self.terms.basis(part, *about)


def open_scene(thresholds: Path, config: Path | None, evidence: Path) -> Scene:
    """Reads all of it; nothing is measured yet.

    Raises:
        ConfigError: thresholds, settings or the module of tools cannot be used.
        ToolDefinitionError: a tool cannot be defined as written.
    """
    from permissions.cli.tools_of import definitions_in

    terms = read_terms(thresholds)
    found = settings_file(config)
    settings = BrokerConfig.load(config)
    try:
        policies = load_policies(settings).bundle
    except PolicyLoadError:
        policies = None
    tools = None if terms.tools is None else tuple(definitions_in(terms.tools))
    return Scene(
        file=thresholds,
        terms=terms,
        config=None if found is None else found.path,
        settings=settings,
        policies=policies,
        tools=tools,
        gathered=Gathered(evidence),
    )


def known_in(scene: Scene, register: Register, results: Mapping[str, PartResult]) -> Known:
    """What a register is held to.

    Raises:
        ConfigError: the policies, or a file of alerts, cannot be used.
    """
    from sandbox.probes import PROBES

    bundle = scene.bundle()
    shadow = {package_of(parse(path, bundle.modules[path])) for path in _shadow(bundle)}
    rules = {name for name in rules_of(bundle) if name.partition("/")[0] not in shadow}
    on = {rule.partition("/")[0] for rule in rules}
    idle = {f"layers.{name}" for name in library_names()} - on
    return Known(
        revision=scene.revision,
        rules=frozenset(rules),
        idle=frozenset(shadow | idle),
        tools=None if scene.tools is None else tuple(map(_tool, scene.tools)),
        profiles=frozenset(scene.settings.sandbox.profiles),
        probes=frozenset(PROBES),
        alerts=frozenset(_alerts(scene.terms.alerts.rules, "groups", "rules", "alert")),
        tested_alerts=frozenset(
            _alerts(scene.terms.alerts.tests, "tests", "alert_rule_test", "alertname")
        ),
        plans={
            name: _plan_problem(scene.terms.risks.parent / name, scene.tools)
            for risk in register.risk
            for name in risk.mitigations.plans
        },
        results=results,
    )


def _shadow(bundle: PolicyBundle) -> list[str]:
    return sorted(shadow_paths(bundle.modules))


def _tool(tool: ToolDefinition) -> KnownTool:
    marks = frozenset(tool.marks.values()) - {"free"}  # nothing hangs on free text
    return KnownTool(tool.name, tool.effect, tool.isolation, marks, tool.options.profile)


def _alerts(files: tuple[Path, ...], outer: str, inner: str, name: str) -> Iterator[str]:
    for path in files:
        try:
            document: Any = yaml.safe_load(path.read_text())
            for group in document[outer]:
                yield from (str(rule[name]) for rule in group[inner] if name in rule)
        except (OSError, yaml.YAMLError, KeyError, TypeError) as err:
            raise ConfigError(f"[alerts]: {path} holds no {outer} with {inner}: {err}") from err


def _plan_problem(path: Path, tools: tuple[ToolDefinition, ...] | None) -> str:
    """What is wrong with a plan; empty for a good one."""
    from permissions.plan.model import parse_plan

    try:
        plan = parse_plan(path.read_bytes())
    except OSError as err:
        return f"is no file that can be read ({err.strerror})"
    except BrokerError as err:
        return f"is no plan: {err}"
    known = None if tools is None else {tool.name: str(tool.digest) for tool in tools}
    for step in plan.steps if known is not None else ():
        assert known is not None  # noqa: S101 - the loop is empty otherwise
        if step.tool not in known:
            return f"has a step for {step.tool}, which is no registered tool"
        if step.tool_digest is not None and step.tool_digest != known[step.tool]:
            return f"has a step for another version of {step.tool}"
    return ""
