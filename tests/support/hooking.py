"""`wardline hook` as an agent starts it: an event on standard input, an answer and an exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = Path(sys.executable).with_name("wardline")


def event(repository: Path, name: str, **given: Any) -> str:
    return json.dumps(
        {"session_id": "s1", "cwd": str(repository), "hook_event_name": "PreToolUse",
         "permission_mode": "default", "tool_name": name, "tool_input": given}
    )  # fmt: skip


def hook(
    text: str | bytes, *words: str, cwd: Path, more: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    data = text.encode() if isinstance(text, str) else text
    done = subprocess.run(
        [PROGRAM, "hook", *(words or ("claude-code",))],
        input=data, cwd=cwd, env={**os.environ, **(more or {})},
        capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout.decode().strip(), done.stderr.decode().strip()
