"""A file with the mark `xdist_group` runs on one worker, so what it sets up is set up once.

Under pytest 9.2, `--dist loadgroup` of xdist 3.8 finds no group and says nothing
(pytest-dev/pytest-xdist#1386). This one asks the files themselves, and leaves the names of
tests as they are, so that those that failed are found again.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from pathlib import Path


@functools.cache
def is_together(file: Path) -> bool:
    """Whether the tests of a file may not be given to several workers."""
    return "pytest.mark.xdist_group(" in file.read_text()


class OneWorkerForSome(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Gives out single tests, but some files whole; those with the most tests first."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if is_together(self.config.rootpath / file) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneWorkerForSome | None:
    if config.getoption("dist") != "loadgroup":
        return None
    return OneWorkerForSome(config, log)
