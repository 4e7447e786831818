"""The demo's tools are called at the same time, as a graph calls them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

from agents_demo.tools import WORKSPACE, _draft

if TYPE_CHECKING:
    from pathlib import Path


def test_each_draft_has_a_file_of_its_own(tmp_path: Path) -> None:
    together = Barrier(8)

    def draft(number: int) -> str:
        WORKSPACE.set(tmp_path)
        together.wait()
        return _draft("payment", {"reference": str(number)})

    for _ in range(5):
        with ThreadPoolExecutor(8) as pool:
            [*pool.map(draft, range(8))]

    assert len(list((tmp_path / "outbox").iterdir())) == 40
