"""The state folder's keys: made once, mended, never remade."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from permissions.errors import SigningError
from permissions.setup.layout import StateLayout
from permissions.trace.store import segment_path

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def layout(tmp_path: Path) -> StateLayout:
    made = StateLayout(tmp_path / "state")
    made.make(tmp_path / "work")
    made.vault_key()
    made.log_signer()
    return made


def test_the_keys_stay_the_same(layout: StateLayout) -> None:
    assert layout.vault_key() == layout.vault_key()
    assert layout.log_signer().public == layout.log_signer().public


@pytest.mark.parametrize("key", ["kek", "log_key"])
def test_a_key_that_is_gone_is_an_error_and_not_a_new_key(
    layout: StateLayout, key: str
) -> None:
    segment_path(layout.trace, 0).write_bytes(b"")
    path: Path = getattr(layout, key)
    path.unlink()
    layout.log_public_key.unlink()

    use = layout.vault_key if key == "kek" else layout.log_signer
    with pytest.raises(SigningError, match=r"is gone.*wardline trace renew"):
        use()
    assert not path.exists()


def test_a_private_half_that_is_gone_is_not_replaced(layout: StateLayout) -> None:
    public = layout.log_public_key.read_text()
    layout.log_key.unlink()

    with pytest.raises(SigningError, match="public half is still there"):
        layout.log_signer()
    assert layout.log_public_key.read_text() == public


def test_a_public_half_that_is_gone_is_written_again(layout: StateLayout) -> None:
    public = layout.log_public_key.read_text()
    layout.log_public_key.unlink()

    layout.log_signer()

    assert layout.log_public_key.read_text() == public
