"""Every word a plan's reader can meet stands on its page."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from permissions.plan.cursor import MatchVerdict
from permissions.plan.model import Source
from permissions.plan.verdict import ProblemCode

PAGE = (Path(__file__).parents[3] / "docs" / "explanation" / "plans.md").read_text()


@pytest.mark.parametrize(
    "word", [*get_args(ProblemCode), *get_args(MatchVerdict), *get_args(Source)]
)
def test_word_is_documented(word: str) -> None:
    assert f"`{word}`" in PAGE
