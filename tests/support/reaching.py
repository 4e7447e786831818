"""A tool that reaches a host from a sandbox."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated

from wardline import FreeText, tool


@tool(effect="execute", impact="low", sandbox="process", profile="web")
def repositories(paths: Annotated[list[str], FreeText()]) -> list[str]:
    """Asks a forge, with a credential it never sees; says what it found in its own files."""
    found = []
    for path in paths:
        try:
            url = f"http://forge.example{path}"
            with urllib.request.urlopen(url, timeout=10) as answer:
                found.append(answer.read().decode())
        except urllib.error.HTTPError as err:
            found.append(f"{err.code} {err.read().decode()}")
    print(Path("token").read_text())  # noqa: T201
    return found


@tool(effect="execute", impact="low", sandbox="process", profile="web")
def visit(urls: Annotated[list[str], FreeText()]) -> list[str]:
    """Asks for each in turn, and says what was answered."""
    answers = []
    for url in urls:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
                answers.append(str(answer.status))
        except urllib.error.HTTPError as err:
            answers.append(f"{err.code} {err.read().decode().strip()}")
    return answers
