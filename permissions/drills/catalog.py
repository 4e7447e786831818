"""The drills there are, and how one is played from beginning to end."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from permissions.drills.copy import InstallationCopy
from permissions.drills.result import Result
from permissions.drills.stage import Stage
from permissions.errors import BrokerError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.drills.result import Drill, Step
    from permissions.setup.config import BrokerConfig

NAMES: Final = (
    "injected-mail",
    "stolen-key",
    "cut-log",
    "evaluator-down",
    "sandbox-missing",
    "flood",
)


def drills() -> list[Drill]:
    """All of them."""
    return [_module(name).DRILL for name in NAMES]


async def play(
    name: str, settings: BrokerConfig, *, tell: Callable[[Step], None] = lambda _: None
) -> Result:
    """Plays one on a copy of this installation, and throws the copy away.

    An error of ours on the way is the drill's `fault`, with the steps so far.

    Raises:
        ConfigError: there is no such drill, or the installation cannot be copied.
    """
    if name not in NAMES:
        raise ConfigError(f"there is no drill {name!r}; there are {', '.join(NAMES)}")
    module = _module(name)
    result = Result(module.DRILL, datetime.now(UTC).isoformat(timespec="seconds"))
    folder = Path(tempfile.mkdtemp(prefix="wardline-drill-"))
    try:
        stage = Stage(InstallationCopy(settings, folder / "copy"), result, tell)
        try:
            await module.play(stage)
        except* BrokerError as group:
            result.fault = "; ".join(map(str, _leaves(group)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for each in group.exceptions:
        found.extend(_leaves(each) if isinstance(each, BaseExceptionGroup) else [each])
    return found


def _module(name: str) -> Any:
    return import_module(f"permissions.drills.{name.replace('-', '_')}")
