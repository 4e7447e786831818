from __future__ import annotations

import pytest
from backends import build_missing_image


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """The first test must not pay for the image out of its own time."""
    build_missing_image(session)
