"""`docs/compare.md` says of each attack what its script prints; the toolkit has its own environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WORDS = {True: "stopped", False: "ran"}


@pytest.mark.slow
def test_the_page_says_what_the_script_prints(tmp_path: Path) -> None:
    script = ROOT / "tests/bench/side_by_side.py"
    done = subprocess.run(
        [sys.executable, script], check=True, capture_output=True, cwd=tmp_path, text=True
    )

    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    text = (ROOT / "docs/compare.md").read_text()
    table = text.split("| attack | LangChain | Microsoft's toolkit | Wardline |", 1)[1].split(
        "\n\n", 1
    )[0]
    rows = [row.split("|")[1:5] for row in table.splitlines()[2:]]
    said = [
        (what.split(":")[0].strip(), theirs.strip(), ours.strip())
        for what, theirs, _, ours in rows
    ]
    assert said == [
        (each["attack"], WORDS[each["LangChain"]], WORDS[each["Wardline"]]) for each in found
    ]
