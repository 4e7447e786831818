"""What `opa check --strict` and `regal lint` say of a bundle, where they are on PATH.

Both get a copy of the modules and tests in a folder of their own, so that the positions they name
are the bundle's. Regal's rules of style are left out: they are a matter of taste, and the
shipped policies have their own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from permissions.errors import ConfigError
from permissions.pdp.bundle import shipped_folder
from permissions.pdp.rego.ast import Position
from permissions.pdp.rego.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from permissions.pdp.bundle import PolicyBundle

PROGRAMS = ("opa", "regal")
SECONDS = 120
"""Either takes about a second on the shipped policies."""

_TASTE = ("style", "custom", "idiomatic", "imports", "testing", "performance")


def programs() -> list[str]:
    """Those of the two that are on PATH."""
    return [name for name in PROGRAMS if shutil.which(name)]


def outside_findings(bundle: PolicyBundle, names: Sequence[str]) -> list[Finding]:
    """What these programs find.

    Args:
        bundle: modules and tests.
        names: of `programs()`.

    Raises:
        ConfigError: a program ended without an answer.
    """
    with tempfile.TemporaryDirectory(prefix="wardline-check-") as made:
        folder = Path(made)
        for path, text in {**bundle.modules, **bundle.tests}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, "utf-8")
        found: list[Finding] = []
        if "opa" in names:
            found += _opa(folder)
        if "regal" in names:
            found += _regal(folder)
    return sorted(found, key=lambda f: (f.path, f.position.line, f.position.column, f.code))


def _opa(folder: Path) -> Iterator[Finding]:
    schema = shipped_folder() / "schemas" / "input.json"
    answer = _ask(
        ["opa", "check", "--strict", "--format", "json", "--schema", str(schema), str(folder)]
    )
    for error in answer.get("errors", ()):
        yield _finding(
            folder,
            error.get("location", {}),
            f"opa.{error.get('code', 'failed').removeprefix('rego_').removesuffix('_error')}",
            error["message"],
            "this is what `opa check --strict` says",
        )


def _regal(folder: Path) -> Iterator[Finding]:
    answer = _ask(["regal", "lint", "--format", "json", str(folder)])
    for each in answer.get("violations", ()):
        if each["category"] not in _TASTE:
            yield _finding(
                folder,
                each.get("location", {}),
                f"regal.{each['title'].replace('-', '_')}",
                each["description"],
                "this is what `regal lint` says",
            )


def _ask(command: Sequence[str]) -> dict[str, Any]:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        silent = done.returncode == 0 and not done.stdout.strip()
        answer = {} if silent else json.loads(done.stdout or done.stderr)
    except (OSError, ValueError, subprocess.TimeoutExpired) as err:
        raise ConfigError(f"{command[0]} gave no answer: {err}") from err
    if not isinstance(answer, dict):
        raise ConfigError(f"{command[0]} answered with no JSON object")
    return answer


def _finding(folder: Path, location: dict[str, Any], code: str, what: str, fix: str) -> Finding:
    path = Path(str(location.get("file", ".")))
    shown = path.relative_to(folder) if path.is_relative_to(folder) else path
    position = Position(int(location.get("row", 1)), int(location.get("col", 1)))
    return Finding(shown.as_posix(), position, code, what[:300], fix)
