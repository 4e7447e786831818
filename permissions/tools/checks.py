"""What a decorated function and its options must be, said where they stand.

Looked at when a module is imported, before any broker exists. What a signature can be turned
into is found later, on first use (`definition`).
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, get_args

from permissions.errors import ToolDefinitionError
from permissions.vocabulary import (
    Effect,
    Impact,
    Isolation,
    Trust,
    WorkspaceUse,
)

if TYPE_CHECKING:
    from permissions.tools.definition import Options

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
        "workspace": (options.workspace, get_args(WorkspaceUse)),
        "output": (options.output, get_args(Trust)),
        "on_deny": (options.on_deny, ("raise", "return")),
    }
    for option, (value, allowed) in vocabulary.items():
        if value not in allowed:
            raise ToolDefinitionError(
                f"{label}: {option}={value!r} is not one of {', '.join(map(str, allowed))}"
            )
    _check_isolation(label, options)
    _check_kept(label, options)
    parameters = inspect.signature(function).parameters
    if next(iter(parameters), None) in {"self", "cls"}:
        raise ToolDefinitionError(f"{label} is a method; decorate a function instead")
    if unknown := set(options.control or ()) - set(parameters):
        raise ToolDefinitionError(f"{label}: control names no argument: {sorted(unknown)}")


def _check_isolation(label: str, options: Options) -> None:
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
            f"{label}: workspace='overlay' lies behind a boundary, and sandbox='none' is none;"
            " say sandbox='process', or a stronger one"
        )


def _check_kept(label: str, options: Options) -> None:
    """Refuses promises that a tool cannot keep whose calls share a sandbox."""
    if not options.stateful:
        return
    for broken, why in (
        (options.sandbox == "none", "sandbox='none' is no sandbox that could be kept"),
        (
            options.output == "trusted",
            "output='trusted' does not hold for what it was fed before",
        ),
        (options.idempotent, "idempotent=True does not hold where a call leaves something"),
        (options.workspace == "overlay", "workspace='overlay' is opened for one call alone"),
        (options.command is not None, "command= keeps nothing that a later call could find"),
    ):
        if broken:
            raise ToolDefinitionError(f"{label}: stateful=True, and {why}; drop one of them")
