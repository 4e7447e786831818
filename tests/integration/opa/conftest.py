"""One server with the shipped policies, shared by the tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opa_server import opa_server

from permissions.pdp.bundle import PolicyBundle, load_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def shipped() -> PolicyBundle:
    return load_bundle()


@pytest.fixture(scope="session")
def shipped_server(shipped: PolicyBundle) -> Iterator[str]:
    with opa_server(shipped) as url:
        yield url
