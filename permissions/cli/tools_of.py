"""The guarded tools of a user's module, for the commands that look at them."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from permissions.errors import ConfigError, ToolDefinitionError
from permissions.tools.decorator import Guard, guard_of
from permissions.tools.unmarked import unmarked_arguments

if TYPE_CHECKING:
    from permissions.tools.definition import ToolDefinition


def definitions_in(module: str) -> list[ToolDefinition]:
    """The guarded tools of a module, which this imports.

    Raises:
        ConfigError: it cannot be imported, or holds no such tool.
        ToolDefinitionError: the signature of one cannot be turned into a schema.
    """
    return [guard_of(function).definition for function in functions_in(module)]


def functions_in(module: str) -> list[object]:
    """The guarded functions of a module, which this imports.

    Raises:
        ConfigError: it cannot be imported, or holds none.
    """
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
    try:
        found = import_module(module)
    except ImportError as err:
        raise ConfigError(f"--tools {module}: {err}") from err
    finally:
        sys.path.pop(0)
    named = ((getattr(each, "guard", None), each) for each in vars(found).values())
    tools = {id(guard): each for guard, each in named if isinstance(guard, Guard)}
    if not tools:
        raise ConfigError(f"--tools {module}: no function of it is decorated with @tool")
    return [*tools.values()]


def unmarked_in(module: str) -> list[str]:
    """What policies cannot see of the guarded tools of a module, which this imports.

    Raises:
        ConfigError: it cannot be imported, or holds no such tool.
    """
    try:
        return [str(each) for each in unmarked_arguments(definitions_in(module))]
    except ToolDefinitionError as err:
        return [str(err)]
