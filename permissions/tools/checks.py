"""What a decorated function and its options must be, said where they stand.

`check` looks when a module is imported, before any broker exists; the others when the tool's
definition is built from its signature, on first use (`schema`).
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, get_args

from permissions.errors import ToolDefinitionError
from permissions.tools.fact_kinds import fact_kinds
from permissions.tools.trusted_fields import TrustedFields
from permissions.vocabulary import (
    Effect,
    Impact,
    Isolation,
    Trust,
    WorkspaceUse,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from permissions.tools.definition import Options
    from permissions.tools.targets import Target

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
"""Names that models can call, and that policies and people cannot misread."""


def check(function: Any, options: Options) -> None:
    """Refuses what cannot be a tool, where it stands.

    Raises:
        ToolDefinitionError: it is no plain function, or an option does not fit it.
    """
    if not inspect.isfunction(function):
        raise ToolDefinitionError(
            f"@tool goes under the framework's decorator, on a plain function; got"
            f" {type(function).__name__!r}. Swap the two decorators"
        )
    label = function.__qualname__
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ToolDefinitionError(
            f"{label} is a generator: its effects would happen after the decision and outside"
            " the record. Return a list instead"
        )
    name = function.__name__ if options.name is None else options.name
    if not _NAME.fullmatch(name):
        raise ToolDefinitionError(
            f"{label}: {name[:80]!r} is no name for a tool; use name= with up to 64 ASCII"
            " letters, digits and _ . : -"
        )
    vocabulary = {
        "effect": (options.effect, get_args(Effect)),
        "impact": (options.impact, get_args(Impact)),
        "sandbox": (options.sandbox, get_args(Isolation)),
        "stateful": (options.stateful, (True, False)),
        "confirms": (options.confirms, (True, False)),
        "workspace": (options.workspace, get_args(WorkspaceUse)),
        "output": (options.output, get_args(Trust)),
        "on_deny": (options.on_deny, ("raise", "return")),
    }
    for option, (value, allowed) in vocabulary.items():
        if value not in allowed:
            raise ToolDefinitionError(
                f"{label}: {option}={value!r} is not one of {', '.join(map(str, allowed))}"
            )
    _check_sandboxed(label, options)
    _check_stateful(label, options)
    if options.confirms and options.effect not in {"write", "send"}:
        raise ToolDefinitionError(
            f"{label}: confirms=True is for effect='write' or 'send', and for what completes an"
            " earlier call; anything else is decided for itself"
        )
    parameters = inspect.signature(function).parameters
    if next(iter(parameters), None) in {"self", "cls"}:
        raise ToolDefinitionError(f"{label} is a method; decorate a function instead")
    TrustedFields(options.trusted_fields)
    if fact_kinds(options.facts) and (options.output, options.effect) != ("trusted", "read"):
        raise ToolDefinitionError(
            f"{label}: facts= is for tools with effect='read' and output='trusted'; what others"
            " may write into is no fact"
        )
    if unknown := set(options.control or ()) - set(parameters):
        raise ToolDefinitionError(f"{label}: control names no argument: {sorted(unknown)}")


def _check_sandboxed(label: str, options: Options) -> None:
    """What only makes sense behind a boundary names one."""
    if (options.requires or options.command is not None) and options.sandbox == "none":
        raise ToolDefinitionError(
            f"{label}: requires= and command= are for tools in a sandbox; name the weakest one,"
            ' sandbox="process"'
        )
    if options.shell and options.command is None:
        raise ToolDefinitionError(f"{label}: shell=True without a command=")
    if options.workspace == "overlay" and options.sandbox == "none":
        raise ToolDefinitionError(
            f"{label}: workspace='overlay' needs a boundary, and sandbox='none' is none;"
            " say sandbox='process', or a stronger one"
        )


def _check_stateful(label: str, options: Options) -> None:
    """Refuses promises that a tool cannot keep whose calls share a sandbox."""
    if not options.stateful:
        return
    for broken, why in (
        (options.sandbox == "none", "sandbox='none' is no sandbox that calls could share"),
        (
            options.output == "trusted",
            "output='trusted' does not hold for what it was fed before",
        ),
        (
            bool(options.trusted_fields),
            "trusted_fields= does not hold for what it was fed before",
        ),
        (options.idempotent, "idempotent=True does not hold where a call leaves something"),
        (options.workspace == "overlay", "workspace='overlay' is opened for one call alone"),
        (options.command is not None, "command= leaves nothing that a later call could find"),
    ):
        if broken:
            raise ToolDefinitionError(f"{label}: stateful=True, and {why}; drop one of them")


def check_marks(
    name: str, options: Options, targets: Mapping[str, Target], arguments: frozenset[str]
) -> None:
    """Refuses an effect that the marks of a tool's arguments contradict.

    A host is no such mark: fetching a page is a read.

    Raises:
        ToolDefinitionError: a tool that reads names a path to write, a recipient, an amount or a
            credential to set; one that does not execute takes a command; an amount's currency is
            no argument.
    """
    for argument, mark in targets.items():
        fits, why = _effects_of(mark)
        if options.effect not in fits:
            raise ToolDefinitionError(
                f"{name}: effect={options.effect!r}, and {argument} is {why}; say effect="
                f"{' or '.join(map(repr, fits))}, or mark it FreeText() when it only says what"
            )
        currency = getattr(mark, "currency_from", None)
        if currency is not None and currency not in arguments:
            raise ToolDefinitionError(
                f"{name}: {argument} takes its currency from {currency!r:.60}, which is no"
                " argument"
            )


_ACTING = ("write", "send", "execute", "irreversible")


def _effects_of(mark: Target) -> tuple[tuple[str, ...], str]:
    if mark.kind == "path" and getattr(mark, "access", "read") == "write":
        return _ACTING, "a path to write"
    if mark.kind == "recipient":
        return _ACTING, "a recipient"
    if mark.kind == "amount":
        return _ACTING, "an amount"
    if mark.kind == "secret" and getattr(mark, "new", False):
        return _ACTING, "a credential that is set"
    if mark.kind == "command":
        return ("execute", "irreversible"), "a command, which can do anything"
    return get_args(Effect), ""


def check_requires(name: str, requires: Iterable[str]) -> None:
    """Refuses a requirement that could not be looked up.

    Raises:
        ToolDefinitionError: it is not PEP 508, or a URL, or asks for extras.
    """
    if not requires:
        return
    from packaging.requirements import InvalidRequirement, Requirement

    for text in requires:
        try:
            wanted = Requirement(text)
        except InvalidRequirement as err:
            raise ToolDefinitionError(f"{name}: requires {text[:80]!r} is not PEP 508") from err
        if wanted.url is not None or wanted.extras:
            raise ToolDefinitionError(
                f"{name}: requires {text[:80]!r} cannot be looked up; give a name and versions"
            )
