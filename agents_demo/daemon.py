"""The demo against a daemon: `wardline serve` as a process of its own, its console open."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agents_demo.narrator import say
from permissions.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_SECONDS = 60.0
STOP_SECONDS = 45.0


@contextmanager
def serving(workspace: Path, state: Path, settings: Path) -> Iterator[str]:
    """Runs it while the context is open; gives the address agents connect to.

    Raises:
        ConfigError: it does not start; its own words say why.
    """
    said = state / "serve.log"
    here = str(Path(__file__).parents[1])
    environment = {**os.environ, "WARDLINE_CONFIG": str(settings), "PYTHONPATH": here}
    with said.open("w") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "permissions", "serve"],
            env=environment,
            stdout=log,
            stderr=log,
            cwd=workspace,
        )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "isolation" not in said.read_text():
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise ConfigError(f"the daemon did not start: {said.read_text()[-500:]}")
            time.sleep(0.05)
        for line in said.read_text().splitlines():
            if line.startswith(("listening", "policy", "isolation", "console")):
                say(f"  {line}")
        yield f"unix:{state / 'broker.sock'}"
    finally:
        daemon.terminate()
        daemon.wait(STOP_SECONDS)


def link(settings: Path, *command: str) -> str:
    """A link that signs somebody in to the console, once, as this command makes it.

    Raises:
        ConfigError: it cannot be made.
    """
    made = subprocess.run(
        [sys.executable, "-m", "permissions", *command],
        env={**os.environ, "WARDLINE_CONFIG": str(settings)},
        check=False,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise ConfigError(f"no link to the console: {made.stderr.strip()[-300:]}")
    return made.stdout.strip()
