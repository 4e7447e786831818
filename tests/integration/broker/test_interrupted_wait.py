"""Ctrl-C in a sync program while one of its calls waits for a person."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import anyio
import pytest

from permissions.approval.store import SCHEMA, SqliteRequestStore
from permissions.database import StateDatabase
from permissions.setup.layout import StateLayout
from permissions.trace.reader import read_entries
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.approval.model import AccessRequest

PROGRAM = """
import sys
from pathlib import Path
from wardline import Broker, BrokerConfig, tool
from permissions.setup.config import ApproverConfig
from permissions.signing.keys import generate

@tool(effect="send", impact="high")
def pay(amount: int) -> str:
    "Pays."
    return "paid"

folder = Path(sys.argv[1])
key = generate(folder / "approver.pem")
approver = ApproverConfig(groups=("operators",), public_key=str(key.public))
config = BrokerConfig.load(
    state=folder / "state", workspace=folder, approvers={"olga": approver}
)
with Broker([pay], config=config) as broker, broker.session(user="alice") as session:
    if sys.argv[2] == "ring":
        pay(1)
    else:
        broker.call(session, "pay", {"amount": 1})
"""


def requests(layout: StateLayout) -> list[AccessRequest]:
    async def listed() -> list[AccessRequest]:
        async with StateDatabase(layout.database, [SCHEMA]) as database:
            return list(await SqliteRequestStore(database, layout.run_keys()).listed())

    return anyio.run(listed)


async def asked(layout: StateLayout) -> None:
    with anyio.fail_after(40):
        while not (layout.database.exists() and layout.kek.exists()):  # noqa: ASYNC110 - another process makes it
            await anyio.sleep(0.05)
        async with StateDatabase(layout.database, [SCHEMA]) as database:
            store = SqliteRequestStore(database, layout.run_keys())
            token = await database.changed(None)
            while not await store.listed():
                token = await database.changed(token)


def interrupted(folder: Path, how: str) -> StateLayout:
    layout = StateLayout(folder / "state")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), how], stderr=subprocess.PIPE
    )
    try:
        anyio.run(asked, layout)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=150)
    finally:
        process.kill()
        process.wait()
    assert b"KeyboardInterrupt" in said
    return layout


def test_a_decorated_function_is_recorded_as_given_up(tmp_path: Path) -> None:
    assert_given_up(interrupted(tmp_path, "ring"))


@pytest.mark.slow
def test_a_call_by_name_is_recorded_as_given_up(tmp_path: Path) -> None:
    assert_given_up(interrupted(tmp_path, "name"))


def assert_given_up(layout: StateLayout) -> None:
    (denied,) = [each for each in read_entries(layout.trace) if each.type == "denied"]
    assert denied.body["codes"] == ["call.cancelled"]
    report = verify_trace(layout.trace)
    assert report.completeness.is_whole, report.completeness
    (request,) = requests(layout)
    assert request.consumed_at is None
