"""A repository with the policies for coding agents, and a daemon that knows their tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from permissions.coding.starter import FOLDER, write_starter
from permissions.setup.config import BrokerConfig
from permissions.setup.giving_way import require_free
from permissions.setup.layout import StateLayout
from permissions.testing import Person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLGA = Person("olga")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Its folder; settings are those of `WARDLINE_CONFIG`. Its helper ends with the test."""
    root = tmp_path.resolve() / "repository"
    for name in ("src/a.py", ".env", ".git/hooks/pre-push.sample", ".claude/settings.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    (root / "plain.txt").symlink_to(".env")
    write_starter(root / FOLDER)
    (root / "wardline.toml").write_text(
        'workspace = "."\nstate = ".wardline"\n'
        f'[pdp]\noverlay = "{FOLDER}"\nhard_deadline_ms = 10000\n'
        '[service]\ntools = ["permissions.coding.tools"]\n[sandbox]\nbackends = []\n'
        f'[approvers.olga]\ngroups = ["operators"]\npublic_key = "{OLGA.signer.public}"\n'
    )
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("WARDLINE_CONFIG", str(root / "wardline.toml"))
    yield root
    require_free(StateLayout(root / ".wardline"))


@pytest.fixture
def config(repository: Path) -> BrokerConfig:
    """The settings of that repository."""
    return BrokerConfig.load(repository / "wardline.toml")
