"""What runs inside the sandbox in place of a guarded function: the function itself.

Arguments are checked once more with the tool's own schema, so that the function gets the
same Python values it would get in process, and the result leaves as JSON.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

from permissions.tools.decorator import guard_of

OUT = Path("out")
"""Folder of the working directory whose files leave the sandbox."""


def run_tool(
    *, module: str, qualname: str, arguments: dict[str, Any], outputs: list[str]
) -> Any:
    """Imports a guarded function, calls what it guards, and gives its result as JSON.

    Files of the working directory named in `outputs` may be written, each in its folder, and
    are moved to where they come out.
    """
    for name in outputs:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
    definition = guard_of(attrgetter(qualname)(import_module(module))).definition
    call = partial(definition.function, **definition.validate(arguments).values)
    if definition.is_async:
        import anyio

        value = anyio.run(call)
    else:
        value = call()
    for name in outputs:
        if Path(name).is_file():
            place = OUT / name
            place.parent.mkdir(parents=True, exist_ok=True)
            Path(name).replace(place)
    return definition.output_adapter.dump_python(value, mode="json")
