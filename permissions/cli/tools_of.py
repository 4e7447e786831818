"""The guarded tools of a user's module, for the commands that look at them."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from permissions.errors import ConfigError, ToolDefinitionError
from permissions.tools.decorator import Guard
from permissions.tools.unmarked import unmarked_arguments


def unmarked_in(module: str) -> list[str]:
    """What policies cannot see of the guarded tools of a module, which this imports.

    Raises:
        ConfigError: it cannot be imported, or holds no such tool.
    """
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
    try:
        found = import_module(module)
    except ImportError as err:
        raise ConfigError(f"--tools {module}: {err}") from err
    finally:
        sys.path.pop(0)
    guards = [getattr(each, "guard", None) for each in vars(found).values()]
    tools = {id(guard): guard for guard in guards if isinstance(guard, Guard)}
    if not tools:
        raise ConfigError(f"--tools {module}: no function of it is decorated with @tool")
    try:
        definitions = [guard.definition for guard in tools.values()]
    except ToolDefinitionError as err:
        return [str(err)]
    return [str(each) for each in unmarked_arguments(definitions)]
