"""`wardline policy check`: what is wrong with a folder of policies, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - typer reads the hints
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from permissions.cli.policy.folder import AsJson, Folder, Overlay, print_json, shown
from permissions.errors import PolicyLoadError
from permissions.pdp.bundle import load_bundle
from permissions.pdp.shadow_marks import shadow_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from permissions.authoring.timing import RuleTime
    from permissions.pdp.bundle import PolicyBundle
    from permissions.pdp.review.scene import Known


def check(
    folder: Folder = None,
    *,
    overlay: Overlay = None,
    tools: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE",
            help="Hold the rules to the tools of this module, which is imported.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Hold them to the approvers of these settings."
        ),
    ] = None,
    outside: Annotated[
        bool, typer.Option(help="Ask `opa` and `regal` as well, where they are on PATH.")
    ] = True,
    timing: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Measure the rules; show the N slowest."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong with a folder of policies.

    Each finding says where it is and how to mend it. Findings that begin with `rego.` or
    `bundle.` keep a broker from opening; the others are most likely not meant, and a comment
    `# meant: CODE` on the line or above says where they are.

    \b
    Examples:
      $ wardline policy check
      $ wardline policy check --overlay mine
      $ wardline policy check --overlay mine --tools my_agent.tools
      $ wardline policy check --overlay mine --timing 5
    """
    bundle, findings, asked, asked_for = checked(
        lambda: load_bundle(folder, overlay=overlay),
        tools=tools,
        config=config,
        outside=outside,
    )
    revision = None if bundle is None else bundle.revision
    left_out = [] if bundle is None else _left_out(bundle)
    times = _times(bundle, timing)
    shadow = [] if bundle is None else sorted(shadow_paths(bundle.modules))
    if as_json:
        print_json(
            {
                "sound": not findings,
                "revision": revision,
                "findings": [*findings],
                "left_out": [*left_out],
                "shadow": shadow,
                "asked": [*asked],
                "timing": [asdict(each) for each in times],
            }
        )
    else:
        for finding in findings:
            typer.echo(shown(finding), err=True)
        if shadow:
            typer.echo(shown(f"in the shadow, deciding nothing: {', '.join(shadow)}"), err=True)
        if left_out:
            typer.echo(f"shipped, and not in this folder: {', '.join(left_out)}", err=True)
        for each in times:
            at = f"{each.path}:{each.line}"
            figures = f"{each.mean_us:7.0f} us  at most {each.most_us:7.0f}"
            typer.echo(shown(f"{figures}  {each.name} ({at})"))
        from permissions.authoring.outside import PROGRAMS

        if asked_for and (absent := [each for each in PROGRAMS if each not in asked]):
            typer.echo(f"not on PATH, and so not asked: {', '.join(absent)}", err=True)
        typer.echo(f"{len(findings)} finding(s)" if findings else f"sound, revision {revision}")
    raise typer.Exit(1 if findings else 0)


class Checked(NamedTuple):
    """What a check came to."""

    bundle: PolicyBundle | None
    """The policies; None when they cannot be loaded."""
    findings: list[str]
    asked: list[str]
    """Programs of others that were asked as well."""
    were_asked: bool
    """Whether it came to that."""


def checked(
    load: Callable[[], PolicyBundle],
    *,
    tools: str | None = None,
    config: Path | None = None,
    outside: bool = True,
) -> Checked:
    """What is wrong with policies, as `wardline policy check` says it.

    Args:
        load: gives the policies.
        tools: module of the tools that they are held to.
        config: settings whose approvers they are held to.
        outside: whether `opa` and `regal` are asked as well.

    Raises:
        ConfigError: the module or the settings cannot be used.
    """
    asked: list[str] = []
    were_asked = False
    try:
        bundle = load()
        findings = list(_findings(bundle, _known(config, bundle)))
        if not findings and outside:
            from permissions.authoring.outside import outside_findings, programs

            asked, were_asked = programs(), True
            findings = [str(each) for each in outside_findings(bundle, asked)]
    except PolicyLoadError as err:
        bundle, findings = None, list(err.findings)
    if tools is not None:
        findings += _of_tools(bundle, tools)
    return Checked(bundle, findings, asked, were_asked)


def _times(bundle: PolicyBundle | None, most: int | None) -> list[RuleTime]:
    """The slowest rules; none of policies that do not load."""
    from permissions.authoring.timing import time_rules
    from permissions.pdp.regorus.errors import EngineError

    if bundle is None or most is None:
        return []
    try:
        return time_rules(bundle)[:most]
    except EngineError:
        return []


def _findings(bundle: PolicyBundle, known: Known) -> Iterator[str]:
    from permissions.pdp.lint.bundle import check_bundle
    from permissions.pdp.review.bundle import review_bundle

    yield from map(str, check_bundle(bundle))
    yield from map(str, review_bundle(bundle, known))


def _known(config: Path | None, bundle: PolicyBundle) -> Known:
    from permissions.pdp.review.scene import Known

    if config is None:
        return Known()
    from permissions.setup.config import BrokerConfig

    found = BrokerConfig.load(config)
    groups = {group for person in found.approvers.values() for group in person.groups}
    table = bundle.data.get("wardline", {}).get("tables", {}).get("approval", {})
    for terms in table.get("terms", {}).values():
        groups.update(terms["approvers"])
    return Known(groups=frozenset(groups), environment=found.environment)


def _of_tools(bundle: PolicyBundle | None, module: str) -> list[str]:
    from permissions.cli.tools_of import definitions_in
    from permissions.errors import ToolDefinitionError
    from permissions.pdp.review.tools import review_tools
    from permissions.tools.unmarked import unmarked_arguments

    try:
        tools = definitions_in(module)
    except ToolDefinitionError as err:
        return [str(err)]
    said = [str(each) for each in unmarked_arguments(tools)]
    if bundle is None:
        return said
    shipped = load_bundle().modules
    own = {path for path, text in bundle.modules.items() if shipped.get(path) != text}
    return [*map(str, review_tools(bundle, tools, within=own)), *said]


def _left_out(bundle: PolicyBundle) -> list[str]:
    """Shipped modules that the folder does without, which is its author's to decide."""
    return sorted(load_bundle().modules.keys() - bundle.modules.keys())
